"""What waits for a channel: handed over, held or dropped, and told so. None keeps others for more than its tries."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import smtplib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.schedule.presets import PRESETS
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, Check
from gpu_runbook.protocol.health import DiskLimits, Expected, Request
from gpu_runbook.protocol.schedule import Alarm, Channels, Installed, Mail, Program, Settings, Webhook
from gpu_runbook.server.schedule import delivery
from gpu_runbook.server.schedule import round as round_
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.notify import channels, webhook
from gpu_runbook.server.schedule.notify import mail as smtp
from gpu_runbook.server.schedule.notify.errors import REFUSED, TRIES, UNREAD, Undelivered
from gpu_runbook.server.schedule.notify.message import Message, compose, fill
from gpu_runbook.server.schedule.notify.policy import NEW, Alarms, News, judge
from gpu_runbook.server.schedule.state import MOST_PENDING, Pending, State
from gpu_runbook.server.schedule.waiting import kept
from gpu_runbook.server.state.schedule_files import STATE, place
from gpu_runbook.server.state.store import find_store

EVERY, REPEAT = 300.0, 14400.0
ALIVE = "annotation-queue alive"
AT = "2026-04-20T02:15:00Z"
SECRET = "T0001verysecretpart"


class Service:
    """Takes what is posted, unless it is told what not to take and why."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.asked = 0
        self.refuses: Callable[[str], Undelivered | None] = lambda said: None

    def call(self, url: str, body: bytes, headers: dict[str, str], seconds: float) -> str:
        self.asked += 1
        refused = self.refuses(body.decode())
        if refused:
            raise refused
        self.taken.append(body.decode())
        return "answered with status 200"

    def titles(self) -> list[str]:
        return [json.loads(body)["title"] for body in self.taken]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(webhook, "call", made.call)
    return made


def settings(kind: str = "webhook", **more: Any) -> Settings:
    known = {"webhooks": (Webhook("ops", "http://ops.lan/x", PRESETS[kind].body, PRESETS[kind].limit),)}
    questions = Request(DiskLimits((), 80.0, 95.0), Expected(0))
    return Settings("gpu-1", "/azaion", 300, questions, channels=Channels(**(more or known)), hidden=(SECRET,))


def alert(name: str, level: str = CRITICAL) -> Message:
    return compose("gpu-1", AT, [News(NEW, Check(name, level, "is not well"), AT)], [])


def waiting(*names: str, channel: str = "ops", tries: int = 0) -> tuple[Pending, ...]:
    return tuple(Pending(channel, alert(name), "", AT, tries) for name in names)


def about(one: Pending) -> str:
    return one.message.title.replace("gpu-1: critical: ", "")


def told(service: Service) -> list[str]:
    """What each title that was taken is about; of the plain line in place of an alert, what was the matter."""
    return [title.replace("gpu-1: critical: ", "") for title in service.titles()]


def against(word: str, error: Callable[[], Undelivered]) -> Callable[[str], Undelivered | None]:
    """What has this word is not taken."""
    return lambda said: error() if word in said else None


def poison(text: str, error: Callable[[], Undelivered]) -> Callable[[str], Undelivered | None]:
    """Only an alert as it was meant is not taken; a plain line about it is."""
    return against(f"critical: {text}", error)


def status(code: int, tries: int = TRIES) -> Callable[[], Undelivered]:
    return lambda: Undelivered(f"answered with status {code}", tries)


@pytest.mark.parametrize("kind", sorted(PRESETS))
def test_a_consumer_that_alarmed_and_was_stopped_on_purpose_keeps_nobody_from_later_alerts(
    service: Service, kind: str
) -> None:
    alarms: Alarms = {}
    pending: tuple[Pending, ...] = ()
    stopped = "stopped on purpose by ops, 2026-04-20 02:10 UTC; fab restart starts it"
    rounds = [(CRITICAL, "is exited")] * 2 + [(SKIPPED, stopped)] * 3
    for number, (level, sentence) in enumerate(rounds):
        broker = CRITICAL if number >= 3 else OK
        checks = [Check(ALIVE, level, sentence), Check("broker", broker, "refused the connection")]
        at = f"2026-04-20T02:{5 * number:02}:00Z"
        alarms, news = judge(alarms, checks, at, EVERY, REPEAT)
        if news:
            pending += (Pending("ops", compose("gpu-1", at, news, []), "", at, 0),)
        pending, rows = delivery.deliver(settings(kind), pending)
        assert [row.level for row in rows] == [OK] * bool(news)
    assert pending == ()
    exited, over, broker_away = service.taken
    assert "is exited" in exited and "refused the connection" in broker_away
    assert f"over: {ALIVE}: no longer checked: {stopped} (it was wrong since 2026-04-20 02:00 UTC)" in over.replace(
        "\\", ""
    )


