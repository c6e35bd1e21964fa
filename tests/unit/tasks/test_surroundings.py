"""Who runs `fab` without an entry in /etc/passwd and a home, or into a pipe that nobody reads, meets no traceback."""

from __future__ import annotations

import getpass
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_runbook.laptop.ssh import config
from tasks import surroundings

PROJECT = Path(__file__).resolve().parents[3]
FAB = [sys.executable, "-m", "fabric", "--search-root", str(PROJECT)]
HOSTS = """\
defaults: {root: /azaion}
hosts:
  gpu-1: {address: 127.0.0.1, port: 1}
services:
  training: {kind: batch, image: team/training, container: training}
"""
WITHOUT = ("HOME", *surroundings.NAMES)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in WITHOUT:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)


def test_who_is_in_no_passwd_has_a_name_and_a_home(nobody: None) -> None:
    surroundings.complete()
    assert (getpass.getuser(), str(Path.home())) == (f"uid-{os.getuid()}", "/")


def test_what_is_said_holds(nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "runner")
    surroundings.complete()
    assert (getpass.getuser(), str(Path.home())) == ("runner", "/")
    monkeypatch.setenv("HOME", "/builds")
    surroundings.complete()
    assert str(Path.home()) == "/builds"


def test_who_is_in_passwd_keeps_its_name_and_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WITHOUT:
        monkeypatch.delenv(name, raising=False)
    surroundings.complete()
    assert not any(name in os.environ for name in WITHOUT)


def test_ssh_is_not_asked_for_a_user_whom_it_refuses(nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> config.Said:
        raise AssertionError("ssh says: No user exists for uid 1500")

    surroundings.complete()
    monkeypatch.setattr(config, "_ask", refused)
    found = config.SshConfig(config.Source(None, usual=False)).of(
        "gpu-1", config.Destination("gpu-1.lan", "deploy", 22)
    )
    assert (found.host, found.user) == ("gpu-1.lan", "deploy")


@pytest.mark.parametrize("words", ["--list", "--help deploy", "deploy", "status --json", "status --hots --json"])
def test_a_pipe_that_nobody_reads_makes_no_traceback(tmp_path: Path, words: str) -> None:
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    (tmp_path / ".env").touch(0o600)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run([*FAB, *words.split()], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    assert "Traceback" not in ran.stderr and "Broken" not in ran.stderr
    assert "a defect of this tool" not in ran.stderr
