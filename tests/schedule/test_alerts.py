"""Alerts from a real server: who is told when, what is tried again, and what is shown of what nobody took."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import run_inside, set_gpu, stop
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import QUEUE
from tests.faults import disk
from tests.real import ROOT, fire
from tests.schedule.mail import SmtpReceiver
from tests.schedule.receivers import HttpReceiver
from tests.schedule.watchman import CRITICAL, OK, STATE, Watchman

pytestmark = pytest.mark.real

GPU = "GPU available"


@pytest.fixture
def smtp() -> Iterator[SmtpReceiver]:
    with SmtpReceiver() as receiver:
        yield receiver


def row(said: str, name: str) -> str:
    """The lines of a row, as a person reads them."""
    lines = said.splitlines()
    at = next(index for index, line in enumerate(lines) if f"  {name}  " in line)
    return "\n".join(lines[at : at + 2])


def test_from_the_first_failure_to_the_end_of_it(deployed: Watchman) -> None:
    set_gpu(deployed.sandbox, lost=[1])
    assert deployed.round() == CRITICAL and deployed.told == [], "a first failure is soft"
    assert deployed.round() == CRITICAL
    (told,) = deployed.told
    assert (told.title, told.level) == (f"gpu-1: critical: {GPU}", "critical")
    assert f"critical: {GPU}: 1 of 2 GPUs answer (since 20" in told.text
    assert "fab health --hosts gpu-1" in told.text
    deployed.round()
    assert len(deployed.told) == 1, "it lasts, and is not told again before its time"
    state = deployed.state
    state["alarms"][GPU]["quiet"] = 14_400.0
    deployed.write(STATE, json.dumps(state))
    deployed.round()
    assert deployed.told[1].title == f"gpu-1: still critical: {GPU}"
    set_gpu(deployed.sandbox)
    assert deployed.round() == OK
    assert (deployed.told[2].title, deployed.told[2].level) == (f"gpu-1: over: {GPU}", "ok")
    deployed.round()
    assert len(deployed.told) == 3
    assert [one.get("alerts") for one in deployed.history] == [
        None,
        [f"gpu-1: critical: {GPU}"],
        None,
        [f"gpu-1: still critical: {GPU}"],
        [f"gpu-1: over: {GPU}"],
        None,
    ]


def test_a_consumer_that_alarmed_and_was_stopped_on_purpose_is_over_and_later_alerts_arrive(deployed: Watchman) -> None:
    deployed.install(restart_dead=False)
    deployed.kill_consumer()
    deployed.round()
    deployed.round()
    assert f"critical: {QUEUE} alive" in deployed.told[0].title
    said = deployed.laptop.fab("stop", QUEUE, "--reason", "a new disk")
    assert said.status == 0, said.all
    deployed.round()
    over = deployed.told[1]
    assert over.title.startswith(f"gpu-1: over: {QUEUE} alive") and over.level == "ok"
    assert f"over: {QUEUE} alive: no longer checked: stopped on purpose by " in over.text
    assert "(a new disk); fab restart starts it (it was wrong since 20" in over.text
    stop(deployed.sandbox, "broker")
    deployed.round()
    deployed.round()
    assert [told.title for told in deployed.told[2:]] == ["gpu-1: critical: RabbitMQ reachable"]
    assert deployed.state["pending"] == []


def test_what_nobody_took_is_shown_and_tried_again_until_somebody_does(deployed: Watchman) -> None:
    set_gpu(deployed.sandbox, lost=[1])
    deployed.hook.answer(500, b"out of order")
    deployed.round()
    deployed.round()
    assert deployed.state["pending"][0]["why"] == 'answered with status 500: "out of order"'
    said = row(deployed.laptop.fab("health").out, "schedule")
    assert "critical" in said
    assert "ops holds back 1 alert since 20" in said and 'status 500: "out of order"' in said
    deployed.hook.refuse()
    deployed.round()
    assert (deployed.state["pending"][0]["tries"], len(deployed.state["pending"])) == (2, 1)
    deployed.hook.recover()
    deployed.hook.answer()
    tested = deployed.laptop.fab("schedule.test")
    assert (tested.status, "answered with status 200; but ops holds back 1 alert" in tested.out) == (CRITICAL, True)
    before = len(deployed.told)
    deployed.round()
    assert [told.title for told in deployed.told[before:]] == [f"gpu-1: critical: {GPU}"]
    assert deployed.state["pending"] == []
    assert "holds back" not in deployed.laptop.fab("health").out
    assert deployed.laptop.fab("schedule.test").status == OK


def test_every_channel_is_told_and_one_that_fails_keeps_no_other(
    deployed: Watchman, smtp: SmtpReceiver, tmp_path: Path
) -> None:
    alerts = {
        "chat": {"kind": "slack", "url_variable": "HOOK_URL"},
        "mail": {
            "kind": "smtp",
            "host": "127.0.0.1",
            "port": smtp.port,
            "security": "none",
            "sender": "gpu-1@team.lan",
            "recipients": ["me@team.lan"],
        },
        "shell": {"kind": "command", "command": ["/usr/bin/tee", f"{ROOT}/told"]},
        "away": {"kind": "ntfy", "url_variable": "AWAY_URL"},
    }
    with HttpReceiver() as away:
        away.hang()
        deployed.laptop.variables["AWAY_URL"] = away.url("/topic")
        deployed.laptop.variables["PING_URL"] = deployed.hook.url("/ping")
        deployed.install(alerts=alerts, heartbeat_variable="PING_URL")
        set_gpu(deployed.sandbox, exit=9, text="Driver not loaded")
        deployed.round()
        deployed.round()
        assert [request.path for request in deployed.hook.requests if request.method == "GET"] == ["/ping", "/ping"]
        body = json.loads(next(one.body for one in deployed.hook.requests if one.method == "POST"))
        assert body["text"].startswith(f"*gpu-1: critical: {GPU}*\n")
        assert [str(mail.message["Subject"]) for mail in smtp.envelopes] == [f"gpu-1: critical: {GPU}"]
        assert "Driver not loaded" in deployed.read(f"{ROOT}/told")
        assert [one["channel"] for one in deployed.state["pending"]] == ["away"]
        away.answer()
        deployed.round()
        assert json.loads(away.requests[-1].body)["topic"] == "topic"
        assert deployed.state["pending"] == []


def test_a_test_alert_goes_through_each_channel_and_says_which_fail(watchman: Watchman, smtp: SmtpReceiver) -> None:
    smtp.refuse_login()
    watchman.laptop.hosts["schedule"] = {
        "alerts": {
            "ops": {"kind": "webhook", "url_variable": "HOOK_URL"},
            "mail": {
                "kind": "smtp",
                "host": "127.0.0.1",
                "port": smtp.port,
                "security": "none",
                "sender": "gpu-1@team.lan",
                "recipients": ["me@team.lan"],
            },
        },
        "heartbeat_variable": "PING_URL",
    }
    variables = {"HOOK_URL": watchman.hook.url("/verysecretpart1234"), "PING_URL": watchman.hook.url("/p")}
    watchman.laptop.variables.update(variables)
    watchman.laptop.save()
    said = watchman.laptop.fab("schedule.test")
    assert said.status == 0, said.all
    assert "ok        ops        answered with status 200" in said.out and "heartbeat" in said.out
    assert watchman.told[0].title.startswith("gpu-1: a test alert, sent by ")
    assert len(smtp.envelopes) == 1
    smtp.refuse()
    watchman.hook.answer(404)
    failed = watchman.laptop.fab("schedule.test")
    assert failed.status == CRITICAL, failed.all
    assert "critical  ops        answered with status 404" in failed.out
    assert "refused the connection" in failed.out and "verysecretpart1234" not in failed.all
    assert watchman.crontab() == "" and watchman.read(STATE) == "", "nothing is left there for it"


def test_a_disk_that_is_full_is_told_at_once_and_once_and_takes_nothing_from_the_check(watchman: Watchman) -> None:
    disk.mount(watchman.sandbox)
    try:
        watchman.install()
        fire(watchman.sandbox)
        filler = disk.fill(watchman.sandbox, greedy=True)
        (ended,) = fire(watchman.sandbox)
        assert ended.returncode == CRITICAL
        assert "disk space" in watchman.told[0].title and watchman.told[0].level == "critical"
        assert "/azaion is 100 % full" in watchman.told[0].text
        for _ in range(2):
            fire(watchman.sandbox)
        titles = [told.title for told in watchman.told]
        assert sum("disk space" in title for title in titles) == 1, titles
        disk.make_room(watchman.sandbox, filler)
        fire(watchman.sandbox)
        assert "over: disk space" in watchman.told[-1].title
    finally:
        disk.unmount(watchman.sandbox)


def test_a_disk_that_became_read_only_is_told_although_nothing_can_be_remembered(watchman: Watchman) -> None:
    disk.mount(watchman.sandbox)
    try:
        watchman.install(every="1h")
        fire(watchman.sandbox)
        run_inside(watchman.sandbox, ["mount", "-o", "remount,ro", ROOT])
        (ended,) = fire(watchman.sandbox)
        assert ended.returncode == CRITICAL
        (told,) = watchman.told
        assert "notes of the check: cannot be written" in told.text and "Read-only file system" in told.text
    finally:
        run_inside(watchman.sandbox, ["mount", "-o", "remount,rw", ROOT])
        disk.unmount(watchman.sandbox)


def test_a_textfile_that_cannot_be_written_is_shown_and_does_not_wake_anybody(deployed: Watchman) -> None:
    deployed.install(textfile=f"{ROOT}/nowhere/gpu.prom")
    assert [deployed.round(), deployed.round()] == [OK, OK]
    assert "cannot be written: No such file or directory" in row(deployed.laptop.fab("health").out, "schedule")
    assert deployed.told == []
    run_inside(deployed.sandbox, ["mkdir", f"{ROOT}/nowhere"], user=LOGIN_USER)
    deployed.round()
    text = deployed.read(f"{ROOT}/nowhere/gpu.prom")
    assert 'gpu_runbook_check_level{server="gpu-1",check="disk space"} 0' in text
    assert "cannot be written" not in deployed.laptop.fab("health").out


def test_a_heartbeat_that_nobody_takes_is_shown(deployed: Watchman) -> None:
    deployed.laptop.variables["PING_URL"] = deployed.hook.url("/ping/an0thersecretpart")
    deployed.install(heartbeat_variable="PING_URL")
    deployed.hook.refuse()
    assert deployed.round() == OK
    said = row(deployed.laptop.fab("health").out, "schedule")
    assert "the heartbeat's address refused the connection" in said and "an0thersecretpart" not in said


def test_a_failure_that_began_while_nobody_was_named_is_told_once_somebody_is(deployed: Watchman) -> None:
    deployed.install(alerts={})
    set_gpu(deployed.sandbox, lost=[1])
    assert [deployed.round() for _ in range(3)] == [CRITICAL] * 3
    deployed.install()
    deployed.round()
    assert [told.title for told in deployed.told] == [f"gpu-1: critical: {GPU}"]
