"""Sockets for SSH: every address of a name is tried, nothing waits for Nagle, and a dead peer is noticed."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from contextlib import suppress

from gpu_runbook.common.command import cause

UNACKNOWLEDGED = 20.0  # seconds that sent bytes may stay unanswered before the kernel gives the connection up
ENDING = 0.5  # seconds in which a ProxyCommand that has closed its output ends
COMPLAINT = 1 << 16  # bytes kept of what it says
STDERR = 2


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
    """The local end of a ProxyCommand; closing it ends the command.

    What it says on standard error is shown at once, as ssh does: it may be an address to open in a browser.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        ours, theirs = socket.socketpair()
        with theirs:
            # The words of ssh_config are a line for the shell, and OpenSSH runs them so.
            shell = ["/bin/sh", "-c", f"exec {command}"]
            self._process = subprocess.Popen(
                shell, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE, bufsize=0
            )
        super().__init__(fileno=ours.detach())
        self._said = b""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def ended(self) -> tuple[int | None, str]:
        """How it has ended, None while it runs on, and the line of what it said that names the cause."""
        try:
            status = self._process.wait(ENDING)
            self._listener.join(ENDING)
        except subprocess.TimeoutExpired:
            status = None
        return status, cause(self._said.decode("utf-8", "replace"))

    def close(self) -> None:
        super().close()
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101  it was asked for
        while block := self._process.stderr.read(4096):
            self._said = (self._said + block)[:COMPLAINT]
            with suppress(OSError):
                os.write(STDERR, block)
        self._process.stderr.close()


FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}  # as AddressFamily names them


def dial(host: str, port: int, seconds: float, family: str = "any", source: str = "") -> socket.socket:
    """A connected socket, from the address `source` if one is given.

    Raises OSError (its subclass tells which) for the address that was tried last.
    """
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
            if source:
                sock.bind(socket.getaddrinfo(source, 0, number, kind, 0, socket.AI_PASSIVE)[0][4])
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
