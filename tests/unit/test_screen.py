"""What is said to somebody who has stopped reading goes nowhere, and stops nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from runbook.screen import Screen, put
from sandbox.place import CHECKOUT


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
    work = "from runbook.screen import put\nfor n in range(9999): put('x' * 99)\nraise SystemExit(7)"
    words = f'{sys.executable} -c "$1" | head -1; exit ${{PIPESTATUS[0]}}'
    ended = subprocess.run(["bash", "-c", words, "bash", work], cwd=CHECKOUT, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("x" * 99 + "\n", "", 7)
