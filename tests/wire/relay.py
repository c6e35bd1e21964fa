"""A TCP relay on loopback that can be told to fall silent, or to tear its connections down."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class Relay:
    """Passes bytes between its own port and the target's. `limit`: bytes of the target's that are let through."""

    def __init__(self, target: int, limit: int | None = None) -> None:
        self._target = target
        self._limit = limit
        self._silent = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def fall_silent(self) -> None:
        """From now on nothing passes and nothing is closed: a black hole."""
        self._silent.set()

    def reset(self) -> None:
        """Tear every connection down with a reset on both sides."""
        for pair in self._pairs:
            for sock in pair:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RD)
                sock.close()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((near, far))
            for source, sink, limit in ((near, far, None), (far, near, self._limit)):
                self._threads.append(threading.Thread(target=self._pass, args=(source, sink, limit)))
                self._threads[-1].start()

    def _pass(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        left = float("inf") if limit is None else limit
        with contextlib.suppress(OSError):
            while data := source.recv(1 if left < 1000 else 65536):
                if self._silent.is_set() or left <= 0:
                    continue
                sink.sendall(data)
                left -= len(data)
            if not self._silent.is_set() and left > 0:
                sink.shutdown(socket.SHUT_WR)
