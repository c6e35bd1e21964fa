"""Packages are installed in turns: several sandboxes may come up on a fresh machine at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import Refused
from sandbox import packages
from sandbox.machine import wait_until
from sandbox.packages import Program, install_missing

# Fails as apt does when another one is at work. What it has installed it sets up for a while.
APT_GET = """\
#!/bin/sh
cd "$(dirname "$0")"
mkdir working
failed=$?
echo "$*" >>asked
if [ $failed != 0 ]; then echo "E: Unable to lock directory" >&2; exit 100; fi
case "$*" in *install*) cp apt-get program; esac
sleep 0.2
rmdir working
"""
APT_CACHE = "#!/bin/sh\necho Candidate: 1\n"
HOLDS = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); print(flush=True); input()"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that lacks one program; its apt-get notes in `asked` what it was asked for."""
    for name, script in (("apt-get", APT_GET), ("apt-cache", APT_CACHE)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(packages, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setattr(packages, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(packages, "TURN", tmp_path)
    monkeypatch.setattr(packages, "APT_LOCKS", (tmp_path / "lists", tmp_path / "archives"))
    monkeypatch.setattr(packages, "PROGRAMS", (Program("program", ("package",), "it is asked for"),))
    return tmp_path


def asked(machine: Path) -> list[str]:
    """The verbs of apt-get, without their options."""
    words = [line.split() for line in (machine / "asked").read_text().splitlines()]
    return [next(word for word in line if word in ("update", "install")) for line in words]


def test_of_several_at_the_same_time_one_installs_and_the_others_find_it_done(machine: Path) -> None:
    said: list[str] = []
    together = threading.Barrier(3)

    def comes_up() -> None:
        together.wait()
        install_missing(said.append)

    with ThreadPoolExecutor(3) as threads:
        for one in [threads.submit(comes_up) for _ in range(3)]:
            one.result()
    assert asked(machine) == ["update", "install"]
    assert said == ["installing package: it is asked for (program is missing)"]
    assert packages.missing() == ()


def test_a_program_that_is_not_set_up_yet_is_waited_for(machine: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        installing = thread.submit(install_missing, print)
        wait_until((machine / "program").exists, 10, "apt-get")
        install_missing(print)
        assert not (machine / "working").exists()
        installing.result()


def test_an_apt_of_somebody_else_is_waited_for(machine: Path) -> None:
    (machine / "working").mkdir()
    with (
        subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(machine / "lists")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other,
        ThreadPoolExecutor(1) as thread,
    ):
        assert other.stdin and other.stdout and other.stdout.readline()
        installing = thread.submit(install_missing, print)
        wait_until((machine / "asked").exists, 10, "apt-get")
        (machine / "working").rmdir()
        other.communicate("\n")
        installing.result()
    assert asked(machine) == ["update", "update", "install"]


def test_any_other_failure_of_apt_is_told_at_once(machine: Path) -> None:
    (machine / "working").mkdir()
    (machine / "lists").touch()  # held by nobody
    with pytest.raises(Refused) as raised:
        install_missing(print)
    assert raised.value.message == "apt-get update failed: E: Unable to lock directory"
    assert asked(machine) == ["update"]
