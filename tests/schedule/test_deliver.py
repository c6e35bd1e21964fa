"""Alerts on their way: every channel, to receivers that refuse, hang, fail and recover."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.schedule.presets import PRESETS
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, Check
from gpu_runbook.protocol.health import DiskLimits, Expected, Request
from gpu_runbook.protocol.schedule import Channels, Mail, Program, Settings, Webhook
from gpu_runbook.server.schedule import delivery
from gpu_runbook.server.schedule.notify import channels
from gpu_runbook.server.schedule.notify.message import Message
from gpu_runbook.server.schedule.state import Pending
from tests.schedule.mail import SmtpReceiver
from tests.schedule.receivers import Certificate, HttpReceiver, self_signed

SECRET = "/services/T0001/verysecretpart1234"
LOGIN = ("alerts", "pass word with blanks")
AT = "2026-04-20T02:15:00Z"
MESSAGE = Message(
    "gpu-1",
    AT,
    CRITICAL,
    "gpu-1: critical: disk space",
    "disk space: voll bis an den Rand – é",
    ({"name": "disk space"},),
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "SECONDS", 0.5)
    monkeypatch.setattr(delivery, "DEADLINE", 2.0)


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """One that this machine trusts."""
    made = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


@pytest.fixture
def smtp(certificate: Certificate) -> Iterator[SmtpReceiver]:
    with SmtpReceiver(certificate, login=LOGIN) as receiver:
        yield receiver


def settings(hidden: tuple[str, ...] = (), **channels: Any) -> Settings:
    questions = Request(DiskLimits(("/azaion",), 80.0, 95.0), Expected(0))
    return Settings("gpu-1", "/azaion", 300, questions, channels=Channels(**channels), hidden=hidden)


def hook(http: HttpReceiver, kind: str = "webhook", **changes: Any) -> Webhook:
    return Webhook("chat", http.url(SECRET), PRESETS[kind].body, PRESETS[kind].limit, **changes)


def mail(smtp: SmtpReceiver, **changes: Any) -> Mail:
    user, password = LOGIN
    made = Mail(
        "mail", "127.0.0.1", smtp.port, "gpu-1@team.lan", ("me@team.lan", "you@team.lan"), "starttls", user, password
    )
    return dataclasses.replace(made, **changes)


def sent(made: Settings, *waiting: Message) -> tuple[tuple[Pending, ...], list[Check]]:
    pending = [Pending(name, one, "", AT, 0) for name in made.channels.names for one in waiting or (MESSAGE,)]
    return delivery.deliver(made, pending)


def one_row(made: Settings) -> Check:
    """The row of the only channel; nothing is left where it is ok, and everything where it is not."""
    left, (row,) = sent(made)
    assert bool(left) == (row.level != OK)
    assert SECRET not in row.sentence
    return row


def test_a_webhook_gets_the_message_as_json(http: HttpReceiver) -> None:
    row = one_row(settings(webhooks=(hook(http, token="t0ken-t0ken"),)))
    assert (row.level, row.sentence) == (OK, "answered with status 200")
    (request,) = http.requests
    assert (request.method, request.path) == ("POST", SECRET)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer t0ken-t0ken"
    said = json.loads(request.body)
    assert (said["title"], said["text"], said["rows"]) == (MESSAGE.title, MESSAGE.text, [{"name": "disk space"}])


@pytest.mark.parametrize("kind", sorted(PRESETS))
def test_every_preset_arrives(http: HttpReceiver, kind: str) -> None:
    assert one_row(settings(webhooks=(hook(http, kind),))).level == OK
    assert "critical: disk space" in json.dumps(json.loads(http.requests[0].body))


def _status(http: HttpReceiver) -> None:
    http.answer(404, b"no_service\n")


def _redirect(http: HttpReceiver) -> None:
    http.redirect(http.url("/elsewhere"))


@pytest.mark.parametrize(
    ("misbehave", "said"),
    [
        (_status, 'answered with status 404: "no_service"'),
        (_redirect, "answered with status 302 (a redirect, which is not followed)"),
        (HttpReceiver.hang, "gave no answer within 0 s"),
        (HttpReceiver.refuse, "refused the connection"),
        (HttpReceiver.garbage, "gave an answer that is no HTTP"),
    ],
)
def test_a_webhook_that_fails_is_said_and_what_it_did_not_take_stays(
    http: HttpReceiver, misbehave: Any, said: str
) -> None:
    misbehave(http)
    made = settings(webhooks=(hook(http),))
    row = one_row(made)
    assert (row.level, said in row.sentence) == (CRITICAL, True), row.sentence
    before = len(http.requests)
    left, _ = sent(made)
    assert [(one.channel, one.message, one.tries) for one in left] == [("chat", MESSAGE, 1)]
    assert said in left[0].why
    assert all(request.path == SECRET for request in http.requests[before:]), "an alert went elsewhere"
    http.recover()
    http.answer()
    assert delivery.deliver(made, left)[0] == ()
    assert json.loads(http.wait_for(len(http.requests))[-1].body)["title"] == MESSAGE.title


def test_an_answer_without_an_end_holds_nobody_up(http: HttpReceiver) -> None:
    http.drip(0.05)
    begun = time.monotonic()
    with HttpReceiver() as well:
        both = (hook(http), dataclasses.replace(hook(well), name="well"))
        left, rows = sent(settings(webhooks=both))
    assert time.monotonic() - begun < 4
    assert [row.level for row in rows] == [UNKNOWN, OK]
    assert [one.channel for one in left] == ["chat"]


def test_what_waits_goes_out_oldest_first_and_once(http: HttpReceiver) -> None:
    messages = [dataclasses.replace(MESSAGE, title=f"alert {number}") for number in range(3)]
    left, _ = sent(settings(webhooks=(hook(http),)), *messages)
    assert left == ()
    assert [json.loads(request.body)["title"] for request in http.requests] == ["alert 0", "alert 1", "alert 2"]


def test_a_status_that_is_for_good_is_told_from_one_that_is_for_now(http: HttpReceiver) -> None:
    for status, requests in ((400, 2), (413, 2), (408, 1), (429, 1), (500, 1), (503, 1), (302, 1)):
        before = len(http.requests)
        http.answer(status)
        sent(settings(webhooks=(hook(http),)))
        assert len(http.requests) - before == requests, f"{status}: is a plain line tried at once?"


def test_a_name_that_nobody_knows_is_said_without_the_address() -> None:
    made = settings(webhooks=(Webhook("chat", f"https://nowhere.invalid{SECRET}", {}),))
    assert one_row(made).sentence == "has a name that is not known on this server"


def test_tls_is_checked(certificate: Certificate, tmp_path: Path) -> None:
    with HttpReceiver(certificate) as good:
        assert one_row(settings(webhooks=(hook(good),))).level == OK
    (tmp_path / "old").mkdir()
    with HttpReceiver(self_signed(tmp_path / "old", lasts=timedelta(hours=-1))) as bad:
        row = one_row(settings(webhooks=(hook(bad),)))
    assert (row.level, "certificate that is not accepted" in row.sentence) == (CRITICAL, True), row.sentence


def test_what_an_answer_quotes_of_a_secret_is_covered(http: HttpReceiver) -> None:
    http.answer(400, f"bad address {SECRET}".encode())
    row = one_row(settings((SECRET,), webhooks=(hook(http),)))
    assert row.sentence == 'answered with status 400: "bad address •••"'


def test_a_heartbeat_is_called_whether_there_is_anything_to_tell_or_not(http: HttpReceiver) -> None:
    made = settings(heartbeat=http.url(SECRET))
    left, (row,) = delivery.deliver(made, [])
    assert (left, row.name, row.level) == ((), "heartbeat", OK)
    assert [(one.method, one.path, one.body) for one in http.requests] == [("GET", SECRET, b"")]
    http.refuse()
    _, (row,) = delivery.deliver(made, [])
    assert (row.level, row.sentence) == (CRITICAL, "refused the connection")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_heartbeat_goes_nowhere_but_to_its_address(http: HttpReceiver, status: int) -> None:
    """Whoever answers for it could have any address called from inside the server's network."""
    with HttpReceiver() as elsewhere:
        http.redirect(elsewhere.url("/latest/meta-data"), status)
        _, (row,) = delivery.deliver(settings(heartbeat=http.url(SECRET)), [])
        assert elsewhere.requests == ()
    said = f"answered with status {status} (a redirect, which is not followed)"
    assert (row.level, row.sentence) == (CRITICAL, said)
    assert [one.path for one in http.requests] == [SECRET]


