"""Alerts that are held back: how many are kept and for how long, and who sees that there are any."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, WARNING, Check
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.health import DiskLimits, Expected, Request
from gpu_runbook.protocol.schedule import Channels, Installed, Settings, Webhook
from gpu_runbook.server.schedule import health_row
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.notify import webhook
from gpu_runbook.server.schedule.notify.errors import UNREAD, Undelivered
from gpu_runbook.server.schedule.notify.message import Message
from gpu_runbook.server.schedule.state import LONGEST_PENDING, MOST_PENDING, Pending, State
from gpu_runbook.server.schedule.waiting import DROPPED, held, kept, moment_of
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.schedule_files import SETTINGS, STATE, place
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.verbs.schedule import test

NOW = 1_776_650_000.0  # 2026-04-20 01:53 UTC
PATIENCE = 750.0  # seconds


def at(ago: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - ago))


def one(title: str, ago: float = 0.0, channel: str = "ops", tries: int = 1) -> Pending:
    message = Message("gpu-1", at(ago), CRITICAL, title, f"{title}: text")
    return Pending(channel, message, "refused the connection", at(ago), tries)


def titles(waiting: Any) -> list[str]:
    return [each.message.title for each in waiting]


def test_the_newest_are_kept_and_the_first_says_how_many_were_not() -> None:
    waiting = kept([one(str(number), 9000 - number) for number in range(MOST_PENDING + 3)], "gpu-1", NOW)
    assert titles(waiting) == ["gpu-1: 3 alerts were dropped", *map(str, range(3, MOST_PENDING + 3))]
    again = kept([*waiting, one("new")], "gpu-1", NOW)
    assert titles(again)[:2] == ["gpu-1: 4 alerts were dropped", "4"] and len(again) == MOST_PENDING + 1
    first = again[0]
    assert first.since == at(9000) and first.message.level == WARNING
    assert first.message.text.startswith(
        "4 alerts were dropped that waited for ops since 2026-04-19 23:23 UTC: refused the connection\n"
    )
    assert (first.message.rows[0]["what"], first.message.rows[0]["count"]) == (DROPPED, "4")


def test_what_is_too_old_is_dropped_but_for_that_sentence() -> None:
    waiting = kept([one("old", LONGEST_PENDING + 1), one("young", LONGEST_PENDING - 1)], "gpu-1", NOW)
    assert titles(waiting) == ["gpu-1: 1 alert was dropped", "young"]
    later = kept(waiting, "gpu-1", NOW + 2 * LONGEST_PENDING)
    assert titles(later) == ["gpu-1: 2 alerts were dropped"]
    assert titles(kept(later, "gpu-1", NOW + 9 * LONGEST_PENDING)) == titles(later)


@pytest.mark.parametrize("since", ["", "yesterday", at(-40 * 86400.0)])
def test_of_a_time_that_is_none_or_lies_ahead_nothing_is_too_old(since: str) -> None:
    waiting = [dataclasses.replace(one("x"), since=since)]
    assert kept(waiting, "gpu-1", NOW) == waiting


def test_a_version_before_this_one_reads_what_waits(tmp_path: Path) -> None:
    """Its codec knows these entries and no other; how many were dropped stands in an alert like all others."""
    waiting = kept([one(str(number)) for number in range(MOST_PENDING + 3)], "gpu-1", NOW)
    assert states.save(str(tmp_path / STATE), State(at=at(0), pending=tuple(waiting))) == ""
    state = json.loads((tmp_path / STATE).read_text())
    known = {"at", "level", "silent", "rounds", "run", "alarms", "standstills", "full", "restarts", "pending"}
    assert set(state) == {*known, "troubles"}
    assert {frozenset(each) for each in state["pending"]} == {
        frozenset(("channel", "message", "why", "since", "tries"))
    }
    messages = [each["message"] for each in state["pending"]]
    assert {frozenset(each) for each in messages} == {frozenset(("server", "at", "level", "title", "text", "rows"))}
    assert all(isinstance(value, str) for each in messages for row in each["rows"] for value in row.values())


def test_a_state_of_the_version_before_is_read_and_what_waits_in_it_counts(tmp_path: Path) -> None:
    message = {"server": "gpu-1", "at": at(60), "level": "skipped", "title": "t", "text": "t", "rows": []}
    old = {"at": at(0), "pending": [{"channel": "ops", "message": message, "why": "no", "since": at(60), "tries": 99}]}
    (tmp_path / STATE).write_text(json.dumps(old))
    found, damage = states.load(str(tmp_path / STATE))
    assert found and damage == "" and held(found.pending, NOW, PATIENCE)


def test_each_channel_that_holds_alerts_back_is_named_with_how_many_since_when_and_why() -> None:
    waiting = [
        *kept([one(str(number), 7200) for number in range(MOST_PENDING + 2)], "gpu-1", NOW),
        one("a", 300, "mail"),
        one("b", 0, "mail", 0),
    ]
    assert held(waiting, NOW, PATIENCE) == {
        "ops": "ops holds back 20 alerts since 2026-04-19 23:53 UTC, 2 older dropped: refused the connection",
        "mail": "mail holds back 2 alerts since 2026-04-20 01:48 UTC: refused the connection",
    }
    long = dataclasses.replace(one("x"), why="no\n" * 1000)
    assert len(held([long], NOW, PATIENCE)["ops"]) < 300 and "\n" not in held([long], NOW, PATIENCE)["ops"]


def test_what_a_round_is_just_about_to_send_is_not_held_back_unless_no_round_ever_does() -> None:
    assert held([one("new", 60, tries=0)], NOW, PATIENCE) == {}
    assert list(held([one("new", 1000, tries=0)], NOW, PATIENCE)) == ["ops"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Where the check is installed, and one round has been a minute ago."""
    store = find_store(str(tmp_path), f"{tmp_path}/state")
    Path(place(store, STATE)).parent.mkdir(parents=True)
    hook = Webhook("ops", "http://ops.lan/x", {"text": "{title}"})
    asked = Request(DiskLimits((), 80.0, 95.0), Expected(0))
    made = Settings("gpu-1", str(tmp_path), 300, asked, state=f"{tmp_path}/state", channels=Channels((hook,)))
    jsonfile.save(place(store, SETTINGS), Installed(made, "1", "abc", at(600), "me", "here"))
    return store


