"""Asks a RabbitMQ stream for its first and last offset, by the stream protocol and nothing but sockets.

No other source tells the exact last message: the counts of the management API are seconds late and count entries that
are no messages. One subscription at each end, with a single credit, makes the broker send the first and the last chunk,
of which the head is read: a chunk may hold images, and what it costs to ask must not depend on them. The first one is
not asked for where the broker counts it (from RabbitMQ 3.11 on).
"""

from __future__ import annotations

import contextlib
import re
import struct
import time
from typing import Dict, Iterator, Optional

from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.queue.tcp import StreamError as StreamError
from gpu_runbook.server.queue.tcp import Timeout, connect

SECONDS = 5.0  # for a whole exchange
CLOSING = 0.5  # seconds more for taking leave
UNANSWERED = 0.3  # of them, after a leave whose answer would come behind a long chunk
FRAME_LIMIT = 1 << 20  # bytes of any frame that is kept; chunks may be longer, of them only the head is
PASSED = 1 << 16  # bytes of messages that are passed over to hear what comes behind them
EMPTY_AFTER = 1.0  # seconds: a stream that has sent nothing so long after the broker's yes holds nothing

_SUBSCRIBE, _DELIVER, _CREDIT = range(0x07, 0x0A)
_METADATA_UPDATE, _PEER_PROPERTIES, _SASL_HANDSHAKE, _SASL_AUTHENTICATE, _TUNE, _OPEN, _CLOSE = range(0x10, 0x17)
_VERSIONS, _STATISTICS = 0x1B, 0x1C
_RESPONSE = 0x8000
_FIRST, _LAST = 1, 2  # offset specifications, used as the subscriptions' numbers too
_ENDS = {_FIRST, _LAST}
_OK = 1
_LEAVE = b"\0\1\0\2OK"  # a code that means no error, and its text
# Subscription, magic, type, entries, records, time, epoch, first offset, checksum, bytes of entries and of a trailer.
_CHUNK = struct.Struct(">BbbHIqQQIII4x")
_ENTRY = struct.Struct(">BHII")  # what it is, and of a batch: records, bytes of its messages, and as it is compressed
_IS_BATCH = 0x80
_CHUNK_MAGIC = 0x50
_USER_CHUNK = 0
_BATCH = 0xFFFF  # records that an entry can hold
_COUNTS_FIRST = (3, 11)  # the first version of RabbitMQ that tells what it can be asked, and has statistics of a stream
_VERSION = re.compile(rb"version\0.([0-9]{1,4})\.([0-9]{1,4})", re.DOTALL)


@dataclass(frozen=True)
class Bounds:
    """The offsets of the first and the last message a stream holds; both None when it holds none.

    Where the broker counts the first one, it may be of an entry of its own that stands before the messages.
    """

    first: Optional[int]
    last: Optional[int]


def greet(address: StreamAddress) -> bytes:
    """Connect and exchange one frame that needs no login: what was answered. Raises StreamError when nothing was."""
    with contextlib.closing(_Link(address, time.monotonic() + SECONDS)) as link:
        return link.greet()


def is_stream(reply: bytes) -> bool:
    """Whether who answers a greeting so speaks the stream protocol."""
    return reply[4:6] == struct.pack(">H", _PEER_PROPERTIES | _RESPONSE)


def bounds(address: StreamAddress, password: str, seconds: float = SECONDS) -> Bounds:
    """The first and last offset of a stream, within `seconds` in all. Raises StreamError.

    What the broker sends for it is bounded, whatever the messages hold: where the first chunk is a long one, the last
    one is asked for on a connection of its own, instead of waiting for all that comes before it.
    """
    until = time.monotonic() + seconds
    found: Dict[int, int] = {}
    while True:
        with contextlib.closing(_Link(address, until)) as link:
            link.find(password, found)
        if len(found) != 1:
            return Bounds(found.get(_FIRST), found.get(_LAST))


class _Enough(Exception):
    """What else was asked for would come behind a chunk that is too long to be passed over."""