def test_a_mail_is_sent_to_everybody_over_tls_with_a_login(smtp: SmtpReceiver) -> None:
    assert one_row(settings(mails=(mail(smtp),))).level == OK
    (envelope,) = smtp.envelopes
    assert (envelope.sender, envelope.recipients) == ("gpu-1@team.lan", ("me@team.lan", "you@team.lan"))
    assert (envelope.tls, envelope.user) == (True, "alerts")
    assert envelope.message["Subject"] == MESSAGE.title
    assert envelope.message["Message-ID"] and envelope.message["Date"]
    assert envelope.message.get_content().strip() == MESSAGE.text


def test_mail_in_the_clear_and_over_tls_from_the_first_byte(certificate: Certificate) -> None:
    with SmtpReceiver() as plain:
        assert one_row(settings(mails=(mail(plain, security="none", user="", password=""),))).level == OK
        assert not plain.envelopes[0].tls
    with SmtpReceiver(certificate, implicit=True, login=LOGIN) as implicit:
        assert one_row(settings(mails=(mail(implicit, security="tls"),))).level == OK
        assert implicit.envelopes[0].tls


def _no(smtp: SmtpReceiver) -> None:
    smtp.greet(b"554 no")


@pytest.mark.parametrize(
    ("misbehave", "said"),
    [
        (_no, 'said no: 554 "no"'),
        (SmtpReceiver.refuse_login, "refused the login of alerts: 535"),
        (SmtpReceiver.refuse_recipient, "takes mail for none of the recipients: 550"),
        (SmtpReceiver.refuse, "refused the connection"),
        (SmtpReceiver.hang, "gave no answer within 0 s"),
        (lambda smtp: smtp.hang("DATA"), "gave no answer within 0 s"),
    ],
)
def test_a_mail_server_that_says_no_is_said_and_the_mail_stays(smtp: SmtpReceiver, misbehave: Any, said: str) -> None:
    misbehave(smtp)
    made = settings(mails=(mail(smtp),))
    row = one_row(made)
    assert (row.level, said in row.sentence) == (CRITICAL, True), row.sentence
    assert LOGIN[1] not in row.sentence
    left, _ = sent(made)
    smtp.recover()
    smtp.accept()
    assert delivery.deliver(made, left)[0] == ()
    assert len(smtp.envelopes) == 1


