"""A round on a disk that fails: it comes to its end, tells what it knows, starts what is dead, and repeats nothing."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, Check
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.health import CheckedConsumer, DiskLimits, Expected, Request
from gpu_runbook.protocol.pause import Pause
from gpu_runbook.protocol.schedule import Channels, Installed, RestartRule, Settings, Webhook
from gpu_runbook.server.checks import disk as room
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.schedule import health_row as row
from gpu_runbook.server.schedule import main
from gpu_runbook.server.schedule import round as round_
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.notify import channels, webhook
from gpu_runbook.server.schedule.notify.channels import Channel
from gpu_runbook.server.schedule.notify.message import Message
from gpu_runbook.server.schedule.state import Pending
from gpu_runbook.server.state import jsonfile, lock, record
from gpu_runbook.server.state.schedule_files import place
from gpu_runbook.server.state.store import Store, find_store
from tests.unit import broken_disk
from tests.unit.broken_disk import ERRORS, UNREACHED, Disk
from tests.unit.cut_off import let_go
from tests.unit.standing_docker import QUEUE, RECORD, Docker, stamp

EVERY = 300
HOUR = 3600
BEAT, FAILED = "http://ping.lan/uuid?x=1", "http://ping.lan/uuid/fail?x=1"
EXIT_CRITICAL = 2


@dataclass
class Server:
    """What a round is made on, and what came of it."""

    store: Store
    docker: Docker
    disk: Disk
    clock: list[float]
    told: list[Message] = field(default_factory=list)
    beats: list[str] = field(default_factory=list)

    def round(self, later: float = EVERY) -> int:
        """One round, so many seconds after the last one, on the disk as it is; after it the disk is well again."""
        self.clock[0] += later
        self.told.clear()
        self.beats.clear()
        try:
            return main._round(place(self.store, "check.pyz"))
        finally:
            self.disk.work()
            let_go()

    def dead(self) -> None:
        """The consumer has died, after a day."""
        self.docker.be("exited", self.clock[0] - 24 * HOUR, 137)

    def dies(self) -> None:
        """It dies, if it runs."""
        if self.docker.runs:
            self.docker.state.update(Running=False, Status="exited", ExitCode=137)


@pytest.fixture
def base() -> Iterator[Path]:
    """In memory: on a real disk, of which nothing is tried here, thousands of files take most of the time."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def server(base: Path, unthreaded: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One with a consumer of ours, on which a round has been made when all was well."""
    clock = [time.time()]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    monkeypatch.setattr(time, "clock_gettime", lambda which: 1e9)
    monkeypatch.setattr(os, "nice", lambda by: 0)
    monkeypatch.setattr(os, "umask", lambda mask: 0)
    monkeypatch.setattr(signal, "alarm", lambda seconds: 0)
    monkeypatch.setattr(guarded, "prepare", lambda *_: None)
    monkeypatch.setattr(room, "check", lambda name, *_: Check(name, OK, "room", {}))
    docker, disk = Docker(monkeypatch), Disk(monkeypatch)
    docker.be("running", clock[0] - HOUR)
    store = find_store(str(base / "azaion"), str(base / "state"))
    for folder in (Path(store.root), Path(place(store, "check.pyz")).parent):
        folder.mkdir(parents=True)
    store.create()
    record.save(store, RECORD)
    os.close(lock.acquire(store, {}))
    Path(place(store, "settings.json")).write_text(json.dumps(encode(_installed(store))))
    found = Server(store, docker, disk, clock)

    def tell(message: Message) -> str:
        found.told.append(message)
        return "ok"

    def beat(url: str, *_: object) -> str:
        found.beats.append(url)
        return "answered with status 200"

    ops = Channel(lambda message: message, lambda message: message, tell)
    monkeypatch.setattr(channels, "of", lambda settings: {"ops": ops})
    monkeypatch.setattr(webhook, "call", beat)
    assert (found.round(), found.told, found.beats) == (0, [], [BEAT])
    found.dead()
    yield found
    disk.work()


