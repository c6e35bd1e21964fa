"""Chunks of any length and make: what is taken of them, and what a broker counts without them."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

import pytest

from gpu_runbook.server.checks import broker as checks
from gpu_runbook.server.queue import stream, tcp
from gpu_runbook.server.queue.stream import Bounds, StreamError
from tests.unit.server.queue.made_broker import (
    CLOSE,
    OF_4_0_VERSIONS,
    OF_AN_EMPTY_ONE,
    STATISTICS,
    SUBSCRIBE,
    VERSIONS,
    Made,
    running,
)
from tests.unit.server.queue.test_stream import (
    GREETED,
    LOGGED_IN,
    ask,
    chunk,
    delivered,
    failure,
    frame,
    head,
    peer,
    says,
)

LONG = 20 << 20  # bytes of a chunk
FEW = 300_000  # bytes that a question may cost
# The head of a stream's last chunk, as RabbitMQ 4.0.5 sends it: three entries, each a batch of fifty messages in gzip.
OF_GZIP = bytes.fromhex("0250000003000000960000") + bytes.fromhex(
    "01a2260bc712 0000000000000001 0000000000000000 86f30a88 00003d7b 00000000 00000000"
)
SMALL = {1: chunk(1, 100, 10), 2: chunk(2, 990, 17)}


def begun(of: bytes, data: int = LONG) -> bytes:
    """The frame of a chunk with this head, up to its messages."""
    return struct.pack(">IHH", len(of) + data + 4, 0x08, 1) + of


BOTH_LONG = {end: begun(head(end, first, 20, entries=20, data=LONG)) for end, first in ((1, 100), (2, 990))}


def test_an_entry_that_is_a_batch_counts_as_often_as_it_has_messages() -> None:
    last = begun(OF_GZIP, 0x3D7B) + bytes(0x3D7B)
    with running(Made({1: chunk(1, 0, 50), 2: last})) as broker:
        assert broker.bounds() == Bounds(0, 149)


def test_of_a_long_chunk_little_more_than_the_head_is_taken() -> None:
    with running(Made(BOTH_LONG, LONG)) as broker:
        assert broker.bounds() == Bounds(100, 1009)
    assert (broker.connections, broker.sent < FEW) == (2, True), broker.sent


def test_a_long_chunk_whose_messages_are_slow_to_come_is_not_waited_for() -> None:
    with running(Made({end: chunk + bytes(11) for end, chunk in BOTH_LONG.items()})) as broker:
        assert broker.bounds() == Bounds(100, 1009)


def test_no_peer_may_send_much_ahead_of_what_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = tcp.connect("127.0.0.1", listener.getsockname()[1], time.monotonic() + 3)
        with sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * tcp.AHEAD  # Linux takes twice of it


@pytest.mark.parametrize(
    ("of", "follows"),
    [
        (head(2, 990, 2, entries=3, data=30), 30),
        (head(2, 990, 0, entries=3, data=30), 30),
        (head(2, 990, 0x1FFFF, entries=2, data=30), 30),
        (head(2, 990, 30, entries=30, data=30), 30),
        (head(2, 990, 3, entries=3, data=LONG), 30),
        (head(2, 990, 3, entries=3, data=30), LONG),
        (head(2, 990, 3, entries=0, data=30), 30),
    ],
    ids=["an entry without a message", "none", "batches too large", "no bytes", "longer", "shorter", "no entries"],
)
def test_a_chunk_that_lies_about_its_sizes_is_refused(of: bytes, follows: int) -> None:
    error = failure(says(GREETED + LOGGED_IN + delivered(chunk(1, 100, 10), begun(of, follows))))
    assert (error.kind, "sent a chunk that lies about its sizes" in error.message) == ("miscounted", True), (
        error.message
    )
    assert "producer" in checks.hint(error)


@pytest.mark.parametrize(
    ("said", "unpacked", "is_lie"), [(5, 70, False), (17, 68, False), (18, 68, True), (0xFFFF, 70, True)]
)
def test_a_producer_that_counts_more_messages_than_a_batch_has_bytes_for_is_not_believed(
    said: int, unpacked: int, is_lie: bool
) -> None:
    """As the broker does: it counts on."""
    batch = struct.pack(">BHII", 0x90, said, unpacked, 49) + bytes(49)
    last = begun(head(2, 990, said, data=len(batch)), len(batch)) + batch
    with running(Made({1: chunk(1, 100, 10), 2: last})) as broker:
        if not is_lie:
            assert broker.bounds() == Bounds(100, 990 + said - 1)
            return
        with pytest.raises(StreamError, match=rf"lies about its sizes \(entries: 1, messages: {said}, ") as caught:
            broker.bounds()
    assert caught.value.kind == "miscounted"


def test_a_chunk_that_was_not_asked_for_is_refused() -> None:
    error = failure(says(GREETED + LOGGED_IN + delivered(chunk(1, 0, 5), chunk(1, 5, 5))))
    assert (error.kind, "of an unknown kind" in error.message) == ("broke-off", True), error.message


@pytest.mark.parametrize("long", [0, LONG], ids=["short", "long"])
def test_what_a_broker_counts_anyway_is_no_reason_to_send_a_chunk(long: int) -> None:
    with running(Made({2: BOTH_LONG[2] if long else SMALL[2]}, long, version=b"4.0.5")) as broker:
        assert broker.bounds() == Bounds(100, 1009 if long else 1006)
    assert (broker.connections, broker.asked.count(SUBSCRIBE)) == (1, 1)


@pytest.mark.parametrize("version", [b"3.10.8", b"3.9", b"none", b""])
def test_a_broker_too_old_to_be_asked_what_it_can_is_not_asked(version: bytes) -> None:
    """It would close the connection, and warn of it in its log."""
    with running(Made(SMALL, version=version)) as broker:
        assert broker.bounds() == Bounds(100, 1006)
    assert not {VERSIONS, STATISTICS} & set(broker.asked)


@pytest.mark.parametrize("known", [b"", OF_4_0_VERSIONS.replace(b"\0\x1c\0\1", b"\0\x2c\0\1"), b"\0\0\0\x02\0"])
def test_a_broker_that_knows_no_statistics_is_not_asked_for_them(known: bytes) -> None:
    with running(Made(SMALL, version=b"3.11.0", known=known)) as broker:
        assert broker.bounds() == Bounds(100, 1006)
    assert (VERSIONS in broker.asked, STATISTICS in broker.asked) == (True, False)


@pytest.mark.parametrize("statistics", [b"", b"\0\0\0\0", OF_AN_EMPTY_ONE], ids=["cut off", "none", "of an empty one"])
def test_statistics_without_a_first_offset_leave_it_to_the_chunks(statistics: bytes) -> None:
    with running(Made(SMALL, version=b"3.13.7", statistics=statistics)) as broker:
        assert broker.bounds() == Bounds(100, 1006)
    assert STATISTICS in broker.asked


def test_a_stream_of_which_something_is_counted_is_not_empty_because_nothing_comes() -> None:
    with running(Made({}, version=b"4.0.5")) as broker, pytest.raises(StreamError) as caught:
        broker.bounds(stream.EMPTY_AFTER + 0.2)
    assert caught.value.kind == "silent"


def test_the_second_chunk_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "EMPTY_AFTER", 0.1)
    with running(Made(SMALL, pause=stream.CLOSING + 0.3, version=b"4.0.5")) as broker:
        assert broker.bounds() == Bounds(100, 1006)
    assert broker.connections == 1


def test_leave_is_taken_of_a_broker_that_has_handed_over_a_long_chunk() -> None:
    """It hears it although the chunk is on its way: its system, or its TLS, has taken it."""
    early: list[bytes] = []
    heard: list[bytes] = []

    def behaviour(connection: socket.socket) -> None:
        connection.sendall(GREETED + LOGGED_IN + delivered(SMALL[1], BOTH_LONG[2] + bytes(11)))
        connection.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while True:
                early.append(connection.recv(65536))
        connection.sendall(b"m")
        while block := connection.recv(65536):
            heard.append(block)

    with peer(behaviour) as port:
        assert ask(port) == Bounds(100, 1009)
    leave = frame(CLOSE, struct.pack(">IHH", 6, 1, 2) + b"OK")
    assert (leave in b"".join(early), b"".join(heard)) == (False, leave)
