"""All cases, dealt out over servers that stand side by side."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runbook.errors import RunbookError
from sandbox import Sandbox, down, up
from sandbox.place import CHECKOUT
from tests.deploy.laptop import new_laptop
from tests.faults.deaths import DEATHS
from tests.faults.further import Tried
from tests.faults.helpers import COMMAND, HELPERS
from tests.faults.shim import SYNC, WHENS, Point
from tests.faults.story import Played, Stage, make_ready, play

PORT_BASE, SPAN = 26300, 100  # of ports for each server; beside those of the tests and the bench
MOST = 60  # points of one kind in one run; a run has far fewer

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One death at every point of one kind, in one kind of run, and who helps afterwards."""

    action: str
    death: str
    when: str
    helper: str = COMMAND

    @property
    def fills_disk(self) -> bool:
        return DEATHS[self.death].fills_disk


@dataclass
class Matrix:
    """What is left to be played, and what was played. Several threads deal with one: one for each server."""

    rows: list[Row]
    say: Say
    port_base: int = PORT_BASE
    further: list[Callable[[Stage], Tried]] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    played: list[Played] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def next_row(self, fills_disk: bool) -> Row | None:
        """The next one, rather for a server as it stands: to change its disk takes a while."""
        with self._turn:
            if self.stopped.is_set() or not self.rows:
                return None
            fitting = [row for row in self.rows if row.fills_disk == fills_disk]
            row = (fitting or self.rows)[0]
            self.rows.remove(row)
            return row

    def next_further(self) -> Callable[[Stage], Tried] | None:
        """Each takes one server some minutes, so they come before the rows."""
        with self._turn:
            return None if self.stopped.is_set() or not self.further else self.further.pop(0)

    def add_tried(self, tried: Tried) -> None:
        with self._turn:
            self.tried.append(tried)
            self.say(f"{tried.what}: {tried.cases} cases, {'; '.join(tried.wrong) or 'as it should be'}")

    def add(self, played: Played) -> None:
        with self._turn:
            self.played.append(played)
            how = f"wrong: {'; '.join(played.wrong)}" if played.wrong else "whole"
            self.say(f"{len(self.played):4}  {played}: {how} ({played.seconds:.0f} s)")


def rows(actions: Sequence[str], deaths: Sequence[str], helpers: Sequence[str] = HELPERS) -> list[Row]:
    """Those that take longest first, so that no server has to wait long for the last one.

    Where nobody has to help, it makes no difference who would: such deaths are played once.
    """
    slowest = sorted(deaths, key=lambda death: not DEATHS[death].fells_engine)
    return [
        Row(action, death, when, helper)
        for death in slowest
        for helper in helpers
        if helper == COMMAND or DEATHS[death].needs_help
        for action in actions
        for when in (*WHENS, *([SYNC] if DEATHS[death].tears_files else []))
    ]


def play_all(matrix: Matrix, jobs: int) -> None:
    """Play everything on so many servers. Raises the first error that no other server could have helped with.

    A KeyboardInterrupt is raised on once every server is down again; what was played until then stays in `matrix`.
    """
    threads = [threading.Thread(target=_serve, args=(matrix, number)) for number in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        matrix.stopped.set()
        matrix.say("stopping: the servers are taken down")
        for thread in threads:
            thread.join()
        raise
    if matrix.errors:
        raise matrix.errors[0]


def _serve(matrix: Matrix, number: int) -> None:
    """The life of one server."""
    base = matrix.port_base + SPAN * number
    sandbox = Sandbox(CHECKOUT / f".sandbox-tests-{base}", base)
    try:
        up(sandbox, _quiet)
        try:
            with tempfile.TemporaryDirectory() as folder:
                _play_rows(matrix, Stage(new_laptop(Path(folder), sandbox)))
        finally:
            down(sandbox, _quiet)
    except Exception as error:  # a thread's error would be lost with it
        matrix.errors.append(error)
        matrix.stopped.set()


def _play_rows(matrix: Matrix, stage: Stage) -> None:
    while trial := matrix.next_further():
        _make_ready(stage, full=False)
        matrix.add_tried(trial(stage))
    full = False
    while row := matrix.next_row(full):
        full = row.fills_disk
        for point in (Point(row.when, number) for number in range(1, MOST)):
            _make_ready(stage, full)
            played = _played(stage, row, point)
            if matrix.stopped.is_set():
                return
            if not played.came:
                break
            matrix.add(played)


def _played(stage: Stage, row: Row, point: Point) -> Played:
    """A case that could not be played to its end is a wrong one: a server on which nothing works is not whole."""
    begun = time.monotonic()
    try:
        return play(stage, row.action, point, DEATHS[row.death], row.helper)
    except Exception as error:
        wrong, taken = f"{type(error).__name__}: {error}", time.monotonic() - begun
        return Played(row.action, point, row.death, True, (wrong,), seconds=taken, helper=row.helper)


def _make_ready(stage: Stage, full: bool) -> None:
    """A server that cannot even be cleaned is built anew."""
    try:
        make_ready(stage, full)
    except (RunbookError, AssertionError, OSError):
        down(stage.sandbox, _quiet)
        up(stage.sandbox, _quiet)
        make_ready(stage, full)


def _quiet(text: str) -> None:
    """Side by side, nobody could tell whose lines they are."""
