"""What each way of not connecting means, and that its hint fits."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest
from paramiko import ChannelException, SSHException

from gpu_runbook.laptop.ssh.failures import Attempt, explained

DOWN = "is the server up, and does a firewall let SSH through?"
ONLINE = "is this laptop online, and the VPN that it needs up?"


def of(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "of_attempt", "message", "hint"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, ""),
            {},
            "the name gpu is not known",
            "check address: in hosts.yaml; is a",
        ),
        (socket.gaierror(socket.EAI_AGAIN, ""), {}, "no name server has answered for gpu", ONLINE),
        (UnicodeError(), {}, "the name gpu is not known", "check address: in hosts.yaml"),
        (
            socket.gaierror(socket.EAI_NONAME, ""),
            {"family": "inet6"},
            "gpu has no address of the family inet6",
            "check AddressFamily in ssh_config, and address: in hosts.yaml",
        ),
        (of(errno.ECONNREFUSED), {}, "gpu port 22 refuses connections", "is sshd running there"),
        (of(errno.ENETUNREACH), {}, 'there is no way to gpu port 22: "Network is unreachable"', ONLINE),
        (of(errno.EHOSTUNREACH), {}, 'there is no way to gpu port 22: "No route to host"', ONLINE),
        (of(errno.EACCES), {}, 'connecting to gpu port 22 failed: "[Errno 13] Permission denied"', "ssh -v"),
        (
            of(errno.EADDRNOTAVAIL),
            {"bind": "10.0.0.9"},
            "BindAddress 10.0.0.9 of ssh_config is no address of this laptop",
            ONLINE,
        ),
        (of(errno.EADDRNOTAVAIL), {}, "connecting to gpu port 22 failed: ", "ssh -v"),
        (of(errno.ETIMEDOUT), {}, "no answer from gpu port 22 within 3 s", DOWN),
        (SSHException("Timeout opening channel."), {}, "no answer from gpu port 22 within 3 s", DOWN),
        (
            SSHException("Timeout opening channel."),
            {"gateway": "bastion"},
            "no answer from gpu port 22 by way of its gateway bastion within 3 s",
            DOWN,
        ),
        (SSHException("No existing session"), {}, "no answer from gpu port 22 within 3 s", DOWN),
        (
            SSHException("Error reading SSH protocol banner"),
            {},
            "gpu port 22 does not greet as an SSH server",
            "is the port right?",
        ),
        (EOFError(), {}, "gpu port 22 closed the connection before the login", "the log of its sshd"),
        (of(errno.ECONNRESET), {}, "gpu port 22 closed the connection before the login", "the log of its sshd"),
        (of(errno.EPIPE), {}, "gpu port 22 closed the connection before the login", "the log of its sshd"),
        (SSHException("so it was"), {}, 'connecting to gpu port 22 failed: "so it was"', "ssh -v"),
        (
            ChannelException(1, "open failed"),
            {"gateway": "bastion"},
            "its gateway bastion lets nobody through to gpu port 22",
            "check the gateway's sshd_config (AllowTcpForwarding",
        ),
        (
            ChannelException(2, "No route to host"),
            {"gateway": "bastion"},
            'its gateway bastion cannot reach gpu port 22: "No route to host"',
            "is its sshd running, and is address: in hosts.yaml what the gateway calls it?",
        ),
    ],
)
def test_each_failure_has_its_sentence_and_its_hint(
    error: BaseException, of_attempt: dict[str, Any], message: str, hint: str
) -> None:
    attempt = Attempt("gpu-1", "gpu", 22, "address: in hosts.yaml", 3.0, **of_attempt)
    found = explained(attempt, error, None)
    assert found.message.startswith(f"gpu-1: {message}")
    assert found.hint.startswith(hint)
    assert found.exit_code == 11