def test_a_state_of_another_version_is_judged_and_told(service: Service) -> None:
    """With levels nobody here knows, in an alarm and in an alert."""
    alarms, news = judge({"x": Alarm(3, AT, "panic")}, [Check("x", CRITICAL, "")], AT, EVERY, REPEAT)
    assert ([one.what for one in news], alarms["x"].told) == (["worse"], CRITICAL)
    old = dataclasses.replace(alert("GPU"), level="panic", rows=({},))
    left, _ = delivery.deliver(settings(), [Pending("ops", old, "", AT, 7), *waiting("disk")])
    assert (left, told(service)) == ((), ["GPU", "disk"])
    assert json.loads(service.taken[0])["level"] == "unknown"


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """No channel can write an alert of the GPU."""

    def broken(known: Callable[..., Any]) -> Callable[..., Any]:
        def write(first: Any, message: Message, *more: Any) -> Any:
            if message.title.endswith("critical: GPU"):
                raise KeyError("skipped")
            return known(first, message, *more)

        return write

    monkeypatch.setattr(channels, "fill", broken(fill))
    monkeypatch.setattr(smtp, "letter", broken(smtp.letter))


PLAIN = (
    "gpu-1: an alert of 2026-04-20 02:15 UTC about GPU could not be written as {} wants it: KeyError; see fab health"
)


@pytest.mark.usefixtures("defect")
@pytest.mark.parametrize("kind", sorted(PRESETS))
def test_what_a_defect_keeps_from_being_written_is_told_in_plain_words_and_the_next_alert_comes(
    service: Service, kind: str
) -> None:
    left, (row,) = delivery.deliver(settings(kind), waiting("GPU", "disk"))
    assert left == () and (row.level, "could not be written as ops wants it: KeyError" in row.sentence) == (
        CRITICAL,
        True,
    )
    plain, disk = service.taken
    assert PLAIN.format("ops") in json.dumps(json.loads(plain)) and "critical: disk" in disk


@pytest.mark.usefixtures("defect")
def test_so_it_is_by_mail_and_by_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, Any]] = []

    def send(mail: Mail, data: bytes, seconds: float) -> str:
        sent.append(("mail", data.decode()))
        return "taken"

    def run(called: channels.Call) -> str:
        sent.append(("shell", called))
        return "taken"

    monkeypatch.setattr(smtp, "send", send)
    monkeypatch.setattr(channels, "_run", run)
    letters, command = (
        Mail("mail", "mail.lan", 25, "me@team.lan", ("you@team.lan",)),
        Program("shell", ("page", "{title}")),
    )
    made = settings(mails=(letters,), programs=(command,))
    pending = [*waiting("GPU", "disk", channel="mail"), *waiting("GPU", "disk", channel="shell")]
    left, rows = delivery.deliver(made, pending)
    assert (left, [row.level for row in rows]) == ((), [CRITICAL, CRITICAL])
    mail, mail_after = (data for name, data in sent if name == "mail")
    assert f"Subject: {PLAIN.format('mail')}\r\n" in mail and "Subject: gpu-1: critical: disk" in mail_after
    shell, shell_after = (called for name, called in sent if name == "shell")
    assert shell == (["page", PLAIN.format("shell")], PLAIN.format("shell"))
    assert shell_after[0] == ["page", "gpu-1: critical: disk"]


@pytest.mark.usefixtures("defect")
def test_what_cannot_be_written_is_dropped_only_once_that_was_told(service: Service) -> None:
    service.refuses = lambda said: Undelivered("refused the connection", UNREAD)
    left, (row,) = delivery.deliver(settings(), waiting("GPU", "disk"))
    assert ([about(one) for one in left], row.sentence) == (["GPU", "disk"], "refused the connection")
    service.refuses = lambda said: None
    assert delivery.deliver(settings(), left)[0] == ()
    assert told(service) == [PLAIN.format("ops"), "disk"]


def test_what_is_refused_for_good_is_told_in_plain_words_at_once(service: Service) -> None:
    service.refuses = poison("GPU", lambda: Undelivered(f"answered with status 400: {SECRET}", REFUSED))
    left, (row,) = delivery.deliver(settings(), waiting("GPU", "disk"))
    assert left == () and row.sentence == "an alert was not taken: answered with status 400: •••"
    plain, disk = told(service)
    assert plain.endswith("about GPU was not taken: answered with status 400: ???; see fab health") and disk == "disk"


