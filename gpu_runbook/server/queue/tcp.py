"""Connects to a host and port under one deadline, the look-up of the name included."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, List

Timeout = socket.timeout  # the built-in TimeoutError only since Python 3.10
AHEAD = 1 << 15  # bytes that a peer may send before any of them is read


class StreamError(Exception):
    """The broker could not be asked, or said no. `message` is a sentence that names the address, never the password.

    `kind` is refused (or not to be reached at all), timeout (nobody takes the connection), silent (somebody does),
    unknown-name, not-a-stream-port, login, denied, no-stream, unavailable, miscounted or broke-off; with TLS also ca
    and what `common.tls_fault` knows. `heard`: what somebody says who does not speak the stream protocol.
    """

    def __init__(self, kind: str, message: str, heard: bytes = b"") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.heard = heard


def connect(host: str, port: int, until: float) -> socket.socket:
    """A connection to the first address of the name that takes one. Raises StreamError."""
    place = f"{host}:{port}"
    addresses = _resolve(host.strip("[]"), port, until)  # brackets are how an IPv6 address is written beside a port
    failure: OSError = Timeout()
    for index, entry in enumerate(addresses):
        left = (until - time.monotonic()) / (len(addresses) - index)
        try:
            return _connected(entry, max(left, 0.001))
        except OSError as error:
            failure = error
    if isinstance(failure, (Timeout, TimeoutError)):
        raise StreamError("timeout", f"{place} does not answer")
    if isinstance(failure, ConnectionRefusedError):
        raise StreamError("refused", f"{place} refused the connection")
    raise StreamError("refused", f"{place} cannot be reached ({failure.strerror or failure})")


def _connected(entry: Any, seconds: float) -> socket.socket:
    """A connection to one address, as getaddrinfo gives it. Raises OSError."""
    sock = socket.socket(entry[0], entry[1])
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, AHEAD)  # what is told to the peer as the connection opens
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(seconds)
        sock.connect(entry[4])
    except OSError:
        sock.close()
        raise
    return sock


def _resolve(host: str, port: int, until: float) -> List[Any]:
    """The addresses of a name, as getaddrinfo gives them; asked in a thread, since nothing bounds a resolver."""
    found: List[List[Any]] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            found.append([])

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(max(until - time.monotonic(), 0))
    if not found:
        raise StreamError("timeout", f"looking up the name {host!r} gave no answer in time")
    if not found[0]:
        raise StreamError("unknown-name", f"the name {host!r} is not known on this server")
    return found[0]
