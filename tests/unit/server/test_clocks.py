"""A clock that is set, a year, a day or a second either way: nothing is blocked, nothing young goes, nothing grows."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.common import humanize
from gpu_runbook.laptop.deploy import clocks
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.health import DiskLimits, Expected, Request
from gpu_runbook.protocol.journal import End
from gpu_runbook.protocol.plan import Watch as WatchTerms
from gpu_runbook.protocol.schedule import Channels, Installed, Program, Settings
from gpu_runbook.server.checks import container, disk, offset, suite
from gpu_runbook.server.docker import containers
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.queue.offset import Position
from gpu_runbook.server.queue.stream import Bounds
from gpu_runbook.server.retention import after_run
from gpu_runbook.server.run import watch
from gpu_runbook.server.schedule import health_row, main, restart_policy, silence
from gpu_runbook.server.schedule import round as one_round
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.notify import channels
from gpu_runbook.server.schedule.notify.errors import Undelivered
from gpu_runbook.server.schedule.notify.policy import STILL
from gpu_runbook.server.schedule.state import LONGEST_PENDING, State
from gpu_runbook.server.state import journal, jsonfile, lock, new_run, pause
from gpu_runbook.server.state.new_run import new_id
from gpu_runbook.server.state.schedule_files import HISTORY, LOCK, SETTINGS, STATE, place
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files
from gpu_runbook.server.verbs import history as pasts
from gpu_runbook.server.verbs import pause as pausing
from tests.hostile.forms import RUN
from tests.unit import docker_answers
from tests.unit.docker_answers import inspected
from tests.unit.journals import begin, left
from tests.unit.server.checks.test_checks import seen

DAY, YEAR, EVERY = 86400.0, 365 * 86400.0, 300
SELDOM = 4 * 3600  # seconds between two rounds where days go by
BEGIN = 1_776_680_000.0  # 2026-04-20 10:13 UTC
JUMPS = (YEAR, -YEAR, DAY, -DAY, 1.0, -1.0)
NAMES = ("a year on", "a year back", "a day on", "a day back", "a second on", "a second back")
each_jump = pytest.mark.parametrize("jump", JUMPS, ids=NAMES)


class Clock:
    """A server's clock, which anybody sets, and the time since its start, which nobody does."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.up = 1000.0

    def goes_on(self, seconds: float) -> None:
        self.now += seconds
        self.up += seconds

    def is_set(self, seconds: float) -> None:
        self.now += seconds

    def text(self) -> str:
        return datetime.fromtimestamp(self.now, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: clock.now)
    for module in (journal, new_run):
        monkeypatch.setattr(module, "now", clock.text)
    monkeypatch.setattr(pausing, "datetime", SimpleNamespace(now=lambda zone: datetime.fromtimestamp(clock.now, zone)))
    monkeypatch.setattr(lock, "up", lambda: clock.up)
    return clock


def ran(store: Store) -> str:
    """A run that has come to its end."""
    run = new_id(store)
    left(store, run, begin(run), End("done", "so it was"))
    return run


def test_a_life_of_runs_keeps_its_order_and_its_dates_whatever_becomes_of_the_clock(store: Store, clock: Clock) -> None:
    made, dates = [], []
    for jump in (0.0, *JUMPS, -YEAR, -YEAR, YEAR, YEAR):
        clock.is_set(jump)
        for pace in (0.0, 0.2, 1.0, 3600.0):  # two of one second among them
            clock.goes_on(pace)
            made.append(ran(store))
            dates.append(clock.text())
            last = journal.last(store)
            assert last is not None and (last.id, last.since) == (made[-1], dates[-1])
    assert made == sorted(set(made)) == journal.runs(store)
    assert {len(run) for run in made} == {len(RUN)}
    told = pasts.newest(store, len(made))
    assert [(one.run, one.at) for one in told] == list(zip(reversed(made), reversed(dates), strict=True))
    assert all(one.seconds is not None and 0 <= one.seconds < 60 for one in told)


