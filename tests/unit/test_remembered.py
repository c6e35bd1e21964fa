"""A hosts.yaml that was in order is not checked twice, and nothing but that very file is taken from memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runbook import remembered
from runbook.errors import BadInput
from runbook.inventory import load_inventory

TEXT = "hosts: {gpu-1: {address: gpu-1.lan, port: 22, root: /azaion}}\n"
ASK = """
import sys
from pathlib import Path
from runbook.inventory import load_inventory
print(load_inventory(Path(sys.argv[1])).hosts["gpu-1"].port, "pydantic" in sys.modules)
"""


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hosts.yaml, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "hosts.yaml"
    file.write_text(TEXT)
    return file


def asked(hosts: Path) -> str:
    words = [sys.executable, "-c", ASK, str(hosts)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def kept(hosts: Path) -> Path:
    (file,) = (hosts.parent / "cache" / "gpu-runbook").iterdir()
    return file


def test_the_second_command_does_without_pydantic(hosts: Path) -> None:
    assert asked(hosts) == "22 True"
    assert asked(hosts) == "22 False"


def test_what_is_remembered_is_what_was_read(hosts: Path) -> None:
    first = load_inventory(hosts)
    mark = remembered.fingerprint(hosts)
    assert remembered.recall(hosts, mark) == first == load_inventory(hosts)


def test_a_changed_file_is_read_anew(hosts: Path) -> None:
    load_inventory(hosts)
    hosts.write_text(TEXT.replace("22", "23"))
    assert load_inventory(hosts).hosts["gpu-1"].port == 23
    assert len(list(kept(hosts).parent.iterdir())) == 1


def test_a_wrong_file_is_not_remembered(hosts: Path) -> None:
    hosts.write_text(TEXT.replace("22", "no port"))
    for _ in range(2):
        with pytest.raises(BadInput):
            load_inventory(hosts)
    assert not (hosts.parent / "cache").exists()


def test_another_version_of_the_tool_reads_anew(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_inventory(hosts)
    monkeypatch.setattr(remembered, "_CHECKED_BY", ("fields.py",))
    assert remembered.recall(hosts, remembered.fingerprint(hosts)) is None


def test_the_same_file_for_another_home_reads_anew(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.write_text("hosts: {gpu-1: {address: gpu-1.lan, key: ~/.ssh/key, root: /azaion}}\n")
    load_inventory(hosts)
    monkeypatch.setenv("HOME", str(hosts.parent / "other"))
    assert load_inventory(hosts).hosts["gpu-1"].key == hosts.parent / "other" / ".ssh" / "key"


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_memory_is_no_harm(hosts: Path, damage: bytes | None) -> None:
    before = load_inventory(hosts)
    kept(hosts).write_bytes(kept(hosts).read_bytes()[:-9] if damage is None else damage)
    assert load_inventory(hosts) == before


def test_what_others_may_write_is_not_unpickled(hosts: Path) -> None:
    load_inventory(hosts)
    kept(hosts).chmod(0o622)
    assert remembered.recall(hosts, remembered.fingerprint(hosts)) is None


def test_it_is_the_users_own(hosts: Path) -> None:
    load_inventory(hosts)
    assert kept(hosts).stat().st_mode & 0o777 == 0o600
    assert kept(hosts).parent.stat().st_mode & 0o777 == 0o700


def test_nowhere_to_remember_is_no_harm(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert load_inventory(hosts) == load_inventory(hosts)
