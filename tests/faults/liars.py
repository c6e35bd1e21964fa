"""Who answers with lies: a broker, a registry, and the python of a server. What each says is drawn by a seed."""

from __future__ import annotations

import contextlib
import copy
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.hostile.server import SAID
from tests.unit.nasty import TEXTS
from tests.unit.server.queue.test_stream import GREETED, LOGGED_IN, SUBSCRIBED, chunk, yes

PIECES = (
    GREETED,
    LOGGED_IN,
    SUBSCRIBED,
    chunk(1, 0, 5),
    chunk(1, 2**64 - 1, 2**32 - 1),
    b"HTTP/1.1 400 \r\n\r\n",
    b"\0" * 99,
)
BREATH = 0.01  # seconds between two bytes of whoever takes his time
STEADY = 20.0  # seconds for which he does


def text(random: Random) -> str:
    """One that wants to be taken for us, or is far too long."""
    return random.choice(list(TEXTS.values()))


def greeting(version: bytes) -> bytes:
    """How a broker of that version greets everybody, before any login."""
    return yes(0x11, 0, struct.pack(">I", 1) + b"\0\7version" + struct.pack(">H", len(version)) + version)


@contextlib.contextmanager
def broker(random: Random) -> Iterator[int]:
    """Its port. It greets with a version of somebody's choice, or says frames in any order, or nothing that ends."""
    greets = greeting(text(random).encode("utf-8", "replace")[:60_000])
    said = random.choice((greets, b"".join(random.choice(PIECES) for _ in range(random.randint(1, 9)))))
    with listening(said, slowly=random.random() < 0.3) as port:
        yield port


@contextlib.contextmanager
def registry(random: Random) -> Iterator[int]:
    """Its port. Whatever is asked, it answers the same: an error, a challenge, a redirect, a manifest of its own."""
    words = json.dumps(
        {"errors": [{"code": "DENIED", "message": text(random)[:30_000], "detail": text(random)[:9_000]}]}
    )
    realm = "".join(char for char in text(random)[:3000] if char.isprintable()).replace('"', "'")
    heads = {
        "error": (f"HTTP/1.1 {random.choice((200, 400, 403, 404, 429, 500))} \r\n", words),
        "challenge": (
            f'HTTP/1.1 401 \r\nWww-Authenticate: Bearer realm="http://127.0.0.1:1/{realm}",service="x"\r\n',
            words,
        ),
        "redirect": ("HTTP/1.1 302 \r\nLocation: file:///etc/passwd\r\n", ""),
        "manifest": (
            "HTTP/1.1 200 \r\nContent-Type: application/vnd.docker.distribution.manifest.v2+json\r\n"
            f"Docker-Content-Digest: {random.choice(('sha256:' + '0' * 64, '--privileged', ''))}\r\n",
            json.dumps(
                {"schemaVersion": 2, "config": {"digest": "../../x", "size": -1}, "layers": [{"size": 1 << 62}]}
            ),
        ),
        "no end": ("HTTP/1.1 200 \r\n", "x" * 3_000_000),
    }
    head, body = heads[random.choice(list(heads))]
    raw = body.encode("utf-8", "replace")
    with listening(
        f"{head}Content-Length: {len(raw)}\r\nConnection: close\r\n\r\n".encode("utf-8", "replace") + raw
    ) as port:
        yield port


@contextlib.contextmanager
def listening(said: bytes, slowly: bool = False) -> Iterator[int]:
    """Somebody on a free port who says the same to everybody, byte by byte where he takes his time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                connection.recv(65536)
                until = time.monotonic() + STEADY
                for byte in said if slowly else b"":
                    connection.sendall(bytes([byte]))
                    time.sleep(BREATH)
                    if time.monotonic() > until:
                        return
                connection.sendall(b"" if slowly else said)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def answers(random: Random) -> bytes:
    """What a python on the server prints: whole messages with one text of somebody's choice in each, or rubbish."""
    _, messages = SAID[random.choice(list(SAID))]
    lied = [_with_a_lie(random, message) for message in messages]
    whole = b"".join(b"\x1e" + json.dumps(message).encode() + b"\n" for message in lied)
    rubbish = (b"", b"Welcome\n", b"\x1b[2J", b"\x1e", b"\xff" * 1000, b'\x1e{"answer": ' + b"[" * 100_000)
    return random.choice(rubbish) + random.choice((whole, whole, whole, whole[: len(whole) // 2], b""))


def _with_a_lie(random: Random, message: dict[str, Any]) -> dict[str, Any]:
    lied = copy.deepcopy(message)
    places = list(_texts(lied))
    if places:
        random.choice(places)(text(random)[:30_000])
    return lied


def _texts(value: Any) -> Iterator[Callable[[str], None]]:
    """What replaces each text within a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        if isinstance(inner, str):
            yield lambda new, key=key: value.__setitem__(key, new)  # type: ignore[misc]
        yield from _texts(inner)
