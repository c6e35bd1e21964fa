"""HTTP over a unix socket, as far as a docker engine is asked: one request, one answer, and the connection ends.

Version 1.0, so that no answer comes in chunks. Python's own client would cost every call 25 ms on the server: it
brings in the mail parser and TLS.
"""

from __future__ import annotations

import re
import select
import socket
import time
from typing import Dict, Optional, Tuple

BLOCK = 1 << 16  # bytes read at a time
HEAD = 1 << 16  # bytes of status line and headers

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |\r|$)")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)


class Broken(OSError):
    """What came is no answer, or less of it than was announced."""


class Answer:
    """An answer whose head was read; its body is read as it comes.

    `seconds` bounds the whole of it or, for one that is `endless`, each silence in it. Raises OSError throughout.
    """

    def __init__(self, path: str, request: bytes, seconds: float, endless: bool = False) -> None:
        self._seconds = seconds
        self._until = None if endless else time.monotonic() + seconds
        self._buffer = bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(seconds)
            self._socket.connect(path)
            self._socket.sendall(request)
            self.status, self._length = self._head()
        except BaseException:  # raised on; nobody else could close what was never handed out
            self.close()
            raise

    def read(self, limit: int) -> bytes:
        """The body, or its first `limit` bytes."""
        wanted = limit if self._length is None else min(limit, self._length)
        body = self.take(wanted)
        if self._length is not None and len(body) < wanted:
            raise Broken("its answer was cut short")
        return body

    def line(self, limit: int) -> bytes:
        """The next line of the body, or `limit` bytes of one; empty at the end."""
        while b"\n" not in self._buffer and len(self._buffer) < limit and self._more():
            pass
        return self.take(self._buffer.find(b"\n", 0, limit) + 1 or limit)

    def take(self, size: int) -> bytes:
        """The next `size` bytes of the body; fewer at the end."""
        while len(self._buffer) < size and self._more():
            pass
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    @property
    def has_more(self) -> bool:
        """Whether something is there to be read at once."""
        return bool(self._buffer or select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        self._socket.close()

    def _head(self) -> Tuple[int, Optional[int]]:
        """The status, and the length of the body; None for one that ends with the connection."""
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > HEAD or not self._more():
                raise Broken("what it says is no HTTP")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, length = _STATUS.match(head), _LENGTH.search(head + b"\r\n")
        if status is None:
            raise Broken("what it says is no HTTP")
        return int(status[1]), int(length[1]) if length else None

    def _more(self) -> bool:
        """Wait for what comes next; False at the end."""
        left = self._seconds if self._until is None else self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        block = self._socket.recv(BLOCK)
        self._buffer += block
        return bool(block)


def request(method: str, target: str, headers: Dict[str, str]) -> bytes:
    """The bytes that ask for something, without a body."""
    lines = [f"{method} {target} HTTP/1.0", "Host: docker", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode("ascii")
