"""Logging in at a real sshd: keys that are named, found, encrypted, refused, or in a real agent."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paramiko import Ed25519Key, RSAKey

from gpu_runbook.laptop.errors import BadInput, CannotConnect
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.ssh import agent
from gpu_runbook.laptop.ssh.key_ring import KeyRing
from gpu_runbook.laptop.ssh.session import Session, SessionOptions
from tests.wire.picky import Picky
from tests.wire.sshd import USER, Entry, Sshd, keygen, signed, wait_until


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
def real_agent(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real agent that holds the login key."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    process = subprocess.Popen(["ssh-agent", "-D", "-a", os.environ["SSH_AUTH_SOCK"]], stdout=subprocess.DEVNULL)
    wait_until((tmp_path / "agent").exists, "the agent listens")
    subprocess.run(["ssh-add", "-q", str(sshd.folder / "login")], check=True)
    yield
    process.terminate()
    process.wait()


@pytest.fixture
def picky(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Picky]:
    """An agent that holds a key of no use and the login key, and signs or not."""
    keygen(tmp_path / "other", "ed25519")
    keys = [Ed25519Key.from_private_key_file(str(file)) for file in (tmp_path / "other", sshd.folder / "login")]
    agent = Picky(tmp_path / "picky", keys)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.path))
    yield agent
    agent.stop()


def test_a_key_that_is_not_accepted_is_named(gpu1: Entry, stranger: Path) -> None:
    error = refusal(gpu1.but(key=stranger))
    assert error.message == f"gpu-1 did not accept {USER}: tried {stranger}"
    assert "authorized_keys" in error.hint


def a_poem(file: Path) -> None:
    file.write_text("roses are red")


@pytest.mark.parametrize(
    ("make", "problem", "remedy"),
    [
        (lambda file: None, "does not exist", "correct the path, or leave it out"),
        (Path.mkdir, "is a directory", "name the file in it"),
        (a_poem, "is no private key", "name the file of a key"),
        (lambda file: file.write_text("PuTTY-User-Key-File-3: ssh-ed25519\n"), "is a key of PuTTY's", "puttygen "),
        (lambda file: file.write_text("---- BEGIN SSH2 ENCRYPTED"), "is a key of ssh.com's", "ssh-keygen -i "),
    ],
    ids=["missing", "a folder", "a poem", "PuTTY", "ssh.com"],
)
@pytest.mark.parametrize("place", ["hosts.yaml", "the command line", "Fabric's settings"])
def test_a_key_that_is_named_and_is_none_is_bad_input_and_nothing_is_contacted(
    sshd: Sshd, gpu1: Entry, tmp_path: Path, make: Callable[[Path], Any], problem: str, remedy: str, place: str
) -> None:
    key = tmp_path / "key"
    make(key)
    options, by = {
        "hosts.yaml": (
            SessionOptions(complaint="hosts.yaml:7: hosts.gpu-1.{}: {}".format),
            "hosts.yaml:7: hosts.gpu-1.key",
        ),
        "the command line": (SessionOptions(keys=(key,)), "fab -i"),
        "Fabric's settings": (SessionOptions(keys=(key,), keys_by="a setting"), "a setting"),
    }[place]
    before = sshd.log()
    entry = gpu1.but(key=key) if place == "hosts.yaml" else gpu1
    with Session(entry, options) as session, pytest.raises(BadInput) as raised:
        session.open()
    assert raised.value.message == f"{by}: {key} {problem}"
    assert raised.value.hint.startswith(remedy)
    assert sshd.log() == before


def test_a_key_of_the_command_line_is_taken_whatever_hosts_yaml_names(gpu1: Entry, tmp_path: Path) -> None:
    assert gpu1.key is not None
    with Session(gpu1.but(key=tmp_path / "nowhere"), SessionOptions(keys=(gpu1.key,))) as session:
        session.open()


def test_a_key_that_others_may_read_is_used_and_said_to_be_open(sshd: Sshd, gpu1: Entry, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes((sshd.folder / "login").read_bytes())
    for mode in (0o600, 0o640):
        key.chmod(mode)
        with Session(gpu1.but(key=key)) as session:
            session.open()
    told = f"the key {key} is open to others (mode 0640), and ssh would not use it: chmod 600 {key}"
    assert [*session.notices] == [told]


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
    with Session(gpu1.but(key=locked), SessionOptions(ring=KeyRing(Secret("swordfish")))) as session:
        session.open()


def test_a_wrong_passphrase_is_said_and_not_shown(gpu1: Entry, locked: Path) -> None:
    options = SessionOptions(ring=KeyRing(Secret("haddock")))
    with Session(gpu1.but(key=locked), options) as session, pytest.raises(BadInput) as raised:
        session.open()
    assert f"{locked} is not opened by the passphrase that was typed" in raised.value.message
    assert "haddock" not in raised.value.message + raised.value.hint
    assert gpu1.key is not None
    with Session(gpu1, replace(options, keys=(locked, gpu1.key))) as session:  # it opens one of them
        session.open()


def test_nothing_to_log_in_with_is_said(gpu1: Entry) -> None:
    error = refusal(gpu1.but(key=None))
    assert error.message == f"gpu-1: there is no key to log in with as {USER}"


@pytest.mark.usefixtures("real_agent")
def test_an_agent_is_asked_when_no_key_is_named(gpu1: Entry) -> None:
    with Session(gpu1.but(key=None)) as session:
        session.open()


@pytest.mark.usefixtures("real_agent")
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


@pytest.mark.usefixtures("real_agent")
@pytest.mark.parametrize(
    "how", ["the public half", "a key that is not there", "an encrypted key", "key: in hosts.yaml"]
)
def test_a_key_whose_private_half_is_in_the_agent_alone_is_picked_there(
    sshd: Sshd, gpu1: Entry, home: Path, locked: Path, stranger: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """As 1Password and Secretive have it: behind a socket that ssh_config names, among keys that are not wanted."""
    for number in range(3):
        keygen(home / f"other{number}", "ed25519")
        subprocess.run(["ssh-add", "-q", str(home / f"other{number}")], check=True)
    public = home / ".ssh" / "gpu.pub"
    public.write_bytes((sshd.folder / "login.pub").read_bytes())
    named = {"the public half": public, "a key that is not there": home / ".ssh" / "gpu", "an encrypted key": locked}
    (home / ".ssh" / "config").write_text(
        f'Host *\n IdentityAgent "{os.environ["SSH_AUTH_SOCK"]}"\n IdentitiesOnly yes\n'
        f" IdentityFile {named.get(how, stranger)}\n"
    )
    monkeypatch.delenv("SSH_AUTH_SOCK")
    before = sshd.log().count("Failed publickey")
    with Session(gpu1.but(key=None if how in named else public)) as session:
        session.open()
    assert sshd.log().count("Failed publickey") == before


@pytest.mark.usefixtures("real_agent")
@pytest.mark.parametrize("line", ["IdentityAgent none", "IdentitiesOnly yes"])
def test_an_agent_that_ssh_config_switches_off_is_not_asked(gpu1: Entry, home: Path, line: str) -> None:
    (home / ".ssh" / "config").write_text(f"{line}\n")
    assert "there is no key to log in with" in refusal(gpu1.but(key=None)).message


def test_an_agent_signs_for_no_key_but_the_one_that_the_server_takes(gpu1: Entry, picky: Picky) -> None:
    """Each signature may cost somebody a touch."""
    with Session(gpu1.but(key=None)) as session:
        session.open()
    assert picky.signed == 1


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("refuse", "refused to sign"),
        ("hang up", "did not sign: it hung up"),
        ("say nothing", "did not sign within 0.3 s"),
        ("say too much", "did not sign: it answered 1000000 bytes"),
        ("say too little", "did not sign: it answered 0 bytes"),
    ],
)
def test_an_agent_that_lists_a_key_and_does_not_sign_is_named_as_such(
    gpu1: Entry, picky: Picky, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], way: str, said: str
) -> None:
    monkeypatch.setattr(agent, "PATIENCE", 0.3)
    monkeypatch.setattr(agent, "SOON", 0.1)
    picky.way = way
    error = refusal(gpu1.but(key=None))
    assert error.message == f"gpu-1 would let {USER} in with key-1 of the agent, and the agent {picky.path} {said}"
    assert "unlock the agent" in error.hint
    waits = f"waiting for the agent {picky.path} to sign: does it want to be unlocked"
    assert (waits in capfd.readouterr().err) is (way == "say nothing")


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_what_an_agent_does_not_sign_may_still_be_had_by_the_file(
    sshd: Sshd, gpu1: Entry, home: Path, picky: Picky, kind: str
) -> None:
    """The same key, or another one: a signature that fails ends no connection."""
    picky.way = "refuse"
    (home / ".ssh" / "id_ed25519").write_bytes((sshd.folder / "login").read_bytes())
    authorized = sshd.folder / "authorized_keys"
    kept = authorized.read_text()
    if kind == "rsa":
        keygen(home / "rsa", "rsa")
        picky.keys = [RSAKey.from_private_key_file(str(home / "rsa"))]
        authorized.write_text(kept + (home / "rsa.pub").read_text())
    try:
        with Session(gpu1.but(key=None)) as session:
            session.open()
    finally:
        authorized.write_text(kept)
    assert picky.signed == 1


def test_an_agent_that_holds_nothing_is_said_to(gpu1: Entry, picky: Picky) -> None:
    picky.keys = []
    said = f"gpu-1: there is no key to log in with as {USER}; the agent {picky.path} holds none"
    assert refusal(gpu1.but(key=None)).message == said


def test_an_agent_that_is_not_there_is_said_to(gpu1: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    error = refusal(gpu1.but(key=None))
    assert f"; the agent {tmp_path / 'nobody'} cannot be reached: No such file or directory" in error.message


def test_a_certificate_is_offered_before_its_key_and_not_instead_of_it(sshd: Sshd, gpu1: Entry, tmp_path: Path) -> None:
    shutil.copy(sshd.folder / "login", tmp_path)
    shutil.copy(sshd.folder / "login.pub", tmp_path)
    keygen(tmp_path / "ca", "ed25519")
    signed(tmp_path / "ca", tmp_path / "login.pub", "-n", USER)
    before = sshd.log().count("Failed publickey")
    with Session(gpu1.but(key=tmp_path / "login")) as session:
        session.open()
    assert sshd.log().count("Failed publickey") == before + 1
    (tmp_path / "login-cert.pub").write_text("garbage")
    with Session(gpu1.but(key=tmp_path / "login")) as session:
        session.open()


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_certificate_alone_is_enough_where_its_authority_is_trusted(
    sshd: Sshd, gpu1: Entry, home: Path, tmp_path: Path, kind: str
) -> None:
    keygen(tmp_path / "ca", "ed25519")
    keygen(tmp_path / "mine", kind)
    elsewhere = signed(tmp_path / "ca", tmp_path / "mine.pub", "-n", USER).rename(tmp_path / "elsewhere.pub")
    (home / ".ssh" / "config").write_text(f"IdentityFile {tmp_path / 'mine'}\nCertificateFile {elsewhere}\n")
    authorized = sshd.folder / "authorized_keys"
    kept = authorized.read_text()
    authorized.write_text(f"cert-authority {(tmp_path / 'ca.pub').read_text()}")
    try:
        with Session(gpu1.but(key=None)) as session:
            session.open()
    finally:
        authorized.write_text(kept)


def test_a_second_factor_is_named_as_such(tmp_path_factory: pytest.TempPathFactory) -> None:
    more = "AuthenticationMethods publickey,password\nPasswordAuthentication yes"
    server = Sshd(tmp_path_factory.mktemp("two"), more)
    said = f'gpu-1 accepted {server.entry.key} of {USER} and wants a second factor: "password"'
    try:
        error = refusal(server.entry)
        assert (error.message, error.hint) == (said, "fab --prompt-for-login-password")
        wrong = refusal(server.entry, SessionOptions(password=Secret("swordfish")))
        assert wrong.message == f"{said}; the password that was typed is not what it wants"
        assert "a code cannot be typed here" in wrong.hint
    finally:
        server.stop()
