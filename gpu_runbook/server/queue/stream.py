"""Asks a RabbitMQ stream for its first and last offset, by the stream protocol and nothing but sockets.

No other source tells the exact last message: the counts of the management API are seconds late and count entries that
are no messages. One subscription at each end, with a single credit, makes the broker send the first and the last chunk.
"""

from __future__ import annotations

import contextlib
import struct
import time
from typing import Dict, Iterator, Optional, Tuple

from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.queue.tcp import StreamError as StreamError
from gpu_runbook.server.queue.tcp import Timeout, connect, secured

SECONDS = 5.0  # for a whole exchange
CLOSING = 0.5  # seconds more for taking leave
FRAME_LIMIT = 1 << 20  # bytes of any frame that is kept; chunks may be longer, of them only the head is
EMPTY_AFTER = 1.0  # seconds: a stream that has sent nothing so long after the broker's yes holds nothing

_SUBSCRIBE, _DELIVER, _CREDIT = range(0x07, 0x0A)
_METADATA_UPDATE, _PEER_PROPERTIES, _SASL_HANDSHAKE, _SASL_AUTHENTICATE, _TUNE, _OPEN, _CLOSE = range(0x10, 0x17)
_RESPONSE = 0x8000
_FIRST, _LAST = 1, 2  # offset specifications, used as the subscriptions' numbers too
_OK = 1
_CHUNK = struct.Struct(">BbbHIqQQ")  # subscription, magic, type, entries, records, time, epoch, first offset
_CHUNK_MAGIC = 0x50
_USER_CHUNK = 0


@dataclass(frozen=True)
class Bounds:
    """The offsets of the first and the last message a stream holds; both None when it holds none."""

    first: Optional[int]
    last: Optional[int]


def greet(address: StreamAddress) -> bytes:
    """Connect and exchange one frame that needs no login: what was answered. Raises StreamError when nothing was."""
    with contextlib.closing(_Link(address, SECONDS)) as link:
        return link.greet()


def is_stream(reply: bytes) -> bool:
    """Whether who answers a greeting so speaks the stream protocol."""
    return reply[4:6] == struct.pack(">H", _PEER_PROPERTIES | _RESPONSE)


def bounds(address: StreamAddress, password: str, seconds: float = SECONDS) -> Bounds:
    """The first and last offset of a stream, within `seconds` in all. Raises StreamError."""
    with contextlib.closing(_Link(address, seconds)) as link:
        return link.bounds(password)


