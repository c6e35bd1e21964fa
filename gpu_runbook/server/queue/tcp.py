"""Connects to a host and port under one deadline, the look-up of the name included; and speaks TLS there."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, List

Timeout = socket.timeout  # the built-in TimeoutError only since Python 3.10


class StreamError(Exception):
    """The broker could not be asked, or said no. `message` is a sentence that names the address, never the password.

    `kind` is refused (or not to be reached at all), timeout, unknown-name, not-a-stream-port, login, denied, no-stream,
    unavailable or broke-off; with TLS also ca, not-tls, or certificate and the number that OpenSSL has for why not.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def connect(host: str, port: int, until: float) -> socket.socket:
    """A connection to the first address of the name that takes one. Raises StreamError."""
    place = f"{host}:{port}"
    addresses = _resolve(host.strip("[]"), port, until)  # brackets are how an IPv6 address is written beside a port
    failure: OSError = Timeout()
    for index, entry in enumerate(addresses):
        left = (until - time.monotonic()) / (len(addresses) - index)
        try:
            sock = socket.create_connection(entry[4][:2], max(left, 0.001))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            failure = error
    if isinstance(failure, (Timeout, TimeoutError)):
        raise StreamError("timeout", f"{place} does not answer")
    if isinstance(failure, ConnectionRefusedError):
        raise StreamError("refused", f"{place} refused the connection")
    raise StreamError("refused", f"{place} cannot be reached ({failure.strerror or failure})")


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


def secured(sock: socket.socket, host: str, ca: str, place: str) -> socket.socket:
    """The connection, in TLS with whoever proves to be `host`, by the certificates in the file `ca`; empty for those
    that this server trusts anyway. Raises StreamError, and OSError where the connection is lost or late.
    """
    try:
        import ssl  # takes as long as all the rest, and most brokers are asked without

        context = ssl.create_default_context(cafile=ca or None)
    except (ImportError, OSError) as error:
        sock.close()
        raise StreamError("ca", f"{ca or 'TLS'} cannot be used on this server ({error})") from error
    try:
        return context.wrap_socket(sock, server_hostname=host.strip("[]"))
    except ssl.SSLCertVerificationError as error:
        said = f"{place} has a certificate that is not accepted ({error.verify_message})"
        raise StreamError(f"certificate {error.verify_code}", said) from error
    except ssl.SSLError as error:
        raise StreamError("not-tls", f"{place} does not speak TLS as it should ({error})") from error
