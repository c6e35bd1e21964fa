"""Where a person reads: coloured and moving on a terminal, plain lines in a pipe. JSON has stdout for itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from gpu_runbook.laptop.errors import RunbookError
from gpu_runbook.laptop.sanitize import line
from gpu_runbook.protocol.check import Check

if TYPE_CHECKING:
    from rich.console import Console

LEVEL_STYLES = {"ok": "green", "warning": "yellow", "critical": "bold red", "unknown": "magenta", "skipped": "dim"}
PLAIN_PAUSE = 10.0  # seconds between two lines of passing news where nothing can move

MOST_LINES, LONGEST_LINE = 50, 1000  # of a log beside an error; characters
HANGING = 4  # characters by which what goes on in the next line is set in: no word of it begins where a row would
WIDEST = 40  # characters of the column of names, whatever a server calls its checks

Passing = Callable[[str], None]


def put(text: str, out: TextIO | None = None, end: str = "\n") -> None:
    """One line, on stdout unless it is said where; or, with another end, a piece of one.

    Where the reader has closed the pipe it goes nowhere: a deploy does not end because nobody reads on.
    """
    out = out or sys.stdout
    try:
        print(text, file=out, flush=bool(end), end=end)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)


class Screen:
    """Says things in order. `machine`: stdout belongs to JSON, and people read stderr."""

    def __init__(self, machine: bool = False, out: TextIO | None = None) -> None:
        self.out = out or (sys.stderr if machine else sys.stdout)
        self.moving = self.out.isatty()
        self._console: Console | None = None

    def say(self, text: str, style: str = "", copyable: bool = False) -> None:
        """One line that stays; on a terminal broken between words, or not at all when it is there to be copied."""
        text = line(text)
        if not self.moving:
            put(text, self.out)
            return
        from rich.text import Text  # a bare text would be searched for markup and names of emoji

        console, inner = self._rich(), text.lstrip(" ")
        before = len(text) - len(inner)
        whole = Text(inner, style)
        lines = [whole] if copyable else whole.wrap(console, max(console.width - before - HANGING, HANGING))
        for number, part in enumerate(lines):
            console.print(Text(" " * (before + HANGING * bool(number))).append_text(part), soft_wrap=True)

    def rows(self, checks: Sequence[Check]) -> None:
        """A line per check, and below it what to do."""
        width = min(max((len(check.name) for check in checks), default=0), WIDEST)
        for check in checks:
            hint = check.hint if check.level not in ("ok", "skipped") else ""
            if self.moving:
                self._row(check, width, hint)
                continue
            self.say(f"  {check.level:8}  {check.name:{width}}  {check.sentence}")
            if hint:
                self.say(f"  {'':8}  {'':{width}}  {hint}")

    def _row(self, check: Check, width: int, hint: str) -> None:
        """The level in its colour, and the sentence wrapped within its column."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=10)
        table.add_column(width=width)
        sentence = Text(line(check.sentence))
        if hint:
            sentence.append(f"\n{line(hint)}", "dim")
        table.add_row(Text.assemble("  ", (check.level, LEVEL_STYLES[check.level])), Text(line(check.name)), sentence)
        self._rich().print(table)

    @contextmanager
    def working(self, text: str, short: bool = False) -> Iterator[Passing]:
        """News that pass: a moving line with the time it takes, or now and then a plain one.

        `short`: where nothing can move, what is soon over needs no line of its own.
        """
        begun = time.monotonic()
        if self.moving:
            from rich.text import Text

            with self._rich().status(Text(line(text)), spinner="dots") as status:
                yield lambda news: status.update(Text(f"{line(news)}  {time.monotonic() - begun:.0f} s"))
        else:
            if not short:
                self.say(f"{text} …")
            yield self._now_and_then(begun)

    def _now_and_then(self, begun: float) -> Passing:
        said = begun

        def passing(news: str) -> None:
            nonlocal said
            if time.monotonic() - said >= PLAIN_PAUSE:
                said = time.monotonic()
                self.say(f"  {said - begun:.0f} s  {news}")

        return passing

    def _rich(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(file=self.out)
        return self._console


def show_error(error: RunbookError) -> None:
    """What is wrong, what it left behind, and what to do, on stderr."""
    screen = Screen(machine=True)
    for sentence in error.message.split("\n"):
        screen.say(sentence, "bold red")
    details: dict[str, Any] = error.details
    if details.get("log"):
        screen.say("the last lines of its log:", "dim")
        for said in details["log"][-MOST_LINES:]:
            screen.say(f"  | {str(said)[:LONGEST_LINE]}", "dim")
    if error.hint:
        screen.say(error.hint, "yellow")