@each_jump
def test_of_many_runs_the_oldest_go_and_never_one_that_is_young(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    monkeypatch.setattr(after_run, "KEEP_RUNS", 30)
    made = [ran(store) for _ in range(after_run.KEEP_RUNS)]
    clock.is_set(jump)
    made += [ran(store) for _ in range(20)]
    assert after_run.tidy(store, None, 3) == []  # type: ignore[arg-type]  # nothing of the engine's is to go
    assert journal.runs(store) == made[-after_run.KEEP_RUNS :]


@each_jump
def test_no_pause_lasts_a_day_longer_than_it_was_to(store: Store, clock: Clock, jump: float) -> None:
    request = {"root": store.root, "state": f"{store.root}/state", "docker_host": "unix:///nowhere", "seconds": 7200}
    pausing.answer({**request, "who": "ann", "laptop": "laptop", "reason": ""}, lambda event: None)
    assert pause.current(store, clock.now)
    clock.is_set(jump)
    held = pause.current(store, clock.now) is not None
    assert held == (abs(jump) <= DAY and jump < 7200)
    assert bool(pause.load(store, clock.now)[1]) == (jump == -YEAR), "who wonders is told"
    clock.goes_on(7200 + DAY)
    assert pause.current(store, clock.now) is None
    pause.admit(store, "deploy")


@each_jump
def test_a_round_is_silent_for_an_hour_of_a_run_by_a_clock_that_nobody_sets(
    store: Store, clock: Clock, jump: float
) -> None:
    held = lock.acquire(store, {"action": "deploy", "who": "ann", "since": clock.text()})
    clock.goes_on(600)
    clock.is_set(jump)
    assert silence.silence(store, clock.now) == ("deploy by ann is under way", None)
    clock.goes_on(3600)
    quiet, row = silence.silence(store, clock.now)
    assert (quiet, row and row.sentence) == ("", "deploy by ann has held the lock of this server for 70 min")
    os.close(held)


def test_of_a_run_by_an_older_version_it_is_known_by_the_clock(store: Store, clock: Clock) -> None:
    held = lock.acquire(store, {"action": "deploy", "who": "ann"})
    for since, taken in ((clock.text(), "deploy by ann is under way"), ("", "deploy by ann is under way")):
        Path(store.lock).write_text(json.dumps({"action": "deploy", "who": "ann", "since": since}))
        assert silence.silence(store, clock.now + 3599 * bool(since))[0] == taken
    os.close(held)


@each_jump
def test_three_restarts_are_forgotten_an_hour_later(clock: Clock, jump: float) -> None:
    when = tuple(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock.now - ago)) for ago in (600, 300, 0))
    clock.is_set(jump)
    left = restart_policy.recent(when, clock.now)
    assert (len(left) == 3) == (jump < DAY)
    for _ in range(int(restart_policy.HOUR / EVERY)):
        clock.goes_on(EVERY)
        left = restart_policy.recent(left, clock.now)
    assert left == ()


