"""The state of the scheduled check: whole after every cut, begun anew when damaged, kept when the disk is full."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.health import DiskLimits, Expected, Request
from gpu_runbook.protocol.schedule import Alarm, Channels, Settings, Webhook
from gpu_runbook.server.schedule import round as round_
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.notify.message import Message
from gpu_runbook.server.schedule.standstill import Standstill
from gpu_runbook.server.schedule.state import ROOM, SPARE, Pending, State
from gpu_runbook.server.state.schedule_files import place
from gpu_runbook.server.state.store import find_store
from gpu_runbook.server.system import files

MESSAGE = Message("gpu-1", "2026-04-20T02:15:00Z", "critical", "a title", "a text", ({"name": "x"},))
STATE = State(
    at="2026-04-20T02:15:00Z",
    level="critical",
    rounds=7,
    alarms={"disk space": Alarm(3, "2026-04-20T02:05:00Z", "critical", 300.0)},
    standstills={"annotation-queue": Standstill(5, True, 300.0)},
    full={"/azaion": "critical"},
    restarts={"annotation-queue": ("2026-04-20T02:10:00Z",)},
    pending=(Pending("ops", MESSAGE, "refused the connection", "2026-04-20T02:10:00Z"),),
    troubles={"history": "the disk is full"},
)
LATER = dataclasses.replace(STATE, at="2026-04-20T02:20:00Z", rounds=8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on no file can be made anew; one that has its room can be written over."""

    def write(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write", write)


def test_what_was_saved_is_loaded_and_for_this_login_alone(path: Path) -> None:
    assert states.load(str(path)) == (None, "")
    assert states.save(str(path), STATE) == ""
    assert states.load(str(path)) == (STATE, "")
    assert path.stat().st_mode & 0o777 == 0o600


def test_levels_of_another_version_cost_no_alert_that_is_owed(path: Path) -> None:
    states.save(str(path), STATE)
    path.write_text(path.read_text().replace('"critical"', '"panic"'))
    found, damage = states.load(str(path))
    assert found and (found.level, found.pending[0].message.level, damage) == ("panic", "panic", "")


def test_a_file_that_is_cut_at_any_byte_begins_anew_and_is_said(path: Path) -> None:
    states.save(str(path), STATE)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        found, damage = states.load(str(path))
        assert found is None
        assert bool(damage) == bool(whole[:length]), f"cut at {length}"
        assert "was damaged and begins anew" in damage or not length
    states.save(str(path), LATER)
    assert states.load(str(path)) == (LATER, "")


@pytest.mark.parametrize("text", [b"[]", b"{}x", b'{"at": 5}', b'{"strange": 1}', b"\xff\xfe", b"[" * 100_000, b"null"])
def test_whatever_stands_there_is_no_state_and_no_error(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    found, damage = states.load(str(path))
    assert found is None and damage


def test_on_a_full_disk_the_state_goes_into_the_room_that_was_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states.save(str(path), STATE)
    assert (path.parent / SPARE).stat().st_size == ROOM
    with monkeypatch.context() as patch:
        full(patch)
        assert states.save(str(path), LATER) == ""
    assert states.load(str(path)) == (LATER, "")
    assert (path.parent / SPARE).stat().st_size == ROOM
    newest = dataclasses.replace(LATER, rounds=9)
    assert states.save(str(path), newest) == ""
    assert states.load(str(path)) == (newest, ""), "what was in the room is older now, whatever its time says"


def test_the_room_is_cut_at_any_byte_and_the_last_whole_state_counts(path: Path) -> None:
    states.save(str(path), STATE)
    spare = path.parent / SPARE
    data = states_bytes(LATER)
    for length in range(0, len(data), 7):
        spare.write_bytes(data[:length].ljust(ROOM, b"\0"))
        assert states.load(str(path)) == (STATE, "")
    spare.write_bytes(data.ljust(ROOM, b"\0"))
    assert states.load(str(path)) == (LATER, "")


def states_bytes(state: State) -> bytes:
    import json

    return json.dumps(dataclasses.asdict(state)).encode()


def test_without_room_a_full_disk_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch)
    assert "No space left" in states.save(str(path), STATE)
    assert states.load(str(path)) == (None, "")


def test_an_alert_is_written_down_before_it_is_sent(tmp_path: Path) -> None:
    """With the very first state that has it as told: a power cut before the sending must not make it forgotten."""
    store = find_store(str(tmp_path), f"{tmp_path}/state")
    Path(place(store, "state.json")).parent.mkdir(parents=True)
    channels = Channels(webhooks=(Webhook("ops", "http://ops.lan/x"),))
    settings = Settings(
        "gpu-1", str(tmp_path), 300, Request(DiskLimits((), 80.0, 95.0), Expected(0)), channels=channels
    )
    told = round_.noted(settings, STATE, STATE, store, [], MESSAGE, [])
    assert (told.message, [one.message for one in told.now], told.after.pending) == (MESSAGE, [MESSAGE, MESSAGE], ())
    found, _ = states.load(place(store, "state.json"))
    assert found is not None and found.alarms == STATE.alarms
    assert [(one.channel, one.message, one.tries) for one in found.pending] == [
        ("ops", MESSAGE, 1),
        ("ops", MESSAGE, 0),
    ]
