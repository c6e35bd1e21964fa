"""A container that is not the login user: who may read what this login puts there, and what it can give at all."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK
from gpu_runbook.protocol.env_file import EnvFile
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.checks import env_file, preflight
from gpu_runbook.server.system import ownership

LOGIN, SHARED = 1000, 2000


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a login user who is in the group that the containers run with."""
    monkeypatch.setattr(os, "geteuid", lambda: LOGIN)
    monkeypatch.setattr(os, "getegid", lambda: LOGIN)
    monkeypatch.setattr(os, "getgroups", lambda: [LOGIN, SHARED])


@pytest.mark.parametrize(
    ("user", "mode", "owner", "may"),
    [
        ("2000:2000", 0o640, (1000, 2000), True),
        ("2000:2000", 0o600, (1000, 2000), False),
        ("2000:2000", 0o640, (1000, 1000), False),
        ("2000:2000", 0o644, (1000, 1000), True),
        ("1000:2000", 0o600, (1000, 1000), True),
        ("1000:2000", 0o040, (1000, 2000), False),  # the owner's bits alone count for the owner
        ("2000:2000", 0o604, (1000, 2000), False),  # and the group's for the group
        ("0:0", 0o600, (1000, 1000), True),
        ("2000", 0o640, (1000, 2000), True),  # its group is the image's secret
        ("2000", 0o600, (1000, 2000), False),
    ],
)
def test_who_may_read_is_decided_as_the_kernel_does_it(user: str, mode: int, owner: tuple[int, int], may: bool) -> None:
    assert ownership.may_read(mode, owner, user) is may


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ((0o600, LOGIN, LOGIN), (0o600, LOGIN, LOGIN)),
        ((0o644, LOGIN, SHARED), (0o644, LOGIN, SHARED)),
        ((0o644, 2000, SHARED), (0o664, LOGIN, SHARED)),
        ((0o600, 2000, SHARED), (0o660, LOGIN, SHARED)),
        ((0o400, 2000, SHARED), (0o440, LOGIN, SHARED)),
        ((0o600, 2000, 3000), (0o600, 2000, 3000)),  # which cannot be given, as is said then
    ],
)
def test_a_file_of_another_user_comes_back_as_one_of_the_group(
    login: None, wanted: tuple[int, int, int], given: tuple[int, int, int]
) -> None:
    assert ownership.alike(*wanted) == given


def test_root_gives_a_file_to_whoever_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert ownership.alike(0o600, 2000, 3000) == (0o600, 2000, 3000)


def config(folder: Path, user: str, owner: str = "", mode: int = 0o600) -> tuple[str, str, str]:
    entry = Wanted("queue", "consumer", config=ConfigFile(f"{folder}/config.yaml", owner, mode), user=user)
    row = preflight.config("queue config", entry)
    return row.level, row.sentence, row.hint


def test_a_config_that_the_container_could_not_read_ends_a_deploy(tmp_path: Path, login: None) -> None:
    level, sentence, hint = config(tmp_path, "2000:2000")
    assert (level, sentence) == (
        CRITICAL,
        f"queue runs as 2000:2000 and could not read {tmp_path}/config.yaml, "
        "which is to have owner 1000:1000 and mode 0600",
    )
    assert "config.mode" in hint
    assert config(tmp_path, "2000:2000", "1000:2000", 0o640)[0] == OK
    assert config(tmp_path, "")[0] == OK  # what a name stands for is the image's secret


def test_the_group_of_a_config_may_be_the_one_of_its_folder(tmp_path: Path, login: None) -> None:
    user = f"2000:{tmp_path.stat().st_gid}"
    tmp_path.chmod(0o2770)
    assert config(tmp_path, user, mode=0o640)[0] == OK
    tmp_path.chmod(0o770)
    assert config(tmp_path, user, mode=0o640)[0] == CRITICAL


@pytest.mark.parametrize(("user", "who"), [("1000:1000", "this login (1000)"), ("0:0", "root")])
def test_a_container_that_runs_as_somebody_who_can_do_more_is_remarked(
    tmp_path: Path, login: None, user: str, who: str
) -> None:
    level, sentence, _ = config(tmp_path, user)
    assert (level, f"queue runs as {who}: a user of its own could do less" in sentence) == (OK, True)
    assert "could do less" not in config(tmp_path, "2000:2000", "1000:2000", 0o640)[1]


def test_root_is_called_root_where_it_is_the_login_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "queue runs as root: a user of its own" in config(tmp_path, "0:0")[1]


def test_an_env_file_that_the_container_could_not_read_is_critical(tmp_path: Path) -> None:
    path = tmp_path / "queue.env"
    path.touch(mode=0o600)
    path.write_text("A=1\n")
    uid, gid = path.stat().st_uid, path.stat().st_gid
    given = EnvFile("queue", str(path), {"A": "1"}, f"{uid}:{gid}", user=f"2000:{gid}")
    row = env_file.check("env file", given)
    assert (row.level, f"queue runs as 2000:{gid} and could not read" in row.sentence) == (CRITICAL, True)
    path.chmod(0o640)
    assert env_file.check("env file", dataclasses.replace(given, mode=0o640)).level == OK


def test_the_group_of_an_env_file_without_an_owner_is_left_to_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "queue.env"
    path.touch(mode=0o600)
    path.write_text("A=1\n")
    monkeypatch.setattr(os, "getegid", lambda: path.stat().st_gid + 1)
    assert env_file.check("env file", EnvFile("queue", str(path), {"A": "1"})).level == OK
