"""Whether the docker command of a login can be used: one that is missing, refused, hung, or somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpu_runbook.common.parallel import ask_all
from gpu_runbook.protocol.check import COMMAND, CRITICAL, OK, SKIPPED, Check
from gpu_runbook.protocol.health import DiskLimits, Expected, Request
from gpu_runbook.server.checks import docker_command
from gpu_runbook.server.checks.suite import questions
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.state.store import Store

WORKS = 'test "$DOCKER_HOST" = unix:///run/d.sock && echo "20.10.24 28.5.2 Thu May 18 14:15:10 2023"'
TOO_OLD = "Error response from daemon: client version 1.41 is too old. Minimum supported API version is 1.44"
TOO_NEW = "Error response from daemon: client version 1.44 is too new. Maximum supported API version is 1.41"
PODMAN = """\
test "$1" = --version && { echo podman version 4.9.3; exit; }
echo "Error: template: :1:57: can't evaluate field BuildTime in type *define.Version" >&2; exit 125"""

ENGINE = Engine("unix:///run/d.sock")


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is all of the PATH of a login, which sets nothing about docker."""
    monkeypatch.setattr(docker_command, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(variable)
    return tmp_path


def docker(folder: Path, script: str, mode: int = 0o755) -> Check:
    """What is said where the docker command is a script."""
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(mode)
    return docker_command.check("docker command", ENGINE)


def test_one_that_reaches_the_engine_is_said_with_both_versions(login: Path) -> None:
    row = docker(login, WORKS)
    assert (row.level, row.sentence) == (OK, "docker 20.10.24 works with the engine 28.5.2")


@pytest.mark.parametrize(
    ("script", "says", "hint"),
    [
        (f"echo '{TOO_OLD}' >&2; exit 1", "client version 1.41 is too old", "belong together"),
        ("exit 0", 'docker refuses to work: "docker ended with status 0"', "run docker version"),
        (PODMAN, "the docker command of this login is podman's", "docker-ce-cli"),
        ("while :; do :; done", "docker did not answer within", "run docker version"),
    ],
)
def test_one_that_is_refused_is_said_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, login: Path, script: str, says: str, hint: str
) -> None:
    monkeypatch.setattr(docker_command, "SECONDS", 0.5)
    row = docker(login, script)
    assert row.level == CRITICAL and says in row.sentence and hint in row.hint, row


def test_what_the_login_has_set_is_named(monkeypatch: pytest.MonkeyPatch, login: Path) -> None:
    monkeypatch.setenv("DOCKER_API_VERSION", "1.44")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    row = docker(login, f"echo '{TOO_NEW}' >&2; exit 1")
    assert row.level == CRITICAL and "client version 1.44 is too new" in row.sentence
    assert row.hint.startswith("this login sets DOCKER_API_VERSION, DOCKER_TLS_VERIFY: take that out of")


@pytest.mark.parametrize(("mode", "why"), [(None, "No such file or directory"), (0o644, "Permission denied")])
def test_one_that_cannot_be_run_is_said_with_the_path(login: Path, mode: int | None, why: str) -> None:
    row = docker_command.check("docker command", ENGINE) if mode is None else docker(login, WORKS, mode)
    assert row.sentence == f'no docker command can be run (docker: {why}; PATH is "{login}")'
    assert (row.level, row.hint[:24]) == (CRITICAL, "install docker's command")


def test_one_that_is_not_on_the_path_is_said_with_its_place(
    monkeypatch: pytest.MonkeyPatch, login: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    docker(elsewhere, WORKS)
    monkeypatch.setattr(docker_command, "PLACES", ("/nowhere", str(elsewhere)))
    row = docker_command.check("docker command", ENGINE)
    assert row.hint.startswith(f"{elsewhere}/docker is there: add {elsewhere} to the PATH of this login")


def test_without_an_engine_nothing_is_said_against_the_command(login: Path) -> None:
    asked = Request(DiskLimits((), 80, 90), Expected(0), f"unix://{login}/none.sock")
    (row,) = ask_all([one for one in questions(asked, Store("/azaion", str(login))) if one.name == COMMAND])
    said = f"it could not be tried: no docker engine at unix://{login}/none.sock"
    assert (row.level, row.sentence) == (SKIPPED, said)
