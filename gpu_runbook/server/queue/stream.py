"""Asks a RabbitMQ stream for its first and last offset, by the stream protocol and nothing but sockets.

No other source tells the exact last message: the counts of the management API are seconds late and count entries that
are no messages. One subscription at each end, with a single credit, makes the broker send the first and the last chunk.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import Dict, Iterator, List, Optional, Tuple

from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.queue.tcp import StreamError as StreamError
from gpu_runbook.server.queue.tcp import Timeout, connect

SECONDS = 5.0  # for a whole exchange
FRAME_LIMIT = 1 << 20  # bytes of any frame that is kept; chunks may be longer, of them only the head is
VERSION = 40  # characters of what a broker calls its version: it says so to anybody, and may be anybody
EMPTY_AFTER = 1.0  # seconds: a stream that has sent nothing so long after the broker's yes holds nothing

_DELIVER, _CREDIT, _SUBSCRIBE, _METADATA_UPDATE, _PEER_PROPERTIES = 0x08, 0x09, 0x07, 0x10, 0x11
_SASL_HANDSHAKE, _SASL_AUTHENTICATE, _TUNE, _OPEN, _CLOSE = 0x12, 0x13, 0x14, 0x15, 0x16
_RESPONSE = 0x8000
_FIRST, _LAST = 1, 2  # offset specifications, used as the subscriptions' numbers too
_OK = 1
_CHUNK = struct.Struct(">BbbHIqQQ")  # subscription, magic, type, entries, records, time, epoch, first offset
_CHUNK_MAGIC = 0x50
_USER_CHUNK = 0


@dataclass(frozen=True)
class Greeting:
    """What answers on a port. `speaks` is stream, amqp or other; `seconds` is what connecting and answering took."""

    speaks: str
    seconds: float
    version: str = ""  # of the broker, when it speaks the stream protocol


@dataclass(frozen=True)
class Bounds:
    """The offsets of the first and the last message a stream holds; both None when it holds none."""

    first: Optional[int]
    last: Optional[int]


def greet(host: str, port: int) -> bytes:
    """Connect and exchange one frame that needs no login: what was answered. Raises StreamError when nothing was."""
    with _connected(host, port, time.monotonic() + SECONDS) as link:
        return link.greet()


def greeting(host: str, port: int) -> Greeting:
    """What answers when it is greeted. Raises StreamError when nothing does."""
    begun = time.monotonic()
    reply = greet(host, port)
    return Greeting(_language(reply), time.monotonic() - begun, _version(reply))


def bounds(address: StreamAddress, password: str, seconds: float = SECONDS) -> Bounds:
    """The first and last offset of a stream, within `seconds` in all. Raises StreamError."""
    with _connected(address.host, address.port, time.monotonic() + seconds) as link:
        if _language(link.greet()) != "stream":
            raise StreamError("not-a-stream-port", f"{link.place} does not speak the stream protocol")
        _log_in(link, address, password)
        for end in (_FIRST, _LAST):
            link.ask(_SUBSCRIBE, struct.pack(">B", end) + _text(address.name) + struct.pack(">HH", end, 1), address)
        chunks = _chunks(link)
    if not chunks:
        return Bounds(None, None)
    first, _ = chunks[_FIRST]
    last, records = chunks[_LAST]
    return Bounds(first, last + records - 1)


def _log_in(link: _Link, address: StreamAddress, password: str) -> None:
    link.ask(_SASL_HANDSHAKE, b"", address)
    token = f"\0{address.user}\0{password}".encode("utf-8", "surrogateescape")
    link.ask(_SASL_AUTHENTICATE, _text("PLAIN") + struct.pack(">I", len(token)) + token, address)
    frame_limit = link.wait_for(_TUNE)[:4]
    link.send(_TUNE, frame_limit + struct.pack(">I", 0))  # no heartbeats: this is over before the first is due
    link.ask(_OPEN, _text(address.vhost), address)


def _chunks(link: _Link) -> Dict[int, Tuple[int, int]]:
    """First offset and number of records of the chunk at each end; nothing of an empty stream."""
    patience = time.monotonic() + EMPTY_AFTER
    while len(link.delivered) < 2:
        try:
            link.wait_for(_DELIVER, min(patience, link.until))
        except StreamError as error:
            if error.kind == "timeout" and not link.delivered and patience <= time.monotonic() < link.until:
                break
            raise
    return link.delivered


class _Link:
    """One connection to a broker. Every wait ends at `until`, on the monotonic clock."""

    def __init__(self, sock: socket.socket, place: str, until: float) -> None:
        self._socket = sock
        self.place = place
        self.until = until
        self._asked = 0
        self.delivered: Dict[int, Tuple[int, int]] = {}  # subscription -> first offset, records

    def greet(self) -> bytes:
        """Send the one frame that needs no login and give the first bytes of whatever answers."""
        self.send(_PEER_PROPERTIES, struct.pack(">II", 0, 0))
        head = self._read(1, self.until)
        while len(head) < 8:  # what speaks something else may say less and hang up
            block = self._receive(8 - len(head), self.until)
            if not block:
                return head
            head += block
        size, key, _ = struct.unpack(">IHH", head)
        if key != _PEER_PROPERTIES | _RESPONSE or not 4 <= size <= FRAME_LIMIT:
            return head
        return head + self._read(size - 4, self.until)

    def ask(self, key: int, body: bytes, address: StreamAddress) -> bytes:
        """Send a request and give what follows the response code. Raises StreamError when that is not yes."""
        self._asked += 1
        self.send(key, struct.pack(">I", self._asked) + body)
        answer = self.wait_for(key | _RESPONSE)
        if len(answer) < 6:
            raise self._broke_off("sent an answer that is cut short")
        number, code = struct.unpack(">IH", answer[:6])
        if number != self._asked:
            raise self._broke_off("answered a question that was not asked")
        if code != _OK:
            raise _said_no(code, self.place, address)
        return answer[6:]

    def send(self, key: int, body: bytes) -> None:
        frame = struct.pack(">HH", key, 1) + body
        with self._judged():
            self._socket.settimeout(self._left(self.until))
            self._socket.sendall(struct.pack(">I", len(frame)) + frame)

    def wait_for(self, wanted: int, until: Optional[float] = None) -> bytes:
        """The body of the next frame with this key; chunks that come meanwhile are noted, the rest is passed over."""
        until = self.until if until is None else until
        while True:
            size, key, _ = struct.unpack(">IHH", self._read(8, until))
            if size < 4:
                raise self._broke_off("sent a frame that is cut short")
            if key == _DELIVER:
                self._note_chunk(size - 4)
                body = b""
            elif size > FRAME_LIMIT:
                raise self._broke_off(f"sent a frame of {size} bytes")
            else:
                body = self._read(size - 4, self.until)
            if key == wanted:
                return body
            if key == _CLOSE:
                raise self._broke_off("closed the connection")
            if key == _METADATA_UPDATE:
                raise StreamError("unavailable", f"the stream became unavailable at {self.place}")

    def _note_chunk(self, size: int) -> None:
        """Read the head of a chunk and pass over its messages: it may be larger than what should be held in memory."""
        if size < _CHUNK.size:
            raise self._broke_off("sent a chunk that is cut short")
        head = _CHUNK.unpack(self._read(_CHUNK.size, self.until))
        subscription, magic, kind, _, records, _, _, first = head
        self._pass_over(size - _CHUNK.size)
        if magic != _CHUNK_MAGIC or subscription not in (_FIRST, _LAST):
            raise self._broke_off("sent a chunk of an unknown kind")
        if kind == _USER_CHUNK and records:
            self.delivered[subscription] = (first, records)
        else:  # the broker's own bookkeeping uses up the credit too: the messages are in the next one
            self.send(_CREDIT, struct.pack(">BH", subscription, 1))

    def _pass_over(self, size: int) -> None:
        while size:
            size -= len(self._read(min(size, 1 << 16), self.until))

    def _read(self, size: int, until: float) -> bytes:
        blocks: List[bytes] = []
        while size:
            block = self._receive(size, until)
            if not block:
                raise self._broke_off("closed the connection")
            blocks.append(block)
            size -= len(block)
        return b"".join(blocks)

    def _receive(self, size: int, until: float) -> bytes:
        with self._judged():
            self._socket.settimeout(self._left(until))
            return self._socket.recv(size)

    def _left(self, until: float) -> float:
        left = until - time.monotonic()
        if left <= 0:
            raise Timeout
        return left

    @contextlib.contextmanager
    def _judged(self) -> Iterator[None]:
        """Turn what sockets raise into sentences."""
        try:
            yield
        except Timeout:
            raise StreamError("timeout", f"{self.place} accepts connections but did not answer in time") from None
        except OSError as error:
            raise self._broke_off(f"broke off ({error.strerror or error})") from error

    def _broke_off(self, what: str) -> StreamError:
        return StreamError("broke-off", f"{self.place} {what}")


def _said_no(code: int, place: str, address: StreamAddress) -> StreamError:
    if code in (7, 8, 9, 11):  # no such mechanism, wrong password, broken login, a user that may log in locally only
        return StreamError("login", f"RabbitMQ at {place} refused the login of {address.user!r}")
    if code == 12:
        return StreamError("denied", f"{address.user!r} may not use the virtual host {address.vhost!r} at {place}")
    if code == 16:
        return StreamError("denied", f"{address.user!r} may not read the stream {address.name!r} at {place}")
    if code == 2:
        return StreamError("no-stream", f"there is no stream {address.name!r} at {place}")
    if code == 6:
        return StreamError("unavailable", f"the stream {address.name!r} is not available at {place}")
    return StreamError("broke-off", f"{place} answered with the unexpected code {code}")


@contextlib.contextmanager
def _connected(host: str, port: int, until: float) -> Iterator[_Link]:
    with contextlib.closing(connect(host, port, until)) as sock:
        yield _Link(sock, f"{host}:{port}", until)


def _language(reply: bytes) -> str:
    if reply[4:6] == struct.pack(">H", _PEER_PROPERTIES | _RESPONSE):
        return "stream"
    return "amqp" if reply.startswith(b"AMQP") else "other"


def _version(reply: bytes) -> str:
    """The broker's version out of its greeting: 14 bytes of head, then pairs of texts; empty when it has none."""
    texts, at = [], 18
    while at + 2 <= len(reply):
        end = at + 2 + struct.unpack(">H", reply[at : at + 2])[0]
        texts.append(reply[at + 2 : end].decode("utf-8", "replace"))
        at = end
    names = texts[:-1:2]
    return one_line(texts[2 * names.index("version") + 1], VERSION) if "version" in names else ""


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogateescape")
    return struct.pack(">H", len(raw)) + raw
