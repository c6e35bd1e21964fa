"""What ssh_config says, read through the real ssh where there is one: a line means here what it means to ssh."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.ssh import config
from gpu_runbook.laptop.ssh.config import Destination, Source, SshConfig
from gpu_runbook.laptop.ssh.session import Session, SessionOptions
from tests.wire.sshd import USER, Entry, Sshd

OWN = "HostName 127.0.0.1\n Port {port}\n User {user}\n IdentityFile {key}\n"


@pytest.fixture
def alias(gpu1: Entry) -> Entry:
    """The server as hosts.yaml has it when all but its name is left to ssh_config."""
    return gpu1.but(address="gpu", port=None, user=None, key=None)


@pytest.fixture
def without_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def write(home: Path, sshd: Sshd, text: str) -> Path:
    file = home / ".ssh" / "config"
    own = OWN.format(port=sshd.port, user=USER, key=sshd.folder / "login")
    file.write_text(text.format(own=own, user=USER, port=sshd.port, folder=sshd.folder, home=home))
    return file


def refusal(entry: Entry) -> BadInput:
    with Session(entry) as session, pytest.raises(BadInput) as raised:
        session.open()
    return raised.value


BOTH = {
    "comments": "Host gpu # the big one\n HostName 127.0.0.1 # here\n Port {port} # sshd\n User {user}\n"
    ' IdentityFile "{folder}/login" # mine\nHost other # Bob\'s\n User x\n',
    "a file that is included": "Include {home}/included*\nHost gpu\n {own}",
    "Match final all": "Host gpu\n {own}Match final all\n ServerAliveInterval 10\n",
    "Match by the name": "Match Host g?u !user nobody\n {own}",
    "ProxyCommand none": "Host gpu\n {own} ProxyCommand none\nHost *\n ProxyJump nowhere\n",
    "what ssh alone needs": "Host gpu\n {own} AddKeysToAgent yes\n RekeyLimit 1G\n ControlMaster auto\n",
}
SSH = {
    "Match exec": 'Match originalhost gpu exec "test %h = gpu"\n {own}',
    "CanonicalizeHostname": "CanonicalizeHostname yes\nCanonicalDomains invalid\nHost gpu\n {own}",
    "tokens": "Host gpu\n HostName 127.0.0.1\n Port {port}\n User {user}\n IdentityFile {folder}/%%/../log%k\n"
    " HostKeyAlias in\n UserKnownHostsFile {home}/nothing {home}/%k_known\n",
    "a variable": "Host gpu\n HostName 127.0.0.1\n Port {port}\n User {user}\n IdentityFile ${{FOLDER}}/login\n",
}


def prepare(sshd: Sshd, home: Path) -> None:
    (home / "included").write_text("Host elsewhere\n User nobody\n")
    (home / "in_known").write_text(f"in {sshd.host_key('ed25519')}\n")
    (sshd.folder / "%").mkdir(exist_ok=True)
    os.environ["FOLDER"] = str(sshd.folder)


@pytest.mark.parametrize("text", [*BOTH.values(), *SSH.values()], ids=[*BOTH, *SSH])
def test_a_server_is_reached_as_ssh_config_has_it(sshd: Sshd, alias: Entry, home: Path, text: str) -> None:
    prepare(sshd, home)
    write(home, sshd, text)
    known_hosts = None if "UserKnownHostsFile" in text else alias.known_hosts
    with Session(alias.but(known_hosts=known_hosts)) as session:
        session.open()


@pytest.mark.parametrize("ssh", [True, False])
def test_a_match_sees_the_user_and_the_port_that_hosts_yaml_says(
    home: Path, ssh: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".ssh" / "config").write_text("Match user somebody\n HostName 127.0.0.9\n User x\n Port 7\n")
    if not ssh:
        monkeypatch.setenv("PATH", str(home))
    found = SshConfig().of("gpu-1", Destination("gpu", "somebody", 2222))
    assert (found.host, found.user, found.port) == ("127.0.0.9", "somebody", 2222)


@pytest.mark.usefixtures("without_ssh")
@pytest.mark.parametrize("text", BOTH.values(), ids=BOTH)
def test_and_so_it_is_where_there_is_no_ssh(sshd: Sshd, alias: Entry, home: Path, text: str) -> None:
    prepare(sshd, home)
    write(home, sshd, text)
    with Session(alias) as session:
        session.open()


UNKNOWN = "\nMatch spaceship 7\n HostName 127.0.0.9\nHost gpu\n {own}"


def test_what_ssh_does_not_take_is_said_with_its_place(sshd: Sshd, alias: Entry, home: Path) -> None:
    file = write(home, sshd, UNKNOWN)
    error = refusal(alias)
    assert error.message.startswith("gpu-1: ssh does not take what ssh_config says: ")
    assert f"{file} line 2: Bad Match condition" in error.message


@pytest.mark.usefixtures("without_ssh")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (UNKNOWN, 'line 2: the criterion "spaceship" of Match is not understood without ssh'),
        (
            "Match !LocalNetwork 10.0.0.0/8\n User x\n",
            'line 1: the criterion "localnetwork" of Match is not understood',
        ),
        ("Match user\n User x\n", "line 1: the criterion user of Match has no value"),
        ("\nInclude nowhere\n", 'line 2: it includes "nowhere", which is not there'),
        ("Host gpu\n Include {home}/.ssh/config\n", "line 2: an Include below a Host or Match is not read"),
        ("Include {home}/.ssh/config\n", "config is included by itself"),
        ("CanonicalizeHostname always\n", "line 1: CanonicalizeHostname is not understood without ssh"),
        ('Host "gpu\n', "line 1: a quote is not closed"),
        ("Host gpu\n Port\n", 'line 2: "Port" is no keyword with a value'),
    ],
)
def test_what_is_not_understood_without_ssh_is_named_and_never_met(
    sshd: Sshd, alias: Entry, home: Path, text: str, why: str
) -> None:
    file = write(home, sshd, text)
    error = refusal(alias)
    assert str(file) in error.message
    assert why in error.message


def test_ssh_is_asked_once_for_a_server_and_once_for_its_gateway(
    sshd: Sshd, alias: Entry, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexec {shutil.which("ssh")} "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    write(home, sshd, "Host gpu bastion\n {own}")
    with Session(alias.but(gateway="bastion")) as session:
        session.begin()
        session.open()
        with session.anew(1.0) as again:
            again.open()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert sorted(line.partition(" -- ")[2] for line in asked) == ["bastion", "gpu"]


def test_a_match_that_waits_for_something_has_a_deadline(
    sshd: Sshd, alias: Entry, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "SECONDS", 0.3)
    write(home, sshd, 'Match exec "sleep 60"\n User x\nHost gpu\n {own}')
    assert refusal(alias).message == "gpu-1: ssh -G gpu gave no answer within 0.3 s"


@pytest.mark.parametrize("kind", ["missing", "a folder", "no UTF-8"])
def test_a_file_of_one_s_own_is_read_whatever_its_bytes_are_or_named(
    sshd: Sshd, alias: Entry, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "own config"
    if kind == "a folder":
        file.mkdir()
    if kind == "no UTF-8":
        own = OWN.format(port=sshd.port, user=USER, key=sshd.folder / "login")
        file.write_bytes(f"Host gpu # M\xfcnchen\n {own}".encode("latin-1"))
    with Session(alias, SessionOptions(ssh_config=SshConfig(Source(file)))) as session:
        if kind == "no UTF-8":
            session.open()
        else:
            with pytest.raises(BadInput, match=f"the ssh_config {file} cannot be read: "):
                session.open()