def test_a_password_never_goes_over_a_line_that_is_not_safe() -> None:
    with SmtpReceiver(login=LOGIN) as plain:
        row = one_row(settings(mails=(mail(plain),)))
        assert row.level == CRITICAL and "cannot do what hosts.yaml asks for" in row.sentence, row.sentence
        assert plain.envelopes == ()


def test_one_recipient_that_is_refused_keeps_the_others_from_nothing(smtp: SmtpReceiver) -> None:
    smtp.refuse_recipient("you@team.lan")
    row = one_row(settings(mails=(mail(smtp),)))
    assert row.level == OK and "but not for you@team.lan: 550" in row.sentence, row.sentence


def test_a_command_gets_the_text_on_standard_input_and_words_as_arguments(tmp_path: Path) -> None:
    script = "import sys; open(sys.argv[1], 'w').write(sys.argv[2] + '|' + sys.stdin.read())"
    argv = (sys.executable, "-c", script, str(tmp_path / "got"), "{level}: {title}; $(id) `id`")
    assert one_row(settings(programs=(Program("shell", argv),))).level == OK
    assert (tmp_path / "got").read_text() == f"critical: {MESSAGE.title}; $(id) `id`|{MESSAGE.text}"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("/nowhere/apprise",), "/nowhere/apprise ended with 127"),
        ((sys.executable, "-c", "import sys; sys.exit('no luck')"), "ended with 1: no luck"),
        (("false",), "false ended with 1 and said nothing"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "did not answer within"),
    ],
)
def test_a_command_that_fails_is_said(argv: tuple[str, ...], said: str) -> None:
    row = one_row(settings(programs=(Program("shell", argv),)))
    assert (row.level, said in row.sentence) == (CRITICAL, True), row.sentence
    assert row.sentence.count("ended with") + row.sentence.count("did not answer") == 1, row.sentence


def test_every_channel_is_tried_at_once_and_one_that_hangs_keeps_no_other(
    http: HttpReceiver, smtp: SmtpReceiver
) -> None:
    http.hang()
    begun = time.monotonic()
    left, rows = sent(settings(webhooks=(hook(http),), mails=(mail(smtp),), heartbeat=http.url("/ping")))
    assert time.monotonic() - begun < 1.5
    assert [(row.name, row.level) for row in rows] == [("chat", CRITICAL), ("mail", OK), ("heartbeat", CRITICAL)]
    assert [one.channel for one in left] == ["chat"]
