"""What is said is what is seen: one line stays one, and no text of others is markup, steers or begins a row.

What is said to somebody who has stopped reading goes nowhere, and stops nothing.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest

from gpu_runbook.laptop.errors import RunbookError
from gpu_runbook.laptop.inventory.problems import bad_input
from gpu_runbook.laptop.terminal.screen import MOST_LINES, Screen, put, show_error
from gpu_runbook.protocol.check import CRITICAL, Check
from sandbox.place import CHECKOUT
from tests.unit.nasty import MARKUP, ROW, TEXTS, rows

STYLE = re.compile(r"\x1b\[[0-9;]*m")  # what rich writes for a colour


class Terminal(io.StringIO):
    """What rich takes for a terminal."""

    def isatty(self) -> bool:
        return True


def seen(out: io.StringIO) -> str:
    """What somebody reads of it; the escape sequences that are not rich's own styles are still there."""
    return STYLE.sub("", out.getvalue())


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_line_stays_one_whatever_is_in_it(kind: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100000")
    for name, text in TEXTS.items():
        out = kind()
        Screen(out=out).say(f"  its checkpoint is {text}", copyable=True)
        line = seen(out)
        assert line.count("\n") == 1 and line.endswith("\n") and line[:-1].isprintable(), name
        assert len(line) < 40_000, name


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
@pytest.mark.parametrize("width", ["60", "200"])
def test_no_row_is_seen_that_nobody_made(kind: type[io.StringIO], width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for name, text in TEXTS.items():
        out = kind()
        screen = Screen(out=out)
        screen.rows([Check("RabbitMQ reachable", CRITICAL, f"RabbitMQ {text}", {}, f"see {text}")])
        screen.say(f"gpu-1 is critical: {text}")
        (row,) = rows(seen(out))
        assert row.startswith("  critical  RabbitMQ reachable"), name
        assert ROW not in seen(out).partition("gpu-1 is critical")[0], name


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_markup_is_text(kind: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    for text in MARKUP.values():
        out = kind()
        screen = Screen(out=out)
        screen.say(text)
        screen.rows([Check("a", CRITICAL, text)])
        with screen.working(text) as passing:
            passing(text)
        assert seen(out).count(text) >= 2 + (kind is Terminal), seen(out)


def test_an_error_is_a_line_for_each_problem_and_what_a_log_said_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    error: RunbookError = bad_input("hosts.yaml", [f"a\n{ROW}", f"b\r{ROW}"], f"correct\n{ROW}")
    error.details = {"log": [f"x\n{ROW}", *[f"\x1b[2J{ROW}"] * 1000]}
    show_error(error)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 + 1 + MOST_LINES + 1
    assert [line[:4] for line in lines[:4]] == ["host", "  a ", "  b ", "the "]
    assert all(line.startswith("  | ") for line in lines[4:-1])
    assert rows("\n".join(lines)) == []


def test_a_pipe_that_is_closed_takes_the_rest_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        screen = Screen(out=out)
        for number in range(3):
            screen.say(f"line {number}")
        put("the end", out)
    assert capfd.readouterr() == ("", "")


def test_a_command_whose_reader_leaves_ends_as_it_would_have() -> None:
    work = "from gpu_runbook.laptop.terminal.screen import put\nfor n in range(9999): put('x' * 99)\nexit(7)"
    words = f'{sys.executable} -c "$1" | head -1; exit ${{PIPESTATUS[0]}}'
    ended = subprocess.run(["bash", "-c", words, "bash", work], cwd=CHECKOUT, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("x" * 99 + "\n", "", 7)


def test_a_list_of_which_enough_was_read_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "fabric", "--search-root", str(CHECKOUT), "--list"]
    with os.fdopen(writing) as closed:
        ended = subprocess.run(words, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "")
