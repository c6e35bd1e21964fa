"""Sockets for SSH: every address of a name is tried, nothing waits for Nagle, and a dead peer is noticed."""

from __future__ import annotations

import socket
import subprocess
import time

UNACKNOWLEDGED = 20.0  # seconds that sent bytes may stay unanswered before the kernel gives the connection up


class Prompt(socket.socket):
    """A TCP socket that acknowledges at once.

    sshd leaves Nagle on: it holds a small packet back until the one before is acknowledged, and a delayed
    acknowledgement would cost 40 ms each time. The kernel forgets the option, so it is set again on every read.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        if hasattr(socket, "TCP_QUICKACK"):
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


class Piped(socket.socket):
    """The local end of a ProxyCommand; closing it ends the command."""

    def __init__(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # The words of ssh_config are a line for the shell, and OpenSSH runs them so.
            shell = ["/bin/sh", "-c", f"exec {command}"]
            self._process = subprocess.Popen(shell, stdin=theirs.fileno(), stdout=theirs.fileno())
        super().__init__(fileno=ours.detach())

    def close(self) -> None:
        super().close()
        self._process.kill()
        self._process.wait()


FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}  # as AddressFamily names them


def dial(host: str, port: int, seconds: float, family: str = "any") -> socket.socket:
    """A connected socket. Raises OSError (its subclass tells which) for the address that was tried last."""
    until = time.monotonic() + seconds
    addresses = socket.getaddrinfo(host, port, FAMILIES.get(family, socket.AF_UNSPEC), socket.SOCK_STREAM)
    failure: OSError = TimeoutError("no time was left")
    for tried, (number, kind, protocol, _, address) in enumerate(addresses):
        # An equal share for each, so that an address that swallows packets leaves time for the others.
        share = (until - time.monotonic()) / (len(addresses) - tried)
        if share <= 0:
            break
        sock = Prompt(number, kind, protocol)
        try:
            sock.settimeout(share)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNACKNOWLEDGED * 1000))
        return sock
    raise failure