def test_what_fails_for_now_keeps_the_next_for_its_own_tries(service: Service) -> None:
    service.refuses = poison("GPU", status(500))
    pending = waiting("GPU", "disk")
    for number in range(1, TRIES):
        pending, (row,) = delivery.deliver(settings(), pending)
        assert [one.tries for one in pending] == [number, 0], "the order stays, and each has its own tries"
        assert (row.level, row.sentence) == (CRITICAL, "answered with status 500")
    pending, _ = delivery.deliver(settings(), pending)
    assert pending == () and told(service)[1:] == ["disk"] and "about GPU was not taken" in told(service)[0]


@pytest.mark.parametrize("tries", [REFUSED, TRIES])
def test_where_not_even_a_plain_line_is_taken_a_later_alert_shows_that_the_channel_is_there(
    service: Service, tries: int
) -> None:
    service.refuses = lambda said: Undelivered("answered with status 422", tries) if "GPU" in said else None
    pending = waiting("GPU", "broker", "disk")
    for _ in range(TRIES - 1):
        pending, _ = delivery.deliver(settings(), pending)
        assert [about(one) for one in pending] == ["GPU", "broker", "disk"] and service.taken == []
    pending, (row,) = delivery.deliver(settings(), pending)
    assert pending == () and told(service) == ["broker", "gpu-1: 1 alert was dropped", "disk"]
    assert row.sentence == "an alert was not taken: answered with status 422"
    assert "that waited for ops since 2026-04-20 02:15 UTC: answered with status 422" in service.taken[1]


@pytest.mark.parametrize(
    "error", [status(500), status(404, REFUSED), lambda: Undelivered("refused the connection", UNREAD)]
)
def test_a_channel_that_is_away_holds_all_in_their_order_and_says_how_many_it_lost(
    service: Service, error: Callable[[], Undelivered]
) -> None:
    service.refuses = lambda said: error()
    pending: tuple[Pending, ...] = ()
    for number in range(100):
        new = waiting(f"row {number}") if number < 50 and number % 2 == 0 else ()
        pending = tuple(kept([*pending, *new], "gpu-1", 0.0))
        before = service.asked
        pending, _ = delivery.deliver(settings(), pending)
        assert service.asked - before <= 3, "one that is away is not pressed"
    assert len(pending) == MOST_PENDING + 1
    service.refuses = lambda said: None
    assert delivery.deliver(settings(), pending)[0] == ()
    assert told(service) == ["gpu-1: 5 alerts were dropped", *(f"row {number}" for number in range(10, 50, 2))]
    assert f"that waited for ops since 2026-04-20 02:15 UTC: {error()}" in service.taken[0]


