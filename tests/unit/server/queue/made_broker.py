"""A broker as the stream protocol has it, with a stream that needs no messages, and what it was told and could send."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.server.queue.stream import Bounds, bounds
from tests.unit.server.queue.test_stream import frame, yes

SUBSCRIBE, PEER_PROPERTIES, SASL_AUTHENTICATE, TUNE, CLOSE, VERSIONS, STATISTICS = (
    0x07,
    0x11,
    0x13,
    0x14,
    0x16,
    0x1B,
    0x1C,
)
BLOCK = bytes(1 << 14)
# What RabbitMQ 4.0.5 answers when it is asked what it can be asked, and what it counts of a stream.
OF_4_0_VERSIONS = bytes.fromhex(
    "00000013 000100010001 000200010002 000500010001 000600010001 000700010001 000900010001 000a00010001 000b00010001"
    "000c00010001 000d00010001 000e00010001 000f00010001 001600010001 001700010001 001800010001 001900010001"
    "001c00010001 001d00010001 001e00010001"
)
OF_4_0_STATISTICS = (
    b"\0\0\0\x03\0\x12committed_chunk_id\0\0\0\0\0\0\x03\xde\0\x0efirst_chunk_id\0\0\0\0\0\0\0d"
    b"\0\rlast_chunk_id\0\0\0\0\0\0\x03\xde"
)
OF_AN_EMPTY_ONE = OF_4_0_STATISTICS.replace(b"\0\0\0\0\0\0\0d", b"\xff" * 8)


@dataclass
class Made:
    """How it is, and what it saw. `chunks`: what a subscription at an end (1: first, 2: last) is sent, head and all."""

    chunks: dict[int, bytes]
    long: int = 0  # bytes of messages that follow behind each of them
    pause: float = 0.0  # seconds before a chunk
    version: bytes = b"3.10.8"
    known: bytes = OF_4_0_VERSIONS
    statistics: bytes = OF_4_0_STATISTICS
    asked: list[int] = field(default_factory=list)  # the keys of what it was asked, of every connection
    connections: int = 0
    sent: int = 0  # bytes that were taken off its hands
    port: int = 0

    def bounds(self, seconds: float = 3.0) -> Bounds:
        return bounds(StreamAddress("127.0.0.1", self.port, "annotations", "monitor"), "secret", seconds)

    def serve(self, connection: socket.socket) -> None:
        """Answer until it is asked to close, or nobody is there any more."""
        self.connections += 1
        with connection.makefile("rb") as heard:
            while len(head := heard.read(8)) == 8:
                size, key, _ = struct.unpack(">IHH", head)
                body = heard.read(size - 4)
                if key == TUNE:
                    continue
                self.asked.append(key)
                self._send(connection, yes(key, int.from_bytes(body[:4], "big"), self._answer(key)))
                if key == SASL_AUTHENTICATE:
                    self._send(connection, frame(TUNE, struct.pack(">II", 1 << 20, 60)))
                if key == SUBSCRIBE:
                    self._deliver(connection, self.chunks.get(body[4], b""))

    def _answer(self, key: int) -> bytes:
        greeting = struct.pack(">I", 1) + b"\0\x07version" + struct.pack(">H", len(self.version)) + self.version
        return {PEER_PROPERTIES: greeting, VERSIONS: self.known, STATISTICS: self.statistics}.get(key, b"")

    def _deliver(self, connection: socket.socket, chunk: bytes) -> None:
        """What is long is sent before anything else is heard, as a broker does."""
        time.sleep(self.pause)
        self._send(connection, chunk)
        for _ in range(0, self.long if chunk else 0, len(BLOCK)):
            self._send(connection, BLOCK)

    def _send(self, connection: socket.socket, data: bytes) -> None:
        connection.sendall(data)
        self.sent += len(data)


@contextlib.contextmanager
def running(broker: Made) -> Iterator[Made]:
    """The broker on a port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)  # what it has sent is then soon taken as well
        broker.port = listener.getsockname()[1]

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        broker.serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield broker
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
