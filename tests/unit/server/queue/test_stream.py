"""The stream protocol against peers that are no broker; against a real one: tests/health."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.server.queue import stream
from gpu_runbook.server.queue.stream import Bounds, StreamError, bounds, greet

PASSWORD = "s3cret-of-the-monitor"
KINDS = {"refused", "timeout", "unknown-name", "not-a-stream-port", "login", "denied", "no-stream", "unavailable"}
KINDS |= {"miscounted", "silent"}


@contextlib.contextmanager
def peer(behaviour: Callable[[socket.socket], None], times: int = 1) -> Iterator[int]:
    """A server on loopback that treats one connection as it is told, or several, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            for _ in range(times):
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(10)
                        behaviour(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # nobody else is waited for
            thread.join()


def says(data: bytes) -> Callable[[socket.socket], None]:
    """Answers the first frame with these bytes and hangs up."""

    def behaviour(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    return behaviour


def frame(key: int, body: bytes) -> bytes:
    return struct.pack(">IHH", len(body) + 4, key, 1) + body


def yes(key: int, number: int, more: bytes = b"", code: int = 1) -> bytes:
    return frame(key | 0x8000, struct.pack(">IH", number, code) + more)


def head(subscription: int, first: int, records: int, kind: int = 0, entries: int = 1, data: int = 8) -> bytes:
    """Of a chunk of so many entries in so many bytes; an entry with several records is a batch."""
    return struct.pack(">BbbHIqQQIII4x", subscription, 0x50, kind, entries, records, 0, 1, first, 0, data, 0)


def chunk(subscription: int, first: int, records: int, kind: int = 0, data: int = 8) -> bytes:
    return frame(0x08, head(subscription, first, records, kind, data=data) + bytes(data))


GREETED = yes(0x11, 0, struct.pack(">I", 1) + b"\0\x07version\0\x063.10.8")
LOGGED_IN = yes(0x12, 1) + yes(0x13, 2) + frame(0x14, struct.pack(">II", 1 << 20, 60)) + yes(0x15, 3)
SUBSCRIBED = yes(0x07, 4)


def delivered(first: bytes, last: bytes) -> bytes:
    """What is sent of the two ends, one after the other."""
    return SUBSCRIBED + first + yes(0x07, 5) + last


def ask(port: int, seconds: float = 3.0) -> Bounds:
    return bounds(StreamAddress("127.0.0.1", port, "annotations", "monitor"), PASSWORD, seconds)


def failure(behaviour: Callable[[socket.socket], None], seconds: float = 3.0) -> StreamError:
    with peer(behaviour) as port, pytest.raises(StreamError) as caught:
        ask(port, seconds)
    return caught.value


def test_the_last_offset_counts_the_records_of_the_last_chunk() -> None:
    with peer(says(GREETED + LOGGED_IN + delivered(chunk(1, 100, 10), chunk(2, 990, 17)))) as port:
        assert ask(port) == Bounds(100, 1006)


def test_a_stream_that_sends_nothing_after_its_yes_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def broker(connection: socket.socket) -> None:
        connection.sendall(GREETED + LOGGED_IN + SUBSCRIBED)
        while connection.recv(65536):
            pass

    monkeypatch.setattr(stream, "EMPTY_AFTER", 0.1)
    with peer(broker) as port:
        assert ask(port) == Bounds(None, None)


def test_a_chunk_may_come_before_the_answer() -> None:
    answers = chunk(1, 0, 5) + yes(0x07, 4) + frame(0x17, b"") + chunk(2, 0, 5) + yes(0x07, 5)
    with peer(says(GREETED + LOGGED_IN + answers)) as port:
        assert ask(port) == Bounds(0, 4)


def test_the_brokers_own_bookkeeping_is_no_message() -> None:
    first, last = chunk(1, 0, 1, kind=2) + chunk(1, 1, 5), chunk(2, 6, 1, kind=1) + chunk(2, 7, 3)
    answers = delivered(first, last)
    with peer(says(GREETED + LOGGED_IN + answers)) as port:
        assert ask(port) == Bounds(1, 9)


def test_a_chunk_that_holds_little_is_passed_over_on_the_way_to_the_next() -> None:
    answers = delivered(chunk(1, 0, 2, data=stream.PASSED), chunk(2, 5, 1, data=stream.PASSED + 1))
    with peer(says(GREETED + LOGGED_IN + answers)) as port:
        assert ask(port) == Bounds(0, 5)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(8, "login"), (12, "denied"), (16, "denied"), (2, "no-stream"), (6, "unavailable"), (99, "broke-off")],
)
def test_every_no_has_its_kind_and_no_password(code: int, kind: str) -> None:
    error = failure(says(GREETED + yes(0x12, 1, code=code)))
    assert error.kind == kind
    assert PASSWORD not in repr(error) + error.message


