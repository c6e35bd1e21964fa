"""A narrow line to a port of loopback: so many bytes a second, few of them on their way, and all of them counted."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

AT_ONCE = 1 << 13  # bytes
ON_THE_WAY = 1 << 13  # bytes that either end of the line holds before it takes more


class Line(socketserver.ThreadingTCPServer):
    """A port of loopback that leads to another one."""

    daemon_threads = True

    def __init__(self, target: int, rate: float) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port: int = self.server_address[1]
        self.target = target
        self.rate = rate  # bytes a second, towards who connects
        self.carried = 0  # bytes, in that direction, over all connections


class _Connection(socketserver.BaseRequestHandler):
    server: Line
    request: socket.socket

    def handle(self) -> None:
        """Carry until either end is gone; what is then on its way is lost, and the other end is told."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ON_THE_WAY)
        with socket.socket() as far, contextlib.suppress(OSError):
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ON_THE_WAY)
            far.connect(("127.0.0.1", self.server.target))
            threading.Thread(target=_forward, args=(self.request, far), daemon=True).start()
            while block := far.recv(AT_ONCE):
                self.request.sendall(block)
                self.server.carried += len(block)
                time.sleep(len(block) / self.server.rate)


def _forward(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(AT_ONCE):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def narrow(target: int, rate: float) -> Iterator[Line]:
    """A line to a port for as long as it is needed. `rate`: bytes a second."""
    with Line(target, rate) as line:
        thread = threading.Thread(target=line.serve_forever)
        thread.start()
        try:
            yield line
        finally:
            line.shutdown()
            thread.join()
