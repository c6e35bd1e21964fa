"""Runs that are processes of the server: how they are known, told from those of containers, and shown."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_runbook.common.clock import moment, now
from gpu_runbook.protocol.processes import ProcessMarks, ProcessRuns
from gpu_runbook.server.checks import batch_processes
from gpu_runbook.server.checks.batch_processes import HIDDEN, find
from gpu_runbook.server.system import processes
from tests.unit.processes import made_process

TRAIN = ProcessMarks("python* *train.py*")
NOBODY = 54321  # an id that no user has


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """What stands for /proc: it has the first process of all."""
    there(tmp_path, 1, "/sbin/init", user=0, parent=0)
    return tmp_path


def there(
    proc: Path,
    pid: int,
    *words: str,
    user: int = NOBODY,
    parent: int = 1,
    ticks: int = 100,
    where: str = "/",
) -> None:
    rest = " ".join(["0"] * 17)
    made_process(proc, pid, "x", user, stat=f"{pid} (a) 1 (b) S {parent} {rest} {ticks} 0")
    (proc / str(pid) / "cmdline").write_bytes("".join(f"{word}\0" for word in words).encode())
    (proc / str(pid) / "cwd").symlink_to(where)


def pids(found: ProcessRuns) -> list[int]:
    return [run.pid for run in found.runs]


def test_a_run_is_told_with_its_user_and_start_and_no_argument(proc: Path) -> None:
    there(proc, 40, "/azaion/venv/bin/python3", "-u", "/azaion/train.py", "--token", "s3cret", ticks=500)
    there(proc, 41, "python3", "train.py", ticks=200)
    there(proc, 42, "python3", "/azaion/evaluate.py")
    later, first = sorted(find(TRAIN, str(proc)).runs, key=lambda run: run.pid)
    assert (later.command, later.user) == ("python3 train.py", str(NOBODY))
    assert find(TRAIN, str(proc)).runs == (first, later)
    assert 2 <= moment(later.started_at) - moment(first.started_at) <= 4
    assert find(TRAIN, str(proc)).unseen == ""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("python", "train.py"), "python train.py"),
        (("/x/python3.11", "-u", "-O", "a/b/train.py", "x.py"), "python3.11 train.py"),
        (("python", "--key=s3cret", "s3cret", "train.py"), "python"),
        (("python s3cret train.py",), "python"),  # it has written over its own command line
        (("python\x1b[2J", "train.py"), "train.py"),
        (("python", "s3 cret/train.py"), "python"),
        (("python ", "-m", "x.train.pyc"), "python"),
    ],
    ids=repr,
)
def test_no_more_of_a_command_line_is_shown_than_two_plain_names(
    proc: Path, words: tuple[str, ...], shown: str
) -> None:
    there(proc, 40, *words)
    (run,) = find(TRAIN, str(proc)).runs
    assert run.command == shown


def test_what_a_run_has_started_is_of_that_run(proc: Path) -> None:
    there(proc, 40, "python", "train.py")
    there(proc, 41, "sh", "-c", "python train.py worker", parent=40)
    there(proc, 42, "python", "train.py", "worker", parent=41)
    there(proc, 50, "python", "train.py", "of another")
    assert pids(find(TRAIN, str(proc))) == [40, 50]
    assert list(processes.lineage(42, str(proc))) == [42, 41, 40, 1, 0]


def test_a_process_that_is_its_own_ancestor_ends_the_search(proc: Path) -> None:
    there(proc, 40, "python", "train.py", parent=41)
    there(proc, 41, "python", "train.py", parent=40)
    assert len(list(processes.lineage(40, str(proc)))) == processes.ANCESTORS
    assert find(TRAIN, str(proc)).runs


@pytest.mark.parametrize("how", ["a namespace", "a control group"])
def test_a_process_in_a_container_is_no_run_whatever_it_writes(proc: Path, how: str) -> None:
    there(proc, 40, "python", "train.py")
    assert pids(find(TRAIN, str(proc))) == [40]
    if how == "a namespace":
        status = proc / "40/status"
        status.write_text(status.read_text().replace("NSpid:\t40", "NSpid:\t40\t1"))
    else:
        (proc / "40/cgroup").write_text(f"0::/system.slice/docker-{'a' * 64}.scope\n")
    assert find(TRAIN, str(proc)) == ProcessRuns()


def test_a_kernel_thread_and_one_that_has_ended_are_none(proc: Path) -> None:
    there(proc, 40)
    (proc / "41").mkdir()
    there(proc, 42, "python", "train.py")
    (proc / "42/status").write_text("")
    (proc / "x").mkdir()
    assert find(TRAIN, str(proc)) == ProcessRuns()


@pytest.mark.parametrize(("user", "told"), [(str(NOBODY), [40]), ("0", [41]), ("", [40, 41])])
def test_of_a_user_that_is_given_only_his_are_runs(proc: Path, user: str, told: list[int]) -> None:
    there(proc, 40, "python", "train.py")
    there(proc, 41, "python", "train.py", user=0)
    assert pids(find(ProcessMarks(TRAIN.command, user), str(proc))) == told


def test_a_user_that_the_server_does_not_have_is_said(proc: Path) -> None:
    found = find(ProcessMarks(TRAIN.command, "no-such-user"), str(proc))
    assert found == ProcessRuns(unseen="the server has no user no-such-user")


@pytest.mark.parametrize(
    ("where", "told"), [("/azaion", [40]), ("/azaion/x", [40]), ("/azaion-2", []), ("/", []), ("/azaio", [])]
)
def test_of_a_folder_that_is_given_only_what_works_there_or_below_is_a_run(
    proc: Path, where: str, told: list[int]
) -> None:
    there(proc, 40, "python", "train.py", where=where)
    assert pids(find(ProcessMarks(TRAIN.command, folder="/azaion"), str(proc))) == told


def test_one_whose_folder_may_not_be_seen_counts_and_is_said(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there(proc, 40, "python", "train.py")
    monkeypatch.setattr(os, "readlink", denied)
    found = find(ProcessMarks(TRAIN.command, folder="/azaion"), str(proc))
    assert (pids(found), found.unseen) == ([40], "this login may not see in which folder process 40 works")


def denied(*_: object) -> str:
    raise PermissionError


@pytest.mark.parametrize("how", ["not listed", "not read"])
def test_processes_that_are_hidden_are_unknown_but_for_ones_own(
    proc: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there(proc, 40, "python", "train.py", user=os.getuid())
    if how == "not listed":  # hidepid=2
        (proc / "1").rename(proc / "one")
    else:  # hidepid=1
        words = processes.words
        monkeypatch.setattr(processes, "words", lambda pid, place: denied() if pid == 1 else words(pid, place))
    for user, unseen in (("", HIDDEN), (str(NOBODY), HIDDEN), (str(os.getuid()), "")):
        assert find(ProcessMarks(TRAIN.command, user), str(proc)).unseen == unseen
    assert pids(find(TRAIN, str(proc))) == [40]


def test_no_more_is_read_than_a_bound(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there(proc, 40, "python", "x" * processes.LONGEST, "train.py")
    there(proc, 41, "python", "train.py", "x" * processes.LONGEST)
    assert pids(find(TRAIN, str(proc))) == [41]
    monkeypatch.setattr(batch_processes, "MOST", 2)
    found = find(TRAIN, str(proc))
    assert (pids(found), found.unseen) == ([], "only 2 of 3 processes were looked at")


@pytest.fixture
def real_run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    script = tmp_path / "train.py"
    worker = f"subprocess.Popen([{sys.executable!r}, __file__, 'worker'], stdin=sys.stdin)"
    script.write_text(
        f"import subprocess, sys\nif 'worker' not in sys.argv:\n    {worker}\nprint(1, flush=True)\ninput()\n"
    )
    command = [sys.executable, "-S", str(script), "--password", "s3cret"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as run:
        assert run.stdout
        assert (run.stdout.readline(), run.stdout.readline()) == ("1\n", "1\n")
        yield run
        run.kill()


def test_a_real_one_is_seen_with_its_worker_as_one_run(real_run: subprocess.Popen[str], tmp_path: Path) -> None:
    marks = ProcessMarks("python* *train.py*", getpass.getuser(), str(tmp_path))
    found = find(marks)
    (run,) = found.runs
    assert (run.pid, run.user, found.unseen) == (real_run.pid, getpass.getuser(), "")
    assert run.command == f"{Path(sys.executable).name} train.py"
    assert -5 < moment(now()) - moment(run.started_at) < 120
