"""The receivers themselves: each is as bad as it is told to be, and good again afterwards."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from http.client import BadStatusLine, HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from threading import Thread, active_count

import pytest

from sandbox.machine import wait_until
from tests.schedule.mail import SmtpReceiver
from tests.schedule.receivers import Certificate, HttpReceiver, self_signed

LOGIN = ("alerts", "pass word")
ME, YOU, HIM = "gpu-1@example.org", "you@example.org", "him@example.org"


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return self_signed(tmp_path)


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture
def smtp(certificate: Certificate) -> Iterator[SmtpReceiver]:
    with SmtpReceiver(certificate, login=LOGIN) as receiver:
        yield receiver


def trusting(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.file))


def posted(receiver: HttpReceiver, body: bytes = b"{}", timeout: float = 5) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", receiver.port, timeout=timeout)
    try:
        connection.request("POST", "/hook?a=b", body, {"X-Token": "t"})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ME, f"{YOU}, {HIM}", "gpu-1: Grafikkarte heiß"
    message.set_content("first\n.second begins with a dot\n")
    return message


def sent(receiver: SmtpReceiver, certificate: Certificate, password: str = LOGIN[1]) -> dict[str, tuple[int, bytes]]:
    """Send the mail as one does: STARTTLS, login, both recipients; who was refused."""
    with smtplib.SMTP("127.0.0.1", receiver.port, timeout=5) as client:
        client.starttls(context=trusting(certificate))
        client.login(LOGIN[0], password)
        return client.send_message(mail())


def test_a_request_is_recorded_as_it_came_and_answered_as_told(http: HttpReceiver) -> None:
    before = time.time()
    response, body = posted(http, b"\x00{}")
    assert (response.status, body) == (200, b"")
    (request,) = http.wait_for(1, 1)
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=b", b"\x00{}")
    assert request.headers["x-token"] == "t"
    assert before <= request.at <= time.time()
    assert http.url("/x") == f"http://127.0.0.1:{http.port}/x"

    http.answer(503, b"later", {"Retry-After": "7"})
    response, body = posted(http)
    assert (response.status, body, response.headers["Retry-After"]) == (503, b"later", "7")
    http.redirect("http://127.0.0.1:1/elsewhere")
    response, _ = posted(http)
    assert (response.status, response.headers["Location"]) == (302, "http://127.0.0.1:1/elsewhere")
    assert len(http.requests) == http.connections == 3


def test_garbage_is_no_http(http: HttpReceiver) -> None:
    http.garbage()
    with pytest.raises(BadStatusLine):
        posted(http)


def test_a_hanging_receiver_has_the_request_and_answers_with_the_next_behaviour(http: HttpReceiver) -> None:
    http.hang()
    with pytest.raises(TimeoutError):
        posted(http, timeout=0.2)
    answers = []
    asking = Thread(target=lambda: answers.append(posted(http)))
    asking.start()
    http.wait_for(2)
    http.answer(204)
    asking.join()
    assert answers[0][0].status == 204


def test_a_dripping_receiver_never_lets_the_clock_run_out_between_two_bytes(http: HttpReceiver) -> None:
    http.drip(0.05)
    with socket.create_connection(("127.0.0.1", http.port), 1) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        begun = time.monotonic()
        assert b"".join(connection.recv(1) for _ in range(8)) == b"HTTP/1.1"
        assert time.monotonic() - begun > 0.3
        http.answer()
        while connection.recv(100):
            pass


@pytest.mark.parametrize("kind", [HttpReceiver, SmtpReceiver])
def test_a_refusing_receiver_is_back_on_the_same_port(kind: type[HttpReceiver] | type[SmtpReceiver]) -> None:
    with kind() as receiver:
        for _ in range(3):
            receiver.refuse()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", receiver.port), 1)
            receiver.recover()
            socket.create_connection(("127.0.0.1", receiver.port), 1).close()
        receiver.recover()  # a second time is harmless
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", receiver.port), 1)


@pytest.mark.parametrize("kind", [HttpReceiver, SmtpReceiver])
def test_closing_ends_whoever_still_hangs_on(kind: type[HttpReceiver] | type[SmtpReceiver]) -> None:
    before = active_count()
    with kind() as receiver:
        receiver.hang()
        silent, asking = (socket.create_connection(("127.0.0.1", receiver.port), 5) for _ in range(2))
        asking.sendall(b"GET / HTTP/1.1\r\n\r\n")
        wait_until(lambda: active_count() == before + 3, 5, "receiver")
    for connection in (silent, asking):
        with connection:
            assert connection.recv(1) == b""
    assert active_count() == before


def test_a_count_that_does_not_come_is_said(http: HttpReceiver) -> None:
    posted(http)
    with pytest.raises(AssertionError, match=r"1 of 2 came within 0\.01 s"):
        http.wait_for(2, 0.01)


def test_over_tls_it_is_trusted_by_its_certificate_only(certificate: Certificate, tmp_path: Path) -> None:
    with HttpReceiver(certificate) as receiver:
        assert receiver.url() == f"https://127.0.0.1:{receiver.port}/"
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
            asked_over_tls(receiver, ssl.create_default_context())
        assert asked_over_tls(receiver, trusting(certificate)) == 200


@pytest.mark.parametrize(
    ("names", "lasts", "said"),
    [
        (("elsewhere.example.org",), timedelta(hours=1), "IP address mismatch"),
        (("127.0.0.1",), -timedelta(minutes=1), "expired"),
    ],
)
def test_a_certificate_may_be_wrong(tmp_path: Path, names: tuple[str, ...], lasts: timedelta, said: str) -> None:
    certificate = self_signed(tmp_path, names, lasts)
    with HttpReceiver(certificate) as receiver, pytest.raises(ssl.SSLCertVerificationError, match=said):
        asked_over_tls(receiver, trusting(certificate))


def asked_over_tls(receiver: HttpReceiver, context: ssl.SSLContext) -> int:
    connection = HTTPSConnection("127.0.0.1", receiver.port, timeout=5, context=context)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_mail_is_recorded_with_who_brought_it_and_how(smtp: SmtpReceiver, certificate: Certificate) -> None:
    assert sent(smtp, certificate) == {}
    (envelope,) = smtp.wait_for(1, 1)
    assert (envelope.sender, envelope.recipients) == (ME, (YOU, HIM))
    assert envelope.message["Subject"] == "gpu-1: Grafikkarte heiß"
    assert envelope.message.get_content() == "first\n.second begins with a dot\n"
    assert (envelope.tls, envelope.user) == (True, LOGIN[0])


def test_without_tls_nobody_may_log_in_and_without_a_login_nobody_may_send(smtp: SmtpReceiver) -> None:
    with smtplib.SMTP("127.0.0.1", smtp.port, timeout=5) as client:
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 538
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.send_message(mail())
    assert smtp.envelopes == ()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_login_is_checked_whichever_way_it_comes(mechanism: str) -> None:
    with SmtpReceiver(login=LOGIN, mechanisms=(mechanism,)) as receiver:
        for right in (True, False):
            with smtplib.SMTP("127.0.0.1", receiver.port, timeout=5) as client:
                assert mechanism in client.ehlo()[1].decode()
                if right:
                    client.login(*LOGIN)
                    client.send_message(mail())
                else:
                    with pytest.raises(smtplib.SMTPAuthenticationError):
                        client.login(LOGIN[0], "wrong")
        assert [(envelope.tls, envelope.user) for envelope in receiver.envelopes] == [(False, LOGIN[0])]


def test_a_receiver_may_ask_for_no_login_and_speak_tls_first(certificate: Certificate) -> None:
    with SmtpReceiver(certificate, implicit=True) as receiver:
        with smtplib.SMTP_SSL("127.0.0.1", receiver.port, timeout=5, context=trusting(certificate)) as client:
            client.send_message(mail())
        assert [(envelope.tls, envelope.user) for envelope in receiver.envelopes] == [(True, None)]


def test_mail_is_refused_as_told(smtp: SmtpReceiver, certificate: Certificate) -> None:
    smtp.refuse_login()
    with pytest.raises(smtplib.SMTPAuthenticationError):
        sent(smtp, certificate)
    smtp.refuse_recipient(HIM)
    assert sent(smtp, certificate)[HIM][0] == 550
    assert smtp.envelopes[0].recipients == (YOU,)
    smtp.refuse_recipient()
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        sent(smtp, certificate)
    smtp.greet(b"554 no")
    with pytest.raises(smtplib.SMTPConnectError, match="554"):
        sent(smtp, certificate)
    smtp.accept()
    assert sent(smtp, certificate) == {}


@pytest.mark.parametrize("verb", ["", "EHLO", "DATA"])
def test_mail_waits_where_the_receiver_hangs(smtp: SmtpReceiver, certificate: Certificate, verb: str) -> None:
    smtp.hang(verb)
    refused: list[dict[str, tuple[int, bytes]]] = []
    sending = Thread(target=lambda: refused.append(sent(smtp, certificate)))
    sending.start()
    sending.join(0.2)
    assert sending.is_alive()
    assert smtp.envelopes == ()
    smtp.accept()
    sending.join()
    assert refused == [{}]