class _Link:
    """One connection to a broker. Every wait ends at `until`, on the monotonic clock."""

    def __init__(self, address: StreamAddress, seconds: float) -> None:
        """Raises StreamError when nobody is there, or it is not who it should be."""
        self._place = f"{address.host}:{address.port}"
        self._until = time.monotonic() + seconds
        self._delivered: Dict[int, Tuple[int, int]] = {}  # subscription -> first offset and records of its chunk
        self._address = address
        self._asked = 0
        self._socket = connect(address.host, address.port, self._until)
        if address.tls is not None:
            with self._judged():
                self._socket = secured(self._socket, address.host, address.tls, self._place)

    def close(self) -> None:
        self._socket.close()

    def greet(self) -> bytes:
        """Send the one frame that needs no login and give the first bytes of whatever answers."""
        self._send(_PEER_PROPERTIES, bytes(8))
        head = self._read(8, enough=1)  # what speaks something else may say less and hang up
        if not is_stream(head):
            return head
        size: int = struct.unpack(">I", head[:4])[0]
        return head + self._read(min(size, FRAME_LIMIT) - 4)

    def bounds(self, password: str) -> Bounds:
        """Log in, and ask both ends of the stream."""
        if not is_stream(self.greet()):
            raise StreamError("not-a-stream-port", f"{self._place} does not speak the stream protocol")
        self._log_in(password)
        name = _text(self._address.name)
        try:
            for end in (_FIRST, _LAST):
                self._ask(_SUBSCRIBE, bytes([end]) + name + bytes([0, end, 0, 1]))
            self._await_chunks()
        finally:
            self._take_leave()
        if not self._delivered:
            return Bounds(None, None)
        last, records = self._delivered[_LAST]
        return Bounds(self._delivered[_FIRST][0], last + records - 1)

    def _log_in(self, password: str) -> None:
        """Until what is asked about the virtual host's streams is answered."""
        address = self._address
        self._ask(_SASL_HANDSHAKE, b"")
        token = _text(f"\0{address.user}\0{password}")
        self._ask(_SASL_AUTHENTICATE, _text("PLAIN") + bytes(2) + token)  # four bytes have its length
        frame_limit = self._wait_for(_TUNE)[:4]
        self._send(_TUNE, frame_limit + bytes(4))  # no heartbeats: this is over before the first is due
        self._ask(_OPEN, _text(address.vhost))

    def _await_chunks(self) -> None:
        """The one at each end; none of an empty stream."""
        patience = min(time.monotonic() + EMPTY_AFTER, self._until)
        while len(self._delivered) < 2:
            try:
                self._wait_for(_DELIVER, patience)
            except StreamError as error:
                if error.kind == "timeout" and not self._delivered and time.monotonic() < self._until:
                    break
                raise

    def _take_leave(self) -> None:
        """Without it, a broker that has let somebody in warns in its log of a connection that was lost."""
        self._until = time.monotonic() + CLOSING
        with contextlib.suppress(StreamError):
            self._ask(_CLOSE, bytes([0, _OK]) + _text("OK"))

    def _ask(self, key: int, body: bytes) -> None:
        """Send a request. Raises StreamError when the answer is not yes."""
        self._asked += 1
        self._send(key, struct.pack(">I", self._asked) + body)
        answer = self._wait_for(key | _RESPONSE)
        if len(answer) < 6:
            raise self._broke_off("sent an answer that is cut short")
        number, code = struct.unpack(">IH", answer[:6])
        if number != self._asked:
            raise self._broke_off("answered a question that was not asked")
        if code != _OK:
            raise _said_no(code, self._place, self._address)

    def _send(self, key: int, body: bytes) -> None:
        frame = struct.pack(">HH", key, 1) + body
        with self._judged():
            self._socket.sendall(struct.pack(">I", len(frame)) + frame)

    def _wait_for(self, wanted: int, until: Optional[float] = None) -> bytes:
        """The body of the next frame with this key; chunks that come meanwhile are noted, the rest is passed over."""
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
                body = self._read(size - 4)
            if key == wanted:
                return body
            if key == _CLOSE:
                raise self._broke_off("closed the connection")
            if key == _METADATA_UPDATE:
                raise StreamError("unavailable", f"the stream became unavailable at {self._place}")

    def _note_chunk(self, size: int) -> None:
        """Read the head of a chunk and pass over its messages: it may be larger than what should be held in memory."""
        if size < _CHUNK.size:
            raise self._broke_off("sent a chunk that is cut short")
        subscription, magic, kind, _, records, _, _, first = _CHUNK.unpack(self._read(_CHUNK.size))
        size -= _CHUNK.size
        while size:
            size -= len(self._read(min(size, 1 << 16)))
        if magic != _CHUNK_MAGIC or subscription not in (_FIRST, _LAST):
            raise self._broke_off("sent a chunk of an unknown kind")
        if kind == _USER_CHUNK and records:
            self._delivered[subscription] = (first, records)
        else:  # the broker's own bookkeeping uses up the credit too: the messages are in the next one
            self._send(_CREDIT, bytes([subscription, 0, 1]))

    def _read(self, size: int, until: Optional[float] = None, enough: int = 0) -> bytes:
        """So many bytes; fewer where who hangs up has sent `enough` of them."""
        read = b""
        while len(read) < size:
            with self._judged(until):
                block = self._socket.recv(size - len(read))
            if not block:
                if 0 < enough <= len(read):
                    break
                raise self._broke_off("closed the connection")
            read += block
        return read

    @contextlib.contextmanager
    def _judged(self, until: Optional[float] = None) -> Iterator[None]:
        """Bound what is done with the socket, and turn what it raises into sentences."""
        try:
            self._socket.settimeout(_left(until or self._until))
            yield
        except Timeout:
            raise StreamError("timeout", f"{self._place} accepts connections but did not answer in time") from None
        except OSError as error:
            raise self._broke_off(f"broke off ({error.strerror or error})") from error

    def _broke_off(self, what: str) -> StreamError:
        return StreamError("broke-off", f"{self._place} {what}")


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise Timeout
    return left


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


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogateescape")
    return struct.pack(">H", len(raw)) + raw