class Rounds:
    """Rounds of a server whose docker is gone for good, and whose one channel takes nothing."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock
        asked = Request(
            DiskLimits((store.root,), 80.0, 95.0), Expected(0), docker_host="unix:///nowhere", root=store.root
        )
        channels = Channels(programs=(Program("ops", ("false",)),))
        self.settings = Settings("gpu-1", store.root, EVERY, asked, channels=channels, keep=int(DAY))
        self.installed = Installed(self.settings, "0", "0", clock.text(), "ann", "laptop")
        Path(place(store, STATE)).parent.mkdir()
        jsonfile.save(place(store, SETTINGS), self.installed)

    def change(self, **settings: int) -> None:
        self.settings = dataclasses.replace(self.settings, **settings)  # type: ignore[arg-type]
        self.installed = dataclasses.replace(self.installed, settings=self.settings)

    def made(self, count: int = 1) -> list[Check]:
        checks: list[Check] = []
        for _ in range(count):
            self.clock.goes_on(EVERY)
            _, checks = one_round.make(self.installed, self.store)
        return checks

    @property
    def state(self) -> State:
        found, damage = states.load(place(self.store, STATE))
        assert found is not None and damage == ""
        return found

    @property
    def row(self) -> Check:
        """What `fab health` says of the check."""
        return health_row.check("schedule", self.store, "", self.clock.now)

    @property
    def lines(self) -> int:
        return Path(place(self.store, HISTORY)).read_bytes().count(b"\n")


@pytest.fixture
def rounds(store: Store, clock: Clock) -> Rounds:
    return Rounds(store, clock)


@pytest.fixture
def many_rounds(rounds: Rounds, unthreaded: None, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    """Without the processes of the channel and of df, which would take most of the time."""

    def away(message: Any) -> str:
        raise Undelivered("ended with status 1")

    monkeypatch.setattr(channels, "of", lambda settings: {"ops": channels.Channel(str, str, away)})
    monkeypatch.setattr(disk, "look", lambda path: disk.Room(path, "/", 100, 50, 50, 50, 1))
    return rounds


@each_jump
def test_rounds_go_on_under_a_clock_that_was_set(many_rounds: Rounds, clock: Clock, jump: float) -> None:
    rounds = many_rounds
    rounds.change(repeat=SELDOM, keep=SELDOM)
    rounds.made(3)
    (waiting,) = rounds.state.pending
    clock.is_set(jump)
    (check,) = (one for one in rounds.made() if one.name == suite.DISK)
    assert check.level == UNKNOWN and "docker's own disk is not known" in check.sentence
    state = rounds.state
    assert state.rounds == 4 and state.at == clock.text()[:19] + "Z"
    assert [one.message.title for one in state.pending] == [waiting.message.title], "what is young was dropped"
    assert rounds.lines == 4
    figures = rounds.row.figures
    assert figures["since_last"] == 0 and "overdue" not in rounds.row.sentence
    rounds.made(int(rounds.settings.repeat / EVERY))
    titles = [one.message.title for one in rounds.state.pending]
    assert titles == ["gpu-1: unknown: disk space", "gpu-1: still unknown: disk space"], f"{STILL} is not told"
    assert rounds.lines == 4 + rounds.settings.repeat / EVERY


@each_jump
def test_what_waits_for_a_channel_is_dropped_after_three_days_of_rounds_and_not_by_a_clock(
    many_rounds: Rounds, clock: Clock, jump: float
) -> None:
    rounds = many_rounds
    rounds.made(2)
    rounds.change(every=SELDOM, repeat=int(YEAR))
    clock.is_set(jump)
    counts = []
    for _ in range(int((LONGEST_PENDING + DAY) / SELDOM) + 2):
        clock.goes_on(SELDOM - EVERY)
        rounds.made()
        counts.append([one.message.title for one in rounds.state.pending])
    gone = counts.index(["gpu-1: 1 alert was dropped"])
    assert LONGEST_PENDING - DAY <= gone * SELDOM <= LONGEST_PENDING + DAY + 2 * SELDOM


@each_jump
def test_a_clock_that_is_set_during_a_round_spoils_nothing(
    rounds: Rounds, clock: Clock, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    rounds.made(2)
    asked = suite.questions

    def questions(*given: Any) -> Any:
        clock.is_set(jump)
        return asked(*given)

    monkeypatch.setattr(suite, "questions", questions)
    rounds.made()
    monkeypatch.setattr(suite, "questions", asked)
    rounds.made(2)
    assert (rounds.state.rounds, rounds.lines, len(rounds.state.pending)) == (5, 5, 1)
    assert rounds.row.figures["since_last"] == 0


def test_a_check_that_made_its_last_round_ahead_of_the_clock_is_not_said_to_be_on_time(
    rounds: Rounds, clock: Clock
) -> None:
    rounds.made()
    assert rounds.row.level == OK
    clock.is_set(-YEAR)
    assert rounds.row.level == WARNING
    sentence = rounds.row.sentence
    assert "that is 365 days ahead of this server's clock, and whether it is overdue is not known" in sentence
    assert "it looked an unknown time ago" in sentence
    rounds.made()
    assert "ahead" not in rounds.row.sentence


@each_jump
def test_a_full_disk_leaves_the_newest_state_whatever_the_clock_says(
    rounds: Rounds, clock: Clock, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    rounds.made(2)
    clock.is_set(jump)

    def full(path: str, data: bytes, *more: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "write", full)
        rounds.made()
    assert rounds.state.rounds == 3
    rounds.made()
    assert rounds.state.rounds == 4


@each_jump
def test_a_round_that_hangs_is_told_by_a_clock_that_nobody_sets(rounds: Rounds, clock: Clock, jump: float) -> None:
    held, _ = main._alone(rounds.store)
    clock.goes_on(3 * EVERY + 10)
    clock.is_set(jump)
    assert main._alone(rounds.store) == (None, 3 * EVERY + 10)
    os.close(held or 0)
    Path(place(rounds.store, LOCK)).write_text(json.dumps({"since": 0.0, "pid": 1}))
    held = os.open(place(rounds.store, LOCK), os.O_RDONLY)
    assert main._taken(held, clock.up) == 0.0, "an older version's is taken for new"
    os.close(held)


@pytest.mark.parametrize(
    ("up", "restarts", "level", "sentence"),
    [
        (-YEAR, 4, OK, "running for an unknown time"),
        (-YEAR, 0, OK, "running for an unknown time"),
        (-1.0, 1, CRITICAL, "crash loop"),
        (-1.0, 0, OK, "running for 0 s"),
        (YEAR, 4, OK, "running for 365 days"),
    ],
)
def test_a_container_that_started_ahead_of_the_clock_is_in_no_crash_loop(
    up: float, restarts: int, level: str, sentence: str
) -> None:
    found = container.judge("q alive", "q", seen(up=up, restarts=restarts), BEGIN)
    assert (found.level, sentence in found.sentence) == (level, True), found
    assert found.figures["up"] >= 0


def test_what_has_lasted_since_ahead_of_the_clock_has_lasted_an_unknown_time() -> None:
    assert [humanize.span(seconds) for seconds in (-1, -59, -61, -YEAR)] == ["0 s", "0 s", *["an unknown time"] * 2]
    file = OffsetFile("/azaion/offset.yaml")
    pursuit = offset.Pursuit("q", file, StreamAddress("rabbit.lan", 5552, "annotations"), "")
    at = Position(5, BEGIN + YEAR)
    found = offset.judge_movement("q offset", pursuit, at, at, Bounds(0, 100), BEGIN)
    assert "unchanged for an unknown time" in found.sentence


@pytest.mark.parametrize(
    ("ended", "started", "most", "down"),
    [("10:00:00.5", "10:00:02", 30, 1.5), ("10:00:02", "10:00:00", 30, 0.0), ("10:00:00", "23:00:00", 30.25, 30.25)],
)
def test_an_outage_is_never_negative_nor_longer_than_the_run(
    ended: str, started: str, most: float, down: float
) -> None:
    before = docker_answers.container(inspected(FinishedAt=f"2026-04-20T{ended}Z"))
    after = docker_answers.container(inspected(StartedAt=f"2026-04-20T{started}Z"))
    assert containers.outage(before, after, most) == down


class Logged(Engine):
    """An engine whose container has said what stands in its log, each line at its time."""

    def __init__(self, log: list[tuple[float, str]]) -> None:
        super().__init__("unix:///nowhere")
        object.__setattr__(self, "log", log)

    def stamped_logs(self, container: str, since: float) -> tuple[list[tuple[str, str]], str]:
        def stamp(at: float) -> str:
            return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%dT%H:%M:%S}.{int(at % 1 * 1e9):09d}Z"

        log: list[tuple[float, str]] = vars(self)["log"]
        return [(stamp(at), line) for at, line in log if at >= since], ""


@each_jump
def test_a_watch_hears_what_is_said_after_the_clock_was_set(clock: Clock, jump: float) -> None:
    step = SimpleNamespace(service="q", watch=WatchTerms(1, 9, ("bad",)), offset=None)
    entry = watch.watched(step, "c", "", None, clock.now)  # type: ignore[arg-type]
    log = [(clock.now + 0.25, "fine"), (clock.now + 0.5, "fine")]
    found = Logged(log)
    clock.goes_on(1)
    assert watch._failure(found, entry) == ("", "")
    clock.is_set(jump)
    clock.goes_on(1)
    log.append((clock.now - 0.25, "bad news"))
    assert watch._failure(found, entry) == ('"bad news"', "")
    clock.goes_on(1)
    assert watch._failure(found, entry) == ("", ""), "it was heard once"


@pytest.mark.parametrize(
    ("ahead", "sentence"),
    [
        (0.0, ""),
        (-299.0, ""),
        (YEAR, "the server's clock is 365 days ahead of this laptop's"),
        (-3600.0, "the server's clock is 60 min behind this laptop's"),
    ],
)
def test_a_clock_that_is_visibly_off_is_one_sentence(clock: Clock, ahead: float, sentence: str) -> None:
    at = clock.text()
    clock.is_set(-ahead)
    assert [row.sentence for row in clocks.rows(at)] == ([sentence] if sentence else [])
