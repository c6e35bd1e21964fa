"""Is RabbitMQ reachable from this server, and is it the stream port that answers?"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import struct
import time
from typing import Any, Dict, Tuple

from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.foreign_text import named, one_line, quoted
from gpu_runbook.server.queue import stream, tcp

VERSION = 40  # characters of what a broker calls its version: it says so to anybody, and may be anybody
SHOWN = 20  # characters of what else answers
SECONDS = 2.0  # for asking it in other words

_WANTED = "set RABBITMQ_PORT to the broker's stream port (5552, with TLS 5551, unless somebody moved it)"
_TLS_PORT = "set RABBITMQ_PORT to the broker's stream port for TLS (mostly 5551), or take `tls` out of hosts.yaml"
_PLAIN = "set `tls: true` (or `tls: {ca: …}`) for this stream in hosts.yaml, or RABBITMQ_PORT to the port without TLS"
_UNTRUSTED = "name the file of the CA that signed it, on this server, in hosts.yaml: stream: {tls: {ca: …}}"
_OTHER_NAME = "RABBITMQ_HOST in .env has to be a name that the certificate is for, or the broker needs another one"
_SHOWS_NONE = "see RabbitMQ's log: if it wants a certificate of ours (fail_if_no_peer_cert), a check has none"
_NO_TLS_IN_COMMON = "compare ssl_options of RabbitMQ with what OpenSSL here takes; with TLS 1.2, one that wants a "
_NO_TLS_IN_COMMON += "certificate of ours (fail_if_no_peer_cert) says no more than this, either"
_HINTS = {
    "refused": "see that RabbitMQ runs, and that RABBITMQ_HOST and RABBITMQ_PORT name it",
    "silent": f"RabbitMQ may be busy: see its log; or it is another port: {_WANTED}",
    "timeout": "check the network and the firewall between this server and RabbitMQ",
    "unknown-name": "check RABBITMQ_HOST, and the name service on this server",
    "broke-off": "see RabbitMQ's log; a proxy in between may have lost the broker behind it",
    "miscounted": "whichever producer published last counts the messages of its batches wrong; see RabbitMQ's log too",
    "not-a-stream-port": f"{_WANTED}; if that one speaks TLS, hosts.yaml says so with `tls: true`",
    "login": "set RABBITMQ_MONITOR_USER and RABBITMQ_MONITOR_PASSWORD in .env",
    "denied": "give the user RABBITMQ_MONITOR_USER names the permission to read the stream",
    "no-stream": "check the stream's name in hosts.yaml; a stream that was deleted took its messages along",
    "not-tls": _TLS_PORT,
    "wants-certificate": _SHOWS_NONE,
    "tls": _NO_TLS_IN_COMMON,
    "ca": "stream.tls.ca in hosts.yaml has to be a PEM file of certificates on this server that the login may read",
    "certificate 9": "it is not valid yet: compare the broker's clock with this server's, or renew it",
    "certificate 10": "renew the broker's certificate, and see that this server's clock is right",
    "certificate 62": _OTHER_NAME,
    "certificate 64": _OTHER_NAME,
}


_SPEAKS = {
    "stream": ("is RabbitMQ's stream port without TLS, and hosts.yaml says `tls`", _TLS_PORT),
    "amqp": ("is RabbitMQ's AMQP port", _WANTED),
    "http": ("speaks HTTP, as a web server, a proxy and RabbitMQ's management port do", _WANTED),
    "tls": ("speaks TLS, and was asked without", _PLAIN),
}
_LEVELS = {"ca": UNKNOWN, "not-tls": WARNING}


def check(name: str, address: StreamAddress) -> Check:
    """Greet who is there. Critical where nobody answers as wanted, a warning where it is somebody else."""
    begun = time.monotonic()
    try:
        reply = stream.greet(address)
    except stream.StreamError as error:
        heard, error = _heard(address, error)
        speaks = language(heard)
        if speaks == "other" or (speaks == "tls" and address.tls is not None):
            level = _LEVELS.get(error.kind, CRITICAL)
            return Check(name, level, error.message, {"failure": error.kind}, _theirs(address, hint(error)))
        return _somebody_else(name, address, speaks, heard, {"failure": error.kind})
    seconds, speaks, version = time.monotonic() - begun, language(reply), _version(reply)
    figures = {"seconds": round(seconds, 4), "speaks": speaks, "version": version}
    if speaks != "stream":
        return _somebody_else(name, address, speaks, reply, figures)
    told = f" {named(version)}" if version else ""
    place = f"{address.host}:{address.port}"
    return Check(name, OK, f"RabbitMQ{told} answers at {place} after {seconds * 1000:.0f} ms", figures)


def _somebody_else(name: str, address: StreamAddress, speaks: str, reply: bytes, figures: Dict[str, Any]) -> Check:
    what, todo = _other(speaks, reply)
    return Check(
        name, WARNING, f"{address.host}:{address.port} {what}", {**figures, "speaks": speaks}, _theirs(address, todo)
    )


def _other(speaks: str, reply: bytes) -> Tuple[str, str]:
    """What stands behind the address of somebody who speaks something else, and what to do."""
    says = quoted(reply.decode("utf-8", "replace"), SHOWN)
    return _SPEAKS.get(speaks) or (f"is something else than a stream port: it says {says}", _WANTED)


def told(address: StreamAddress, error: stream.StreamError) -> Tuple[str, str]:
    """Why a stream could not be asked, as a sentence, and what to do; who speaks something else is told as what."""
    if not error.heard:
        return error.message, _theirs(address, hint(error))
    what, todo = _other(language(error.heard), error.heard)
    return f"{address.host}:{address.port} {what}", _theirs(address, todo)


def _theirs(address: StreamAddress, todo: str) -> str:
    """The hint with the variables that hosts.yaml names."""
    return re.sub("RABBITMQ_[A-Z_]+", lambda found: address.variables.get(found[0], found[0]), todo)


def _heard(address: StreamAddress, error: stream.StreamError) -> Tuple[bytes, stream.StreamError]:
    """What somebody says to other words who did not answer the greeting; nothing where it is of no use to ask.

    And the error that counts then: who hangs up whatever is asked is no port without TLS.
    """
    if address.tls is not None and error.kind in ("not-tls", "broke-off"):
        plain = dataclasses.replace(address, tls=None)
        try:
            return stream.greet(plain), error
        except stream.StreamError as other:
            heard, _ = _heard(plain, other)
            if other.kind == "broke-off" and not heard:
                place = f"{address.host}:{address.port}"
                error = stream.StreamError(other.kind, f"{place} hangs up, asked for TLS and without")
            return heard, error
    return _asked_for_a_page(address) if error.kind in ("silent", "broke-off") else b"", error


def _asked_for_a_page(address: StreamAddress) -> bytes:
    """What a web server waits for, and nobody else answers with a page."""
    until = time.monotonic() + SECONDS
    try:
        sock = tcp.connect(address.host, address.port, until)
        if address.tls is not None:
            from gpu_runbook.server.queue import tls

            sock = tls.secured(sock, address.host, address.tls, "")
        with contextlib.closing(sock):
            sock.settimeout(SECONDS)
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return sock.recv(SHOWN)
    except (OSError, stream.StreamError):
        return b""


def hint(error: stream.StreamError) -> str:
    """What to do about a broker that could not be asked."""
    return _HINTS.get(error.kind, _UNTRUSTED if error.kind.startswith("certificate") else "")


def language(reply: bytes) -> str:
    """What somebody speaks who answers a greeting so: stream, amqp, http, tls or other."""
    heads = {b"AMQP": "amqp", b"HTTP/": "http", b"<": "http", b"\x15\x03": "tls", b"\x16\x03": "tls"}
    if stream.is_stream(reply):
        return "stream"
    return next((speaks for head, speaks in heads.items() if reply.startswith(head)), "other")


def _version(reply: bytes) -> str:
    """The broker's version out of its greeting: 14 bytes of head, then pairs of texts; empty when it has none."""
    texts, at = [], 18
    while at + 2 <= len(reply):
        end = at + 2 + struct.unpack(">H", reply[at : at + 2])[0]
        texts.append(reply[at + 2 : end].decode("utf-8", "replace"))
        at = end
    names = texts[:-1:2]
    return one_line(texts[2 * names.index("version") + 1], VERSION) if "version" in names else ""