class _Link:
    """One connection to a broker. Every wait ends at `until`, on the monotonic clock."""

    def __init__(self, address: StreamAddress, until: float) -> None:
        """Raises StreamError when nobody is there, or it is not who it should be."""
        self._place = f"{address.host}:{address.port}"
        self._until = until
        self._address = address
        self._asked = 0
        self._found: Dict[int, int] = {}
        self._socket = connect(address.host, address.port, self._until)
        if address.tls is not None:
            from gpu_runbook.server.queue.tls import secured  # it travels only where somebody is asked so

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

    def find(self, password: str, found: Dict[int, int]) -> None:
        """Log in, and note the offsets at those ends of the stream that are not known yet; none of an empty one."""
        greeting = self.greet()
        if not is_stream(greeting):
            raise StreamError("not-a-stream-port", f"{self._place} does not speak the stream protocol", greeting)
        self._log_in(password)
        leave = self._take_leave
        try:
            self._found = found
            if not found:
                self._count(greeting)
            for end in sorted(_ENDS - found.keys()):
                self._ask(_SUBSCRIBE, bytes([end]) + _text(self._address.name) + bytes([0, end, 0, 1]))
                if not self._await_chunk(end):
                    break
        except _Enough:
            leave = self._break_off
        finally:
            leave()

    def _log_in(self, password: str) -> None:
        """Until what is asked about the virtual host's streams is answered."""
        address = self._address
        self._ask(_SASL_HANDSHAKE, b"")
        token = _text(f"\0{address.user}\0{password}")
        self._ask(_SASL_AUTHENTICATE, _text("PLAIN") + bytes(2) + token)  # four bytes have its length
        frame_limit = self._wait_for(_TUNE)[:4]
        self._send(_TUNE, frame_limit + bytes(4))  # no heartbeats: this is over before the first is due
        self._ask(_OPEN, _text(address.vhost))

    def _count(self, greeting: bytes) -> None:
        """Note the stream's first offset by the broker's own count, if it has one and is not too old to be asked."""
        version = _VERSION.search(greeting)
        if version is None or tuple(map(int, version.groups())) < _COUNTS_FIRST:
            return
        known = self._ask(_VERSIONS, struct.pack(">IHHH", 1, _STATISTICS, 1, 1))
        if struct.pack(">H", _STATISTICS) in [known[at : at + 2] for at in range(10, len(known), 6)]:
            _, key, rest = self._ask(_STATISTICS, _text(self._address.name)).partition(_text("first_chunk_id"))
            first = int.from_bytes(rest[:8], "big", signed=True)
            if key and first >= 0:  # of an empty stream, it is -1
                self._found[_FIRST] = first

    def _await_chunk(self, end: int) -> bool:
        """Until the one at this end has come, before anything else is asked: the broker may be long at sending it.

        False: none came, as of an empty stream.
        """
        patience = self._until if self._found else min(time.monotonic() + EMPTY_AFTER, self._until)
        while end not in self._found:
            try:
                self._wait_for(_DELIVER, patience)
            except StreamError as error:
                if error.kind != "silent" or patience == self._until:
                    raise
                return False
        return True

    def _take_leave(self) -> None:
        """Without it, a broker that has let somebody in warns in its log of a connection that was lost."""
        self._until = time.monotonic() + CLOSING
        with contextlib.suppress(StreamError):
            self._ask(_CLOSE, _LEAVE)

    def _break_off(self) -> None:
        """Take leave of a broker that is sending a long chunk, without the answer, which would come behind it.

        One that hands the chunk over to its TLS, or to its system, hears it and has nothing to complain of; but only
        once it has done so, which the first byte of the messages shows. One that is held by the sending itself cannot
        hear, and has nothing to complain of either.
        """
        self._until = time.monotonic() + CLOSING
        with contextlib.suppress(StreamError):
            self._read(1)
            self._asked += 1
            self._send(_CLOSE, struct.pack(">I", self._asked) + _LEAVE)
            time.sleep(UNANSWERED)

    def _ask(self, key: int, body: bytes) -> bytes:
        """Send a request; its answer. Raises StreamError when that is not yes."""
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
        return answer

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
        """Read the head of a chunk, and pass over its messages where they are few. Raises _Enough where they are not.

        An offset is a record: an entry is one of them, or a batch of up to _BATCH of them, compressed or not. How many
        are in a batch its producer says, and the broker believes it: of the first one that is compared with its bytes.
        """
        if size < _CHUNK.size:
            raise self._broke_off("sent a chunk that is cut short")
        subscription, magic, kind, entries, records, _, _, first, _, data, _ = _CHUNK.unpack(self._read(_CHUNK.size))
        size -= _CHUNK.size
        if magic != _CHUNK_MAGIC or subscription not in _ENDS - self._found.keys():
            raise self._broke_off("sent a chunk of an unknown kind")
        messages = kind == _USER_CHUNK and records
        begin = b""
        if kind == _USER_CHUNK:
            consistent = data == size >= 4 * entries and entries <= records <= entries * _BATCH
            if consistent:
                begin = self._read(min(size, _ENTRY.size))
                batch, said, unpacked, _ = _ENTRY.unpack(begin.ljust(_ENTRY.size, b"\0"))
                consistent = batch < _IS_BATCH or 4 * said <= unpacked  # each has its length before it
            if not consistent:
                sizes = f"entries: {entries}, messages: {records}, bytes: {data} by its head, {size} in all"
                raise StreamError("miscounted", f"{self._place} sent a chunk that lies about its sizes ({sizes})")
        if messages:
            self._found[subscription] = first if subscription == _FIRST else first + records - 1
        if size > PASSED:
            raise _Enough if messages else self._broke_off("sent a chunk of an unknown kind")
        self._read(size - len(begin))
        if not messages:  # the broker's own bookkeeping uses up the credit too: the messages are in the next one
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
            raise StreamError("silent", f"{self._place} accepts connections but did not answer in time") from None
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
