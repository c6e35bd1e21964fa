"""Speaks TLS with a broker, and says by whose fault that fails."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Iterator

from gpu_runbook.server.queue.tcp import StreamError


def secured(sock: socket.socket, host: str, ca: str, place: str) -> Any:
    """The connection, in TLS with whoever proves to be `host`, by the certificates in the file `ca`; empty for those
    that this server trusts anyway. It is a socket as far as a stream needs one.

    Raises StreamError, and OSError where the connection is late.
    """
    try:
        import ssl  # takes as long as all the rest, and most brokers are asked without

        context = ssl.create_default_context(cafile=ca or None)
    except (ImportError, OSError) as error:
        sock.close()
        raise StreamError("ca", f"{ca or 'TLS'} cannot be used on this server ({error})") from error
    with _explained(place, (ssl.SSLError, ConnectionError), agreed=False):
        return _Spoken(context.wrap_socket(sock, server_hostname=host.strip("[]")), place, ssl.SSLError)


@contextlib.contextmanager
def _explained(place: str, errors: Any, agreed: bool = True) -> Iterator[None]:
    """These errors in words."""
    try:
        yield
    except errors as error:
        from gpu_runbook.common.tls_fault import fault

        kind, said = fault(error, agreed)
        raise StreamError(kind, f"{place} {said}") from error


class _Spoken:
    """What TLS itself says later is told as at its beginning: who wants a certificate of ours says so then."""

    def __init__(self, sock: Any, place: str, errors: Any) -> None:
        self._socket = sock
        self._place, self._errors = place, errors

    def recv(self, size: int) -> bytes:
        with _explained(self._place, self._errors):
            said: bytes = self._socket.recv(size)
            return said

    def sendall(self, data: bytes) -> None:
        with _explained(self._place, self._errors):
            self._socket.sendall(data)

    def settimeout(self, seconds: float) -> None:
        self._socket.settimeout(seconds)

    def close(self) -> None:
        self._socket.close()
