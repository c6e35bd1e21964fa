"""A program that is run from a process with its packages in memory: as if it had been started anew, run by run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import TimeoutExpired

import pytest

from gpu_runbook.laptop.errors import Defect
from sandbox.preloaded import Preloaded

PROGRAM = """
import json, os, signal, sys, time
what, *more = sys.argv[1:]
if what == "tell":
    print(json.dumps([sys.stdin.read(), os.getcwd(), sys.path[0], sorted(os.environ), "colorsys" in sys.modules]))
    print("and this", file=sys.stderr)
elif what == "exit":
    sys.exit(int(more[0]) if more[0].isdigit() else more[0])
elif what == "raise":
    raise LookupError("so it was")
elif what == "kill":
    os.kill(os.getpid(), signal.SIGTERM)
elif what == "sleep":
    open(more[0], "w").write(str(os.getpid()))
    time.sleep(30)
elif what == "press":
    signal.raise_signal(signal.SIGINT)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def program(folder: Path) -> Iterator[Preloaded]:
    preloaded = Preloaded("program", ["colorsys"])
    yield preloaded
    preloaded.close()


def test_each_run_has_its_own_streams_folder_and_environment_and_what_was_imported(
    program: Preloaded, folder: Path
) -> None:
    for words in ("größer", ""):
        ended = program.run(["tell"], folder, {"A": "1", "PATH": os.environ["PATH"]}, input=words)
        told = [words, str(folder), str(folder), ["A", "PATH"], True]
        assert (ended.returncode, json.loads(ended.stdout), ended.stderr) == (0, told, "and this\n")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["exit", "0"], 0, ""),
        (["exit", "7"], 7, ""),
        (["exit", "that is why"], 1, "that is why\n"),
        (["kill"], -signal.SIGTERM, ""),
    ],
)
def test_it_ends_as_it_would_by_itself(
    program: Preloaded, folder: Path, words: list[str], status: int, said: str
) -> None:
    assert [(one.returncode, one.stderr) for one in [program.run(words, folder, {})] * 2] == [(status, said)] * 2


@pytest.mark.parametrize(("words", "last"), [(["raise"], "LookupError: so it was"), (["press"], "KeyboardInterrupt")])
def test_what_it_does_not_catch_is_a_traceback(program: Preloaded, folder: Path, words: list[str], last: str) -> None:
    ended = program.run(words, folder, {})
    assert (ended.returncode != 0, ended.stderr.splitlines()[-1]) == (True, last)


def test_one_that_takes_too_long_is_ended_and_the_next_one_is_itself(program: Preloaded, folder: Path) -> None:
    with pytest.raises(TimeoutExpired):
        program.run(["sleep", str(folder / "pid")], folder, {}, seconds=1)
    assert not lives(int((folder / "pid").read_text()))
    assert program.run(["exit", "3"], folder, {}).returncode == 3


def test_whoever_interrupts_it_ends_it_and_gets_no_answer_of_it_later(program: Preloaded, folder: Path) -> None:
    class Enough(Exception):
        pass

    def ring(*_: object) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        with pytest.raises(Enough):
            program.run(["sleep", str(folder / "pid")], folder, {})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not lives(int((folder / "pid").read_text()))
    assert [program.run(["exit", str(code)], folder, {}).returncode for code in (3, 4)] == [3, 4]


def test_one_whose_packages_are_not_there_is_said(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = Preloaded("program", ["none_of_these"])
    for _ in range(2):
        with pytest.raises(Defect, match="the process that runs program has ended"):
            program.run(["exit", "0"], folder, {})
    assert "No module named 'none_of_these'" in capfd.readouterr().err


def test_with_whoever_orders_it_ends_and_leaves_nothing(folder: Path) -> None:
    """As when the tests themselves are killed."""
    script = "import sys; from pathlib import Path; from sandbox.preloaded import Preloaded\n"
    script += f"Preloaded('program', []).run(['sleep', '{folder}/pid'], Path('{folder}'), {{}})"
    env = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, "-c", script], env=env) as orderer:
        wait(lambda: (folder / "pid").exists() and (folder / "pid").read_text() != "")
        orderer.kill()
    wait(lambda: not lives(int((folder / "pid").read_text())))
    wait(lambda: not list(folder.glob("preloaded-*")))


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether it is at work; one that has ended and was not waited for yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
