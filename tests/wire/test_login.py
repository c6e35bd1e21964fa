"""Logging in at a real sshd: keys that are named, found, encrypted, refused, or in a real agent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.ssh.session import Session, SessionOptions
from tests.wire.sshd import USER, Entry, Sshd, keygen, wait_until


def refusal(entry: Entry, options: SessionOptions | None = None) -> CannotConnect:
    with Session(entry, options) as session, pytest.raises(CannotConnect) as raised:
        session.open()
    return raised.value


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A key that the server does not accept."""
    keygen(tmp_path / "stranger", "ed25519")
    return tmp_path / "stranger"


@pytest.fixture
def locked(sshd: Sshd, tmp_path: Path) -> Path:
    """The login key, encrypted."""
    file = tmp_path / "locked"
    file.write_bytes((sshd.folder / "login").read_bytes())
    file.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "swordfish", "-f", str(file)], check=True, capture_output=True)
    return file


@pytest.fixture
def agent(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real agent that holds the login key."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    process = subprocess.Popen(["ssh-agent", "-D", "-a", os.environ["SSH_AUTH_SOCK"]], stdout=subprocess.DEVNULL)
    wait_until((tmp_path / "agent").exists, "the agent listens")
    subprocess.run(["ssh-add", "-q", str(sshd.folder / "login")], check=True)
    yield
    process.terminate()
    process.wait()


def test_a_key_that_is_not_accepted_is_named(gpu1: Entry, stranger: Path) -> None:
    error = refusal(gpu1.but(key=stranger))
    assert error.message == f"gpu-1 did not accept {USER}: tried {stranger}"
    assert "authorized_keys" in error.hint


def test_a_key_that_is_not_there_is_named(gpu1: Entry, tmp_path: Path) -> None:
    error = refusal(gpu1.but(key=tmp_path / "nowhere"))
    assert error.message == f"gpu-1: the key {tmp_path / 'nowhere'} cannot be read: No such file or directory"


def test_a_file_that_is_no_key_is_named(gpu1: Entry, tmp_path: Path) -> None:
    (tmp_path / "poem").write_text("roses are red")
    assert refusal(gpu1.but(key=tmp_path / "poem")).message == f"gpu-1: {tmp_path / 'poem'} is no private key"


def test_a_key_of_the_command_line_comes_first(gpu1: Entry, stranger: Path) -> None:
    assert gpu1.key is not None
    with Session(gpu1.but(key=stranger), SessionOptions(keys=(gpu1.key,))) as session:
        session.open()


def test_the_next_key_is_tried_when_the_first_is_not_accepted(gpu1: Entry, stranger: Path) -> None:
    with Session(gpu1, SessionOptions(keys=(stranger,))) as session:
        session.open()


def test_an_encrypted_key_says_how_to_give_its_passphrase(gpu1: Entry, locked: Path) -> None:
    error = refusal(gpu1.but(key=locked))
    assert error.message == f"gpu-1: the key {locked} is encrypted and no passphrase was given"
    assert "--prompt-for-passphrase" in error.hint


def test_an_encrypted_key_opens_with_its_passphrase(gpu1: Entry, locked: Path) -> None:
    with Session(gpu1.but(key=locked), SessionOptions(passphrase=Secret("swordfish"))) as session:
        session.open()


def test_a_wrong_passphrase_is_said_and_not_shown(gpu1: Entry, locked: Path) -> None:
    error = refusal(gpu1.but(key=locked), SessionOptions(passphrase=Secret("haddock")))
    assert "the passphrase is wrong" in error.message
    assert "haddock" not in error.message + error.hint


def test_nothing_to_log_in_with_is_said(gpu1: Entry) -> None:
    error = refusal(gpu1.but(key=None))
    assert error.message == f"gpu-1: there is no key to log in with as {USER}"


@pytest.mark.usefixtures("agent")
def test_an_agent_is_asked_when_no_key_is_named(gpu1: Entry) -> None:
    with Session(gpu1.but(key=None)) as session:
        session.open()


@pytest.mark.usefixtures("agent")
def test_an_agent_is_not_asked_when_a_key_is_named(gpu1: Entry, stranger: Path) -> None:
    assert refusal(gpu1.but(key=stranger)).message.endswith(f"tried {stranger}")


def test_a_key_in_the_usual_place_is_found(sshd: Sshd, gpu1: Entry, home: Path) -> None:
    (home / ".ssh" / "id_ed25519").write_bytes((sshd.folder / "login").read_bytes())
    with Session(gpu1.but(key=None)) as session:
        session.open()


def test_what_ssh_config_says_of_an_alias_is_heeded(sshd: Sshd, gpu1: Entry, home: Path) -> None:
    (home / ".ssh" / "config").write_text(
        f"Host gpu\n HostName 127.0.0.1\n Port {sshd.port}\n User {USER}\n IdentityFile {sshd.folder / 'login'}\n"
    )
    with Session(gpu1.but(address="gpu", port=None, user=None, key=None)) as session:
        session.open()


def test_a_file_that_ssh_config_includes_is_warned_of_when_it_speaks_of_the_server(gpu1: Entry, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Include extra*\n")
    (home / ".ssh" / "extra").write_text("Host 127.0.0.1\n User somebody\n")
    (home / ".ssh" / "extra2").write_text("Host elsewhere\n User somebody\n")
    (warning,) = Session(gpu1).warnings
    assert warning.startswith(f"gpu-1: {home / '.ssh' / 'extra'} is included by ssh_config and not read")
