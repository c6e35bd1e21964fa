"""TLS with peers of every kind; with RabbitMQ itself: tests/health."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.server.checks import broker
from gpu_runbook.server.queue import stream
from gpu_runbook.server.queue.stream import Bounds, StreamError
from sandbox import certificates
from tests.unit.server.queue.test_stream import GREETED, LOGGED_IN, chunk, delivered, peer, says

ANSWERS = GREETED + LOGGED_IN + delivered(chunk(1, 100, 10), chunk(2, 990, 17))


def made(folder: Path, *days: int) -> str:
    """A CA and a certificate for localhost in a folder; the CA's file."""
    days_of = (days[0], days[1]) if days else (-1, 1)
    certificates.give(folder / "ca.pem", folder / "own.pem", folder / "key.pem", 0, "localhost", days_of)
    return str(folder / "ca.pem")


def over_tls(
    folder: Path, behaviour: Callable[[socket.socket], None], asks_back: bool = False
) -> Callable[[socket.socket], None]:
    """The same behind TLS, with the certificate of the folder; `asks_back`: only to who shows one as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem", folder / "key.pem")
    if asks_back:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "ca.pem")

    def secured(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as inner:
            behaviour(inner)

    return secured


def address(port: int, ca: str | None, host: str = "localhost") -> StreamAddress:
    return StreamAddress(host, port, "annotations", "monitor", tls=ca)


def row(port: int, ca: str | None, host: str = "localhost") -> Check:
    return broker.check("RabbitMQ reachable", address(port, ca, host))


def test_a_stream_is_asked_behind_tls(tmp_path: Path) -> None:
    ca = made(tmp_path)
    with peer(over_tls(tmp_path, says(ANSWERS))) as port:
        assert stream.bounds(address(port, ca), "secret", 3.0) == Bounds(100, 1006)
    with peer(over_tls(tmp_path, says(GREETED))) as port:
        assert row(port, ca).level == OK


@pytest.mark.parametrize(
    ("days", "host", "other_ca", "words", "todo"),
    [
        ((-1, 1), "localhost", True, "(self-signed certificate in certificate chain)", "name the file of the CA"),
        ((-9, -1), "localhost", False, "(certificate has expired)", "renew the broker's certificate"),
        ((1, 9), "localhost", False, "(certificate is not yet valid)", "not valid yet"),
        ((-1, 1), "127.0.0.1", False, "is not valid for '127.0.0.1'", "RABBITMQ_HOST in .env has to be a name"),
    ],
)
def test_a_certificate_that_is_not_accepted_is_told_of_by_its_fault(
    tmp_path: Path, days: tuple[int, int], host: str, other_ca: bool, words: str, todo: str
) -> None:
    ca = made(tmp_path, *days)
    ca = made(tmp_path / "other") if other_ca else ca
    with peer(over_tls(tmp_path, says(GREETED))) as port:
        found = row(port, ca, host)
        assert found.sentence.startswith(f"{host}:{port} has a certificate that is not accepted (")
    said = found.sentence.replace("self signed", "self-signed").replace("unable to get local issuer", "self-signed")
    assert (found.level, words in said or other_ca, todo in found.hint) == (CRITICAL, True, True), found


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (GREETED, "is RabbitMQ's stream port without TLS, and hosts.yaml says `tls`"),
        (b"AMQP\0\0\x09\x01", "is RabbitMQ's AMQP port"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"),
    ],
)
def test_a_port_without_tls_is_told_of_as_what_it_is(tmp_path: Path, reply: bytes, words: str) -> None:
    with peer(says(reply), times=3) as port:
        found = row(port, made(tmp_path))
    assert (found.level, words in found.sentence) == (WARNING, True), found
    assert "RABBITMQ_PORT" in found.hint


@pytest.mark.parametrize(
    ("reply", "words", "todo"),
    [
        (b"AMQP\0\0\x09\x01", "is RabbitMQ's AMQP port", "5552, with TLS 5551"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP", "5552, with TLS 5551"),
        (b"\x15\x03\x03\0\x02\x02\x0a", "speaks TLS, and was asked without", "`tls: true`"),
        (b"SSH-2.0-\x1b[31m\nred", 'it says "SSH-2.0-', "5552, with TLS 5551"),
    ],
)
def test_another_port_is_told_of_as_what_it_is(reply: bytes, words: str, todo: str) -> None:
    with peer(says(reply)) as port:
        found = row(port, None)
    assert (found.level, words in found.sentence, todo in found.hint) == (WARNING, True, True), found
    assert found.sentence.isprintable()


def test_a_web_server_that_waits_for_its_own_words_is_known_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def behaviour(connection: socket.socket) -> None:
        heard = b""
        while b"\r\n" not in heard:
            heard += connection.recv(4096) or b"\r\n"
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" if b"GET" in heard else b"")

    monkeypatch.setattr(stream, "SECONDS", 0.3)
    with peer(behaviour, times=2) as port:
        found = row(port, None, "127.0.0.1")
    assert (found.level, "speaks HTTP" in found.sentence) == (WARNING, True), found


def test_who_wants_a_certificate_of_ours_is_told_of(tmp_path: Path) -> None:
    ca = made(tmp_path)
    with peer(over_tls(tmp_path, says(GREETED), asks_back=True), times=2) as port:
        found = row(port, ca)
    assert (found.level, "fail_if_no_peer_cert" in found.hint) == (CRITICAL, True), found


@pytest.mark.parametrize("file", ["nowhere.pem", ".", "garbage.pem"])
def test_a_ca_that_is_no_file_of_certificates_is_nobody_elses_fault(tmp_path: Path, file: str) -> None:
    (tmp_path / "garbage.pem").write_text("no certificate\n")
    with peer(lambda connection: None) as port:
        found = row(port, str(tmp_path / file))
    assert (found.level, found.sentence.startswith(str(tmp_path / file))) == (UNKNOWN, True), found
    assert "stream.tls.ca in hosts.yaml" in found.hint


def test_a_python_without_tls_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ssl", None)
    with peer(lambda connection: None) as port, pytest.raises(StreamError, match="TLS cannot be used on this server"):
        stream.greet(address(port, ""))


def test_a_peer_that_never_ends_its_handshake_is_given_up_in_time(tmp_path: Path) -> None:
    with peer(lambda connection: time.sleep(1)) as port, pytest.raises(StreamError):
        stream.bounds(address(port, made(tmp_path)), "secret", 0.3)


def test_who_hangs_up_whatever_is_asked_is_no_port_without_tls(tmp_path: Path) -> None:
    """As a proxy does that has lost the broker behind it."""
    with peer(says(b""), times=3) as port:
        found = row(port, made(tmp_path))
    assert (found.level, found.sentence) == (CRITICAL, f"localhost:{port} hangs up, asked for TLS and without")
    assert "a proxy in between" in found.hint


def reset(connection: socket.socket) -> None:
    """Ends it at once, once it has heard something, as a firewall or a dying process does."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def alert(number: int) -> Callable[[socket.socket], None]:
    """Says no to a handshake, as TLS does."""
    return says(b"\x15\x03\x03\0\x02\x02" + bytes([number]))