def test_whoever_was_not_reached_is_not_asked_twice(service: Service) -> None:
    """A login that is refused would be refused twice as often, until somebody locks it."""
    service.refuses = lambda said: Undelivered("refused the login", UNREAD)
    pending = waiting("GPU", "disk")
    for number in range(1, 10):
        pending, _ = delivery.deliver(settings(), pending)
        assert service.asked == number


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (smtplib.SMTPDataError(554, b"looks like spam"), REFUSED),
        (smtplib.SMTPSenderRefused(552, b"too large", "me"), REFUSED),
        (smtplib.SMTPDataError(451, b"later"), TRIES),
        (smtplib.SMTPServerDisconnected("gone"), TRIES),
        (TimeoutError("timed out"), TRIES),
        (smtplib.SMTPAuthenticationError(535, b"no"), UNREAD),
        (smtplib.SMTPRecipientsRefused({"you": (550, b"no such user")}), UNREAD),
        (smtplib.SMTPConnectError(554, b"no"), UNREAD),
        (smtplib.SMTPNotSupportedError("no STARTTLS"), UNREAD),
        (ConnectionRefusedError(), UNREAD),
        (socket.gaierror(-2, "Name or service not known"), UNREAD),
    ],
)
def test_of_a_mail_server_it_is_told_whether_the_mail_may_be_at_fault(
    monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    def connected(*_: Any) -> smtplib.SMTP:
        raise error

    monkeypatch.setattr(smtp, "_connected", connected)
    with pytest.raises(Undelivered) as raised:
        smtp.send(Mail("mail", "mail.lan", 25, "me", ("you",)), b"", 1.0)
    assert raised.value.tries == tries


@pytest.mark.usefixtures("defect")
def test_where_not_even_a_plain_line_can_be_written_later_alerts_come_all_the_same(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "fill_plainly", lambda *_: 1 // 0)
    pending = waiting("GPU", "disk")
    for _ in range(TRIES):
        assert service.taken == []
        pending, (row,) = delivery.deliver(settings(), pending)
        assert (row.level, "an alert could not be written as ops wants it: " in row.sentence) == (CRITICAL, True)
    assert pending == () and told(service) == ["disk", "gpu-1: 1 alert was dropped"]


def test_a_round_ends_with_what_was_dropped_in_its_notes_and_what_is_held_in_its_figures(
    service: Service, tmp_path: Path
) -> None:
    store, nowhere = find_store(str(tmp_path), f"{tmp_path}/state"), f"unix://{tmp_path}/no.sock"
    Path(place(store, STATE)).parent.mkdir(parents=True)
    questions = Request(DiskLimits((str(tmp_path),), 0.0, 100.0), Expected(0), docker_host=nowhere, root=store.root)
    made = dataclasses.replace(settings(), root=store.root, questions=questions, textfile=str(tmp_path / "gpu.prom"))
    installed = Installed(made, "1", "abc", AT, "me", "here")

    def after_a_round() -> State:
        round_.make(installed, store)
        found, damage = states.load(place(store, STATE))
        assert found and damage == ""
        return found

    assert after_a_round().pending == (), "a first failure is soft"
    service.refuses = lambda said: Undelivered("refused the connection", UNREAD)
    held = after_a_round()
    assert ([one.why for one in held.pending], held.troubles) == (["refused the connection"], {})
    assert 'gpu_runbook_alerts_pending{server="gpu-1"} 1\n' in (tmp_path / "gpu.prom").read_text()
    service.refuses = lambda said: status(400, REFUSED)() if '"rows": [{' in said else None
    dropped = after_a_round()
    assert (dropped.pending, dropped.troubles) == (
        (),
        {"alerts of ops": "ops: an alert was not taken: answered with status 400; it was dropped"},
    )
    (plain,) = told(service)
    assert "about disk space was not taken: answered with status 400; see fab health" in plain
    assert after_a_round().troubles == {} and len(service.taken) == 1


Against = Callable[[str], "Undelivered | None"]


def some_refused(chance: random.Random, count: int) -> dict[str, Against | None]:
    """Rows by name, and what a service has against an alert about each, and maybe against a plain line about it."""
    rows: dict[str, Against | None] = dict.fromkeys(f"row {number:02}" for number in range(count))
    for name in chance.sample(sorted(rows), count // 3):
        error = chance.choice([status(400, REFUSED), status(500), status(503)])
        rows[name] = against(chance.choice([name, f"critical: {name}"]), error)
    return rows


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_service_has_against_some_alerts_the_others_come_in_time(service: Service, seed: int) -> None:
    rows = some_refused(random.Random(seed), 15)  # noqa: S311
    service.refuses = lambda said: next((error for one in rows.values() if one and (error := one(said))), None)
    pending: tuple[Pending, ...] = ()
    latest: dict[str, int] = {}  # the round in which a row is to be told, by those that were in its way
    for number, name in enumerate([*rows, *[""] * TRIES * len(rows)]):
        in_the_way = [one for one in pending if rows.get(about(one))]
        latest |= {name: number + TRIES * len(in_the_way)} if name and not rows[name] else {}
        pending, _ = delivery.deliver(settings(), (*pending, *(waiting(name) if name else ())))
        overdue = {name for name, last in latest.items() if last <= number} - set(told(service))
        assert not overdue, f"in round {number}"
    assert all(rows[about(one)] for one in pending), "only what the service does not take is left"
    assert delivery.deliver(settings(), (*pending, *waiting("the last")))[0] == ()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://hc.lan/ping/uuid", "https://hc.lan/ping/uuid/fail"),
        ("https://hc.lan/ping/uuid/", "https://hc.lan/ping/uuid/fail"),
        ("https://kuma.lan:8443/api/push/k?status=up&msg=OK", "https://kuma.lan:8443/api/push/k/fail?status=up&msg=OK"),
        ("http://ping.lan", "http://ping.lan/fail"),
    ],
)
def test_a_heartbeat_says_failed_behind_its_own_path(url: str, said: str) -> None:
    assert delivery.failing(url) == said


def test_an_alert_is_not_at_fault_where_this_server_cannot_call_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when no file can be opened any more: it waits, however often that is so, and nothing is put in its place."""

    def pipe() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", pipe)
    settings = Settings(
        *("gpu-1", "/azaion", 300, Request(DiskLimits((), 80.0, 95.0), Expected(0))),
        channels=Channels(programs=(Program("pager", ("/bin/cat",)),)),
    )
    waiting: tuple[Pending, ...] = (Pending("pager", Message("gpu-1", AT, CRITICAL, "a title", "a text"), "", AT, 0),)
    for _ in range(TRIES + 2):
        waiting, (row,) = delivery.deliver(settings, waiting)
        assert (row.level, row.sentence) == (CRITICAL, "could not be called from here: Too many open files")
    assert [one.message.title for one in waiting] == ["a title"]
