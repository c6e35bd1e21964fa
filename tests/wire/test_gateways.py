"""Gateways: the same sshd serves as every hop, each checked as strictly as the server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput, CannotConnect
from gpu_runbook.laptop.rpc.call import ask
from gpu_runbook.laptop.ssh.session import Session
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
    assert raised.value.message.startswith(f"gpu-1: gateway {unreachable}: its gateway 127.0.0.1 cannot reach")


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


@pytest.mark.parametrize("place", ["hosts.yaml", "ssh_config"])
def test_none_is_no_gateway(sshd: Sshd, gpu1: Entry, home: Path, hop: str, place: str) -> None:
    jump = hop if place == "hosts.yaml" else "none"
    (home / ".ssh" / "config").write_text(f"Host 127.0.0.1\n ProxyJump {jump}\n")
    before = logins(sshd)
    with Session(gpu1.but(gateway="none" if place == "hosts.yaml" else None)) as session:
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


def test_a_proxy_command_that_fails_ends_in_a_sentence(gpu1: Entry, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host 127.0.0.1\n ProxyCommand false\n")
    with Session(gpu1) as session, pytest.raises(CannotConnect, match=r'^gpu-1: the ProxyCommand "false" of'):
        session.open()