@pytest.mark.parametrize(
    ("behaviour", "kind", "said", "todo"),
    [
        (says(GREETED), "not-tls", "does not speak TLS", "for TLS (mostly 5551), or take `tls` out of hosts.yaml"),
        (says(b""), "not-tls", "hung up when it was asked for TLS, as who speaks none does", "take `tls` out"),
        (reset, "not-tls", "hung up when it was asked for TLS, as who speaks none does", "take `tls` out"),
        (alert(40), "tls", "and this computer agree on no TLS (handshake failure)", "ssl_options"),
        (alert(70), "tls", "and this computer agree on no TLS (protocol version)", "ssl_options"),
        (alert(116), "wants-certificate", "wants a certificate of who connects, and gets none", "fail_if_no_peer_cert"),
        (
            lambda connection: time.sleep(0.6),
            "silent",
            "accepts connections but did not answer",
            "RabbitMQ may be busy",
        ),
    ],
    ids=["plain", "hangs up", "resets", "no cipher", "no version", "certificate", "silent"],
)
def test_a_handshake_that_fails_is_told_without_a_librarys_words(
    tmp_path: Path, behaviour: Callable[[socket.socket], None], kind: str, said: str, todo: str
) -> None:
    with peer(behaviour) as port, pytest.raises(StreamError) as caught:
        stream.bounds(address(port, made(tmp_path)), "secret", 0.4)
    error = caught.value
    assert (error.kind, error.message.startswith(f"localhost:{port} {said}")) == (kind, True), error.message
    assert "_ssl" not in error.message and "SSL" not in error.message
    assert todo in broker.hint(error)
