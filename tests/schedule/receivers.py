"""Where alerts go in the tests: what all receivers share, and the one of HTTP requests (that of mail is in mail.py)."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from http.client import parse_headers
from ipaddress import ip_address
from itertools import chain, repeat
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Behaviour = TypeVar("Behaviour")
Received = TypeVar("Received")
Self = TypeVar("Self", bound="Listener[Any, Any]")  # typing has one from Python 3.11 on
ADDRESS = "127.0.0.1"
PATIENCE = 30  # seconds of silence after which a connection is given up
LINE = 65536  # bytes of a line at most


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate: `file` is also what a client has to trust."""

    file: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


def self_signed(
    directory: Path, names: tuple[str, ...] = (ADDRESS, "localhost"), lasts: timedelta = timedelta(hours=1)
) -> Certificate:
    """A new certificate for these names; one that `lasts` less than nothing is over already."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.now(timezone.utc)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectAlternativeName([_general_name(text) for text in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    made.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return made


def _general_name(name: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(name))
    return x509.DNSName(name)


class Listener(Generic[Behaviour, Received]):
    """Listens on a free port of the loopback until it is closed; each connection has a thread of its own."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._held = _bound(0)  # never listens: the port stays ours while nobody listens on it
        self.port: int = self._held.getsockname()[1]
        self.connections = 0  # that were accepted
        self._news = threading.Condition()  # of everything below
        self._received: list[Received] = []
        self._behaviour = behaviour
        self._turns = 0  # how often that was changed
        self._closed = False
        self._open: dict[threading.Thread, socket.socket] = {}
        self._listening: tuple[socket.socket, threading.Thread] | None = None
        self.recover()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def serve(self, connection: socket.socket) -> None:
        """One connection, from its first byte to its last; it is closed afterwards, and an OSError is its end."""
        raise NotImplementedError

    def recover(self) -> None:
        """Listen, on the same port as before."""
        if self._listening is None:
            listening = _bound(self.port)
            listening.listen()
            accepting = threading.Thread(target=self._accept, args=(listening,))
            self._listening = listening, accepting
            accepting.start()

    def refuse(self) -> None:
        """From now on connecting is refused; connections that are open stay."""
        if self._listening is not None:
            listening, accepting = self._listening
            self._listening = None
            listening.shutdown(socket.SHUT_RDWR)  # closing alone would not end the thread's wait
            accepting.join()
            listening.close()

    def close(self) -> None:
        """End every connection and every thread."""
        self.refuse()
        with self._news:
            self._closed = True
            left = list(self._open)
            for ending in self._open.values():
                with suppress(OSError):  # the other side has reset it
                    ending.shutdown(socket.SHUT_RDWR)
            # Not before: who closes a connection with something unread in it resets it.
            self._news.notify_all()
        for thread in left:
            thread.join()
        self._held.close()

    def wait_for(self, count: int = 1, seconds: float = 10) -> tuple[Received, ...]:
        """Everything received, as soon as that is at least so much."""
        with self._news:
            came = self._news.wait_for(lambda: len(self._received) >= count, seconds)
            assert came, f"{len(self._received)} of {count} came within {seconds} s"
            return tuple(self._received)

    def _all(self) -> tuple[Received, ...]:
        with self._news:
            return tuple(self._received)

    def _note(self, received: Received) -> None:
        with self._news:
            self._received.append(received)
            self._news.notify_all()

    def _become(self, behaviour: Behaviour) -> None:
        with self._news:
            self._behaviour = behaviour
            self._turns += 1
            self._news.notify_all()

    def _now(self) -> tuple[Behaviour, int]:
        """The behaviour, and its turn."""
        with self._news:
            return self._behaviour, self._turns

    def _is_over(self, turn: int, seconds: float | None = None) -> bool:
        """Whether that turn has ended, or is ended by closing, within so many seconds; None waits for it."""
        with self._news:
            return self._news.wait_for(lambda: self._closed or self._turns != turn, seconds)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # no longer listening
                return
            connection.settimeout(PATIENCE)
            thread = threading.Thread(target=self._serve, args=(connection,))
            with self._news:
                self.connections += 1
                # A second handle on the connection: TLS takes the first one away.
                self._open[thread] = connection.dup()
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self.serve(connection)
        with self._news, self._open.pop(threading.current_thread()):
            pass


def _bound(port: int) -> socket.socket:
    """Several may be bound to one port; connections come to the one that listens."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((ADDRESS, port))
    return made


Answering = Callable[[socket.socket, int], None]  # on a connection, in a turn of the behaviour


@dataclass(frozen=True)
class Request:
    """A request as it came: names of headers in lower case, `at` in seconds since 1970."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


class HttpReceiver(Listener[Answering | None, Request]):
    """Answers 200 until told otherwise. Each connection is for one request, whose body's length has to be said."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        """With a certificate it speaks TLS from the first byte on."""
        self._context = certificate.server_context() if certificate else None
        super().__init__(None)
        self.answer()

    def url(self, path: str = "/") -> str:
        return f"{'https' if self._context else 'http'}://{ADDRESS}:{self.port}{path}"

    @property
    def requests(self) -> tuple[Request, ...]:
        return self._all()

    def answer(self, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        fields = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {fields[name]}" for name in fields)]
        self._say("".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body)

    def redirect(self, location: str, status: int = 302) -> None:
        self.answer(status, headers={"Location": location})

    def garbage(self) -> None:
        """Bytes that are no HTTP."""
        self._say(b"\x00\xff\x15\x03 no HTTP\r\n\r\n")

    def hang(self) -> None:
        """No answer before the next behaviour, which then answers those who hang."""
        self._become(None)

    def drip(self, seconds: float = 0.5) -> None:
        """An answer without an end, one byte every so many seconds; the next behaviour cuts it off."""

        def behave(connection: socket.socket, turn: int) -> None:
            for byte in chain(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", repeat(ord("."))):
                connection.sendall(bytes([byte]))
                if self._is_over(turn, seconds):
                    return

        self._become(behave)

    def serve(self, connection: socket.socket) -> None:
        with ExitStack() as stack:
            if self._context:
                connection = stack.enter_context(self._context.wrap_socket(connection, server_side=True))
            request = _read_request(stack.enter_context(connection.makefile("rb")))
            if request is None:
                return
            behave, turn = self._now()
            self._note(request)
            while behave is None:
                if self._is_over(turn) and self._closed:
                    return
                behave, turn = self._now()
            behave(connection, turn)

    def _say(self, answer: bytes) -> None:
        self._become(lambda connection, turn: connection.sendall(answer))


def _read_request(reader: BinaryIO) -> Request | None:
    """None where the other side hangs up before the request is whole."""
    line = reader.readline(LINE).decode("latin-1").split()
    if not line:
        return None
    headers = {name.lower(): value for name, value in parse_headers(reader).items()}
    length = int(headers.get("content-length", "0"))
    body = reader.read(length)
    return Request(line[0], line[1], headers, body, time.time()) if len(body) == length else None
