"""A docker engine that is none: a server on a unix socket that answers every request with the same bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from gpu_runbook.server.docker.engine import Engine
from tests.hostile.properties import Ground


def http(body: bytes, status: int = 200, head: bytes | None = None) -> bytes:
    """An answer; `head` are its lines between the status and the body, a right Content-Length without it."""
    lines = b"Content-Length: %d\r\n" % len(body) if head is None else head
    return b"HTTP/1.1 %d Whatever\r\n%b\r\n%b" % (status, lines, body)


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


@contextlib.contextmanager
def answering(ground: Ground, said: bytes, endless: bool = False) -> Iterator[Engine]:
    """An engine that says this to every connection and hangs up; an endless one says it again and again."""
    path = ground.folder / "engine.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(16)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    if not connection.recv(65536):
                        continue
                    connection.sendall(said)
                    while endless:
                        connection.sendall(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield Engine(f"unix://{path}")
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