def _installed(store: Store) -> Installed:
    consumers = (CheckedConsumer(QUEUE, QUEUE),)
    asked = Request(
        DiskLimits((store.root,), 80.0, 95.0), Expected(0), consumers=consumers, look_again=0.0, root=store.root
    )
    told = Channels(webhooks=(Webhook("ops", "http://ops.lan/x"),), heartbeat=BEAT)
    settings = Settings(
        *("gpu-1", store.root, EVERY, asked),
        restarts=(RestartRule(QUEUE),),
        channels=told,
        textfile=f"{store.root}/x.prom",
    )
    return Installed(settings, "0.2", "hash", "2026-04-20T02:15:00Z", "ann", "laptop")


def schedule(server: Server) -> Check:
    """The row of fab health."""
    return row.check("schedule", server.store, "", server.clock[0])


def content(folder: str) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for at, _, names in os.walk(folder) for path in (Path(at, name) for name in names)}


def put_back(folder: str, kept: dict[Path, bytes]) -> None:
    now = content(folder)
    for path in {*now} - {*kept}:
        path.unlink()
    for path, data in kept.items():
        if now.get(path) != data:
            path.write_bytes(data)


def tries(calls: Sequence[str], writes: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Every call that writes with every error, and every other with the one that a disk at its end has."""
    for at, _ in enumerate(calls):
        yield from ((error, at) for error in (ERRORS if writes[at] else (errno.EIO,)))


def test_whatever_call_fails_the_round_tells_of_the_dead_consumer_and_what_failed_it(server: Server) -> None:
    """One call after the other, each with every error: a call that is added to a round is among them by itself."""
    kept = content(server.store.folder)
    server.disk.fail(broken_disk.one(UNREACHED), 0)
    assert server.round() == 0 and server.docker.runs and server.beats == [BEAT]
    calls = server.disk.calls
    assert {"open", "new", "write", "fsync", "replace", "flock"} <= {call.partition(" ")[0] for call in calls}
    left_down: set[str] = set()
    for error, at in tries(calls, server.disk.writes):
        call = calls[at]
        put_back(server.store.folder, kept)
        server.dead()
        server.disk.fail(broken_disk.one(at), error)
        if call.endswith("/settings.json"):  # nobody knows whom to tell
            with pytest.raises(Refusal, match=f"is damaged: .*{os.strerror(error)}"):
                server.round()
            assert server.beats == []
            continue
        server.round()
        (message,) = server.told
        said = f"{os.strerror(error)} at {call}: {message.text}"
        assert QUEUE in message.text and "failed by itself" not in message.text, said
        in_part, unremembered = "scheduled check:" in message.text, "notes of the check:" in message.text
        assert server.beats == [FAILED if in_part or unremembered else BEAT], said
        assert not in_part or schedule(server).level == CRITICAL, said
        if not server.docker.runs:
            left_down.add(call.replace(server.store.folder, ""))
    assert left_down == {"flock /lock", "listdir /runs", "builtins.open /previous-tags.json"}, "what a start rests on"


@pytest.mark.parametrize("error", ERRORS)
def test_where_nothing_can_be_written_it_is_told_at_once_and_then_once_an_hour(server: Server, error: int) -> None:
    """And the consumer is started three times an hour, as the engine remembers when it was started last."""
    told, starts = [], []
    for number in range(25):
        server.dies()
        server.disk.fail(broken_disk.every_write, error)
        assert server.round(EVERY + (-1) ** number) == EXIT_CRITICAL
        told += [number] if server.told else []
        starts += [number] if server.docker.runs else []
        notes = "critical: notes of the check: cannot be written, so that nothing is remembered: "
        assert [notes in message.text for message in server.told] == ([] if number % 4 else [number % 12 == 0])
        assert server.beats == [FAILED]
        server.disk.fail(broken_disk.every_write, error)
        assert (found := schedule(server)).level == CRITICAL
        assert f"nothing can be remembered: {place(server.store, states.SPARE)} cannot be written: " in found.sentence
        server.disk.work()
    assert starts == told == [0, 4, 8, 12, 16, 20, 24]
    assert (server.round(), server.told, server.beats) == (0, [], [BEAT])


def test_one_that_is_left_to_a_person_is_told_once_an_hour_where_nothing_is_remembered(server: Server) -> None:
    told = []
    for number in range(25):
        server.docker.be("exited", server.clock[0] - HOUR, 0)  # as somebody has left it
        server.disk.fail(broken_disk.every_write, errno.EROFS)
        server.round()
        told += [(number, message.text.count(f"critical: {QUEUE} alive: ")) for message in server.told]
    assert told == [(0, 1), (12, 1), (24, 1)]
    assert server.docker.commands == []


def test_without_inodes_all_is_remembered_and_a_dead_consumer_is_started_three_times_an_hour(server: Server) -> None:
    told = []
    for _ in range(8):
        server.dies()
        server.disk.fail(broken_disk.every_new_file, errno.ENOSPC)
        server.round()
        assert server.beats == [BEAT]
        told += [message.title for message in server.told]
    again = f"gpu-1: {QUEUE} was started again (it had ended with 137): it was dead; "
    assert [title.startswith(again) for title in told] == [True, True, True, False]
    assert told[3] == f"gpu-1: critical: {QUEUE} alive"
    assert "fab history does not tell of it: no run can be written down in" in told[0]
    assert not any(Path(server.store.runs).iterdir())


def owing(server: Server) -> Message:
    """An alert that the channel has not taken yet."""
    path, owed = place(server.store, "state.json"), Message("gpu-1", "2026-04-20T02:15:00Z", "critical", "owed", "owed")
    state, _ = states.load(path)
    assert state
    states.save(path, dataclasses.replace(state, pending=(Pending("ops", owed, "was away", state.at),)))
    return owed


def test_what_waits_for_a_channel_is_handed_over_once_where_that_cannot_be_remembered(server: Server) -> None:
    server.docker.be("running", server.clock[0] - HOUR)
    owed, came = owing(server), []
    for _ in range(14):
        server.disk.fail(broken_disk.every_write, errno.EROFS)
        server.round()
        came.append(owed in server.told)
    assert came == [True] + [False] * 13
    server.round()
    assert owed in server.told, "as far as anybody can know"


@pytest.mark.parametrize("silent", [False, True])
def test_a_disk_that_takes_notes_again_in_the_middle_of_a_round_loses_no_alert(server: Server, silent: bool) -> None:
    owed = owing(server)
    server.clock[0] += HOUR / 2  # it is not the first round of which nothing is remembered
    server.docker.be("exited", server.clock[0] - HOUR, 0)  # as somebody has left it: it is told, and not started
    if silent:
        until = stamp(server.clock[0] + HOUR)
        jsonfile.save(server.store.pause, Pause("ann", "laptop", stamp(server.clock[0]), until, ""))
    server.disk.fail(lambda number, name, writes: writes and "flock" not in name and not server.beats, errno.EIO)
    server.round()
    assert server.told == []
    state, _ = states.load(place(server.store, "state.json"))
    assert state and [one.message for one in state.pending] == [owed] and state.rounds == 2
    server.clock[0] += HOUR * silent
    server.round()
    assert owed in server.told
    server.round()
    assert [message.title for message in server.told] == [f"gpu-1: critical: {QUEUE} alive"], "in its second round"


def test_a_round_that_fails_as_a_whole_is_told_once_and_is_critical_at_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_, "_moved", lambda *_: 1 / 0)
    told = []
    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            server.round()
        assert server.beats == [FAILED]
        told += [message.text for message in server.told]
    (text,) = told
    assert "critical: scheduled check: a round failed in part: all of it: ZeroDivisionError in " in text
    assert schedule(server).level == CRITICAL and "ZeroDivisionError" in schedule(server).sentence
    monkeypatch.undo()
