"""What of a sandbox can be seen without one: its places, its passwords, the words about it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sandbox import Sandbox, describe, found, lifecycle, status
from sandbox.passwords import AWKWARD, read, read_or_create


def here() -> tuple[int, int]:
    return os.getuid(), os.getgid()


def test_two_sandboxes_whose_bases_are_a_hundred_apart_share_no_port() -> None:
    one, other = Sandbox(port_base=24000), Sandbox(port_base=24100)
    assert len(set(one.ports.values())) == len(one.ports)
    assert not set(one.ports.values()) & set(other.ports.values())


def test_the_env_file_is_read_as_it_was_written_and_only_its_owner_may(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    written = read_or_create(sandbox, here())
    assert read(sandbox.env_file) == written
    assert AWKWARD in written["RABBITMQ_PASSWORD"]
    assert stat.S_IMODE(sandbox.env_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("made_before", [False, True])
def test_its_keys_and_passwords_lie_in_a_directory_of_its_owner_alone(tmp_path: Path, made_before: bool) -> None:
    sandbox = Sandbox(tmp_path / "sandbox", 65000)
    if made_before:
        sandbox.directory.mkdir(0o755)
    lifecycle._claim(sandbox, here())
    assert stat.S_IMODE(sandbox.directory.stat().st_mode) == 0o700


def test_passwords_are_new_with_every_sandbox_and_kept_while_it_lasts(tmp_path: Path) -> None:
    first = read_or_create(Sandbox(tmp_path), here())
    assert read_or_create(Sandbox(tmp_path), here()) == first
    (tmp_path / ".env").unlink()
    second = read_or_create(Sandbox(tmp_path), here())
    assert not {value for name, value in first.items() if "PASSWORD" in name} & set(second.values())


def test_where_nothing_was_brought_up_the_status_says_so_and_what_to_type(tmp_path: Path) -> None:
    lines = describe(status(found(tmp_path)))
    assert lines == [f"no sandbox is up in {tmp_path}", "next: fab sandbox.up"]