def saved(store: Store, *waiting: Pending) -> None:
    assert states.save(place(store, STATE), State(at=at(60), level=OK, rounds=9, pending=waiting)) == ""


def test_the_row_of_the_schedule_is_critical_while_a_channel_holds_alerts_back(store: Store) -> None:
    saved(store)
    assert health_row.check("schedule", store, "", NOW).level == OK
    saved(store, one("a", 700), one("b", 100))
    row = health_row.check("schedule", store, "", NOW)
    assert (row.level, row.hint) == (CRITICAL, "fab schedule.test sends a test alert")
    assert row.sentence == (
        "it looked 60 s ago, and found the server ok; "
        "ops holds back 2 alerts since 2026-04-20 01:41 UTC: refused the connection"
    )


def test_what_else_is_wrong_with_the_schedule_is_a_warning(store: Store) -> None:
    saved(store)
    assert health_row.check("schedule", store, "", NOW + 900).level == WARNING


def tried(store: Store, monkeypatch: pytest.MonkeyPatch, refused: Undelivered | None = None) -> Check:
    def call(*_: Any) -> str:
        if refused:
            raise refused
        return "answered with status 200"

    monkeypatch.setattr(webhook, "call", call)
    monkeypatch.setattr(time, "time", lambda: NOW)
    installed, _ = jsonfile.load(Installed, place(store, SETTINGS))
    assert installed
    (row,) = test.answer({"settings": encode(installed.settings), "who": "me"}, lambda event: None)["rows"]
    return Check(**row)


def test_a_test_alert_that_is_taken_is_critical_while_its_channel_holds_others_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(store)
    assert tried(store, monkeypatch).level == OK
    before = one("a", 700)
    saved(store, before, one("b", 700, "another"))
    row = tried(store, monkeypatch)
    assert (row.level, row.hint) == (CRITICAL, "the next round tries them again")
    assert row.sentence == (
        "answered with status 200; but ops holds back 1 alert since 2026-04-20 01:41 UTC: refused the connection"
    )
    found, _ = states.load(place(store, STATE))
    assert found and found.pending[0] == before, "a test changes nothing"
    assert tried(store, monkeypatch, Undelivered("said no", UNREAD)).sentence.startswith(
        "said no; but ops holds back 1 alert"
    )


def test_a_moment_that_is_none_is_none() -> None:
    assert [moment_of(text) for text in ("", "soon", at(0))] == [None, None, NOW]
