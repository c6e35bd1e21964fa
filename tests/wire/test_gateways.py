"""Gateways: the same sshd serves as every hop, each checked as strictly as the server."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput, CannotConnect
from gpu_runbook.laptop.rpc.call import ask
from gpu_runbook.laptop.ssh.session import Session, SessionOptions
from tests.wire.sshd import USER, Entry, Sshd, free_port

PIPE = """\
import os, socket, sys, threading
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def upwards():
    while data := os.read(0, 65536):
        sock.sendall(data)
threading.Thread(target=upwards, daemon=True).start()
while data := sock.recv(65536):
    os.write(1, data)
"""


@pytest.fixture
def hop(sshd: Sshd) -> str:
    return f"{USER}@127.0.0.1:{sshd.port}"


def logins(sshd: Sshd) -> int:
    return sshd.log().count("Accepted publickey")


@pytest.mark.parametrize("hops", [1, 2])
def test_a_server_is_reached_through_its_gateways(sshd: Sshd, gpu1: Entry, home: Path, hops: int) -> None:
    names = [f"bastion-{number}" for number in range(hops)]
    config = "".join(f"Host {name}\n HostName 127.0.0.1\n Port {sshd.port}\n User {USER}\n" for name in names)
    (home / ".ssh" / "config").write_text(config)
    before = logins(sshd)
    with Session(gpu1.but(gateway=",".join(names))) as session:
        assert ask(session, "ping", {})["user"] == USER
    assert logins(sshd) == before + hops + 1


def test_gateways_are_passed_in_the_order_given(sshd: Sshd, gpu1: Entry, hop: str) -> None:
    unreachable = f"{USER}@127.0.0.1:{free_port()}"
    with Session(gpu1.but(gateway=f"{hop},{unreachable}")) as session, pytest.raises(CannotConnect) as raised:
        session.open()
    target = unreachable.partition("@")[2].replace(":", " port ")
    said = f"gpu-1: gateway {unreachable}: its gateway 127.0.0.1 cannot reach {target}"
    assert raised.value.message == f'{said}: "Connection refused"'
    assert "is gateway: in hosts.yaml what the gateway calls it?" in raised.value.hint


def test_a_gateway_that_forwards_nothing_is_named_as_such(
    gpu1: Entry, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shut = Sshd(tmp_path_factory.mktemp("shut"), "AllowTcpForwarding no")
    known = tmp_path / "known"
    assert gpu1.known_hosts and gpu1.key and shut.entry.key
    known.write_text(gpu1.known_hosts.read_text() + (shut.folder / "known_hosts").read_text())
    keys = SessionOptions(keys=(shut.entry.key,))
    gateway = f"{USER}@127.0.0.1:{shut.port}"
    try:
        with (
            Session(gpu1.but(gateway=gateway, known_hosts=known), keys) as session,
            pytest.raises(CannotConnect) as one,
        ):
            session.open()
    finally:
        shut.stop()
    assert one.value.message == f"gpu-1: its gateway 127.0.0.1 lets nobody through to 127.0.0.1 port {gpu1.port}"
    assert "AllowTcpForwarding" in one.value.hint


@pytest.mark.parametrize(
    ("config", "address", "gateway", "blamed"),
    [
        ("", "gpu.invalid", None, "address: in hosts.yaml"),
        ("Host gpu\n HostName gpu.invalid\n", "gpu", None, "HostName of gpu in ssh_config"),
        ("", "127.0.0.1", "gpu.invalid", "gateway: in hosts.yaml"),
        ("Host 127.0.0.1\n ProxyJump gpu.invalid\n", "127.0.0.1", None, "ProxyJump in ssh_config"),
    ],
)
def test_of_a_name_that_is_not_known_it_is_said_where_it_stands(
    gpu1: Entry, home: Path, monkeypatch: pytest.MonkeyPatch, config: str, address: str, gateway: str, blamed: str
) -> None:
    def unknown(*asked: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (home / ".ssh" / "config").write_text(config)
    with Session(gpu1.but(address=address, gateway=gateway)) as session, pytest.raises(CannotConnect) as raised:
        session.open()
    assert raised.value.message.endswith("the name gpu.invalid is not known")
    assert raised.value.hint.startswith(f"check {blamed}")


@pytest.mark.parametrize("form", ["bastion", "ssh://{user}@bastion:{port}", "{user}@%n-bastion:{port}"])
def test_a_gateway_that_ssh_config_names_is_used(sshd: Sshd, gpu1: Entry, home: Path, form: str) -> None:
    own = f"HostName 127.0.0.1\n Port {sshd.port}\n User {USER}\n HostKeyAlias [127.0.0.1]:{sshd.port}\n"
    jump = form.format(user=USER, port=sshd.port)
    (home / ".ssh" / "config").write_text(f"Host *bastion\n {own}Host gpu\n {own} ProxyJump {jump}\n")
    before = logins(sshd)
    with Session(gpu1.but(address="gpu")) as session:
        assert ask(session, "ping", {})["user"] == USER
    assert logins(sshd) == before + 2


def test_a_gateway_for_every_server_is_not_one_for_itself(sshd: Sshd, gpu1: Entry, home: Path) -> None:
    own = f"HostName 127.0.0.1\n Port {sshd.port}\n User {USER}\n HostKeyAlias [127.0.0.1]:{sshd.port}\n"
    (home / ".ssh" / "config").write_text(f"Host gpu bastion\n {own}Host *\n ProxyJump bastion\n")
    before = logins(sshd)
    with Session(gpu1.but(address="gpu")) as session:
        session.open()
    assert logins(sshd) == before + 2


def test_gateways_without_an_end_are_named(gpu1: Entry, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host *\n ProxyJump %n-bastion\n")
    with Session(gpu1) as session, pytest.raises(BadInput, match="more than 8 gateways lead to"):
        session.open()


@pytest.mark.parametrize("line", ["ProxyJump {hop}", "ProxyCommand false"])
def test_none_in_hosts_yaml_is_no_gateway_whatever_ssh_config_says(
    sshd: Sshd, gpu1: Entry, home: Path, hop: str, line: str
) -> None:
    (home / ".ssh" / "config").write_text(f"Host 127.0.0.1\n {line.format(hop=hop)}\n")
    before = logins(sshd)
    with Session(gpu1.but(gateway="none")) as session:
        session.open()
    assert logins(sshd) == before + 1


def test_none_in_ssh_config_is_no_gateway_either(sshd: Sshd, gpu1: Entry, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host 127.0.0.1\n ProxyJump none\nHost *\n ProxyJump nowhere\n")
    before = logins(sshd)
    with Session(gpu1) as session:
        session.open()
    assert logins(sshd) == before + 1


def test_a_gateway_whose_host_key_is_not_known_is_refused(
    sshd: Sshd, gpu1: Entry, home: Path, hop: str, tmp_path: Path
) -> None:
    (home / ".ssh" / "config").write_text("Host bastion\n HostName localhost\n")
    gateway = f"{USER}@bastion:{sshd.port}"
    with Session(gpu1.but(gateway=gateway)) as session, pytest.raises(CannotConnect) as raised:
        session.open()
    assert raised.value.message.startswith(f"gpu-1: gateway {gateway}: the host key of [localhost]:{sshd.port} is not")


@pytest.mark.parametrize("said", ["", "Port 1\n"])
def test_a_proxy_command_carries_the_connection(sshd: Sshd, gpu1: Entry, home: Path, tmp_path: Path, said: str) -> None:
    """To the port of hosts.yaml, whatever ssh_config says of one."""
    (tmp_path / "pipe.py").write_text(PIPE)
    (home / ".ssh" / "config").write_text(
        f"Host 127.0.0.1\n {said} ProxyCommand {sys.executable} {tmp_path / 'pipe.py'} %p\n"
    )
    with Session(gpu1.but(port=sshd.port)) as session:
        assert ask(session, "ping", {})["user"] == USER


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("false", "ended with exit status 1"),
        ("echo hello", "leads to no SSH server"),
        ("sleep 60", "shows no SSH server within 0.5 s"),
        ("kill -9 $$", "was ended by signal 9"),
        (
            "sh -c 'echo denied by the proxy >&2; echo usage: pipe HOST >&2; exit 3'",
            'ended with exit status 3: "denied by the proxy"',
        ),
    ],
    ids=["silent", "another greeting", "too slow", "killed", "with words"],
)
def test_a_proxy_command_that_leads_nowhere_ends_in_a_sentence_with_its_own_words(
    gpu1: Entry, home: Path, capfd: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    (home / ".ssh" / "config").write_text(f"Host 127.0.0.1\n ProxyCommand {command}\n")
    with Session(gpu1.but(connect_timeout=0.5)) as session, pytest.raises(CannotConnect) as raised:
        session.open()
    assert raised.value.message == f'gpu-1: the ProxyCommand "{command}" of ssh_config {said}'
    assert ("usage: pipe HOST" in capfd.readouterr().err) is ("usage" in command)  # as it comes, as with ssh