def test_a_stream_that_goes_away_meanwhile_is_unavailable() -> None:
    gone = frame(0x10, struct.pack(">H", 6) + b"\0\x0bannotations")
    assert failure(says(GREETED + LOGGED_IN + SUBSCRIBED + gone)).kind == "unavailable"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (yes(0x12, 7), "answered a question that was not asked"),
        (struct.pack(">IHH", stream.FRAME_LIMIT + 1, 0x8012, 1), f"sent a frame of {stream.FRAME_LIMIT + 1} bytes"),
        (struct.pack(">IHH", 3, 0x8012, 1), "sent a frame that is cut short"),
        (frame(0x8012, b"\0\0\0\1"), "sent an answer that is cut short"),
        (frame(0x08, b"\1\x50\0"), "sent a chunk that is cut short"),
        (chunk(7, 0, 1), "sent a chunk of an unknown kind"),
        (chunk(1, 0, 1, kind=2, data=stream.PASSED + 1), "sent a chunk of an unknown kind"),
        (frame(0x16, b"\0\0\0\1\0\1\0\0"), "closed the connection"),
    ],
)
def test_what_does_not_keep_to_the_protocol_is_told_so(said: bytes, words: str) -> None:
    error = failure(says(GREETED + said))
    assert (error.kind, words in error.message) == ("broke-off", True), error.message


def test_a_peer_that_says_nothing_is_given_up_in_time() -> None:
    begun = time.monotonic()
    assert failure(lambda connection: time.sleep(0.8), 0.3).kind == "silent"
    assert time.monotonic() - begun < 1.5


def test_a_peer_that_drips_bytes_does_not_stretch_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in GREETED + LOGGED_IN:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    begun = time.monotonic()
    assert failure(drip, 0.3).kind == "silent"
    assert time.monotonic() - begun < 4.0


def test_a_peer_that_hangs_up_broke_off() -> None:
    assert failure(says(GREETED)).kind == "broke-off"
    assert failure(lambda connection: None).kind == "broke-off"


def test_a_closed_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(StreamError, match=f"127.0.0.1:{port} refused the connection") as caught:
        ask(port)
    assert caught.value.kind == "refused"


def test_a_name_nobody_knows_is_an_unknown_name() -> None:
    with pytest.raises(StreamError, match=r"broker\.invalid") as caught:
        greet(StreamAddress("broker.invalid", 5552, "annotations"))
    assert caught.value.kind == "unknown-name"


def takes_leave(frames: list[bytes]) -> Callable[[socket.socket], None]:
    """Answers until it is asked to close, and keeps what it was sent from then on."""

    def behaviour(connection: socket.socket) -> None:
        connection.sendall(GREETED + LOGGED_IN + delivered(chunk(1, 0, 5), chunk(2, 0, 5)))
        heard = b""
        while not heard.endswith(b"\0\x02OK"):
            heard += connection.recv(65536)
        frames.append(heard[heard.index(struct.pack(">HH", 0x16, 1)) :])
        connection.sendall(yes(0x16, 6))
        frames.append(connection.recv(65536))

    return behaviour


def test_leave_is_taken_as_the_protocol_asks() -> None:
    """RabbitMQ warns in its log of every connection that ends otherwise."""
    frames: list[bytes] = []
    with peer(takes_leave(frames)) as port:
        assert ask(port) == Bounds(0, 4)
    assert frames == [struct.pack(">HHIHH", 0x16, 1, 6, 1, 2) + b"OK", b""]


@pytest.mark.parametrize("answers", [yes(0x07, 4, code=16), SUBSCRIBED])
def test_leave_is_taken_after_a_no_as_well_and_its_answer_is_not_waited_for_long(answers: bytes) -> None:
    heard: list[bytes] = []

    def behaviour(connection: socket.socket) -> None:
        connection.sendall(GREETED + LOGGED_IN + answers)
        while block := connection.recv(65536):
            heard.append(block)

    begun = time.monotonic()
    with peer(behaviour) as port, contextlib.suppress(StreamError):
        ask(port)
    assert b"".join(heard).endswith(b"\0\x02OK")
    assert time.monotonic() - begun < stream.EMPTY_AFTER + stream.CLOSING + 1
