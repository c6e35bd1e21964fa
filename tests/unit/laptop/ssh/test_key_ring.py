"""Which of the keys that somebody names are refused at once, and that a file is read once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.ssh import key_files
from gpu_runbook.laptop.ssh.key_files import KeyFile
from gpu_runbook.laptop.ssh.key_ring import KeyRing
from tests.unit.laptop.ssh.keys import ed25519, text

PUBLIC = f"ssh-ed25519 {ed25519().get_base64()} me\n"


def test_a_file_is_read_once_for_all_who_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def once(path: Path, passphrase: Secret | None) -> KeyFile:
        read.append(path)
        return KeyFile(b"public")

    monkeypatch.setattr(key_files, "read", once)
    monkeypatch.setenv("HOME", str(tmp_path))
    ring = KeyRing()
    assert ring.read(tmp_path / "key") is ring.read(Path("~/key"))
    assert read == [tmp_path / "key"]


@pytest.mark.parametrize("of", ["a public key", "its public half beside it", "what it is, beside garbage"])
def test_a_key_that_an_agent_may_have_is_not_objected_to(tmp_path: Path, of: str) -> None:
    key = tmp_path / "key"
    beside = tmp_path / "key.pub"
    (key if of == "a public key" else beside).write_text(PUBLIC)
    if of == "what it is, beside garbage":
        key.write_text("a file of some agent")
    ring = KeyRing()
    assert ring.objection([key]) is None
    assert ring.read(key).public == key_files.public_blob(PUBLIC.encode())


def test_what_a_file_tells_itself_counts_before_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(PUBLIC)
    (tmp_path / "key.pub").write_text(f"ssh-ed25519 {ed25519().get_base64()} another\n")
    assert KeyRing().read(tmp_path / "key").public == key_files.public_blob(PUBLIC.encode())


def test_the_first_that_is_none_is_objected_to(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(PUBLIC)
    (tmp_path / "poem").write_text("roses are red")
    found = KeyRing().objection([tmp_path / "key", tmp_path / "poem", tmp_path / "nowhere"])
    assert found
    assert (found.path, found.problem) == (tmp_path / "poem", "is no private key")


def test_what_may_not_be_read_says_what_would_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, passphrase: Secret | None) -> KeyFile:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(key_files, "read", refuse)
    found = KeyRing().objection([tmp_path / "a key"])
    assert found
    assert found.problem == "cannot be read: Permission denied"
    assert found.remedy == f"make it yours, and chmod 600 '{tmp_path / 'a key'}'"


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_key_that_is_open_to_others_is_told_with_what_closes_it(tmp_path: Path, mode: int, told: bool) -> None:
    key = tmp_path / "a key"
    key.write_text(text())
    key.chmod(mode)
    ring = KeyRing()
    assert ring.objection([key]) is None
    assert bool(ring.exposed) is told
    for sentence in ring.exposed:
        subprocess.run(["sh", "-c", sentence.partition(": ")[2]], check=True)
        assert key.stat().st_mode & 0o777 == 0o600
