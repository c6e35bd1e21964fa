"""Days of rounds in a few seconds: what they leave stays small, and comes back as it was written."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, WARNING, Check
from gpu_runbook.protocol.rounds import Gpu, Queue, Round
from gpu_runbook.server.schedule import history, standstill
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.notify import policy
from gpu_runbook.server.schedule.notify.message import compose
from gpu_runbook.server.schedule.standstill import Standstill
from gpu_runbook.server.schedule.state import SPARE, Pending, State

DAY, EVERY = 86400.0, 300.0
A_DAY = int(DAY / EVERY)  # rounds
WEEK = 7 * A_DAY
BEGIN = 1_776_600_000  # 2026-04-19
QUEUE, GIB = "annotation-queue", 1 << 30
ROWS = (f"{QUEUE} alive", "RabbitMQ reachable", "GPU available", "disk space", "offset advancing")
REPEAT = 14400.0  # seconds after which an alert that lasts is told again
OUT_OF_REACH = range(600, 1700)  # rounds in which the one channel takes nothing

BYTES_OF_A_ROUND, BYTES_OF_THE_STATE = 700, 40_000
ON_TIME: Mapping[int, float] = {}


def at(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGIN + seconds))


def rows(number: int) -> list[Check]:
    """Of the nth round: the disk fills up every day, the broker is away now and then, messages wait at night."""
    hour = number // 12 % 24
    levels = dict.fromkeys(ROWS, OK)
    levels["disk space"] = CRITICAL if hour >= 22 else WARNING if hour >= 20 else OK
    levels["RabbitMQ reachable"] = CRITICAL if number % 97 < 3 else OK
    offset = max(hour - 3, 0) * 1000 + number // 288 * 24_000
    said = {OK: "is well", WARNING: "/azaion is 85 % full", CRITICAL: "gives no answer within 10 s, or is 96 % full"}
    figures = {"offset advancing": {"offset": offset, "last": offset + 500, "backlog": 500 * (hour < 3)}}
    return [Check(name, level, said[level], figures.get(name, {})) for name, level in levels.items()]


def seen(moment: str, checks: list[Check]) -> Round:
    gpus = tuple(Gpu(index, 97, 20 * GIB, 45 * GIB, 71) for index in range(4))
    progress = checks[-1].figures
    return Round(
        at=moment,
        seconds=0.412,
        levels={check.name: check.level for check in checks},
        said={check.name: check.sentence for check in checks if check.level != OK},
        disk={"/azaion": 85, "/var/lib/docker": 41},
        gpus=gpus,
        queues={QUEUE: Queue(progress["offset"], progress["last"], progress["backlog"], 0)},
    )


def after(known: State, number: int) -> State:
    """What the nth round leaves to the next: alarms, standstills, and what a channel has not taken."""
    checks, now = rows(number), at(number * EVERY)
    row, still = standstill.judge(checks[-1], known.standstills.get(QUEUE), EVERY, 1800)
    alarms, news = policy.judge(known.alarms, [*checks[:-1], row], now, EVERY, REPEAT)
    message = compose("gpu-1", now, news, []) if news else None
    fresh = (Pending("ops", message, "gave no answer within 10 s", now),) if message else ()
    pending = (*known.pending, *fresh)[-states.MOST_PENDING :] if number in OUT_OF_REACH else ()
    standstills: dict[str, Standstill] = {QUEUE: still} if still else {}
    return dataclasses.replace(
        known, at=now, rounds=known.rounds + 1, alarms=alarms, standstills=standstills, pending=pending
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def made_of(path: Path, rounds: int, keep: float, clock: Mapping[int, float] = ON_TIME) -> Iterator[Round]:
    """Each of so many rounds, once it is appended; `clock`: from which round on it is so many seconds ahead."""
    ahead = 0.0
    for number in range(rounds):
        ahead = clock.get(number, ahead)
        one = seen(at(number * EVERY + ahead), rows(number))
        assert history.append(str(path), one, keep, EVERY) == ""
        yield one


def read(path: Path, since: str = "") -> list[Round | None]:
    return [one for one, _ in history.read(str(path), since)]


def test_rounds_come_back_line_by_line_and_each_is_short(path: Path) -> None:
    made = list(made_of(path, 2 * A_DAY, 30 * DAY))
    assert read(path) == made
    assert path.stat().st_size < BYTES_OF_A_ROUND * len(made)
    assert read(path, at((len(made) - 1) * EVERY - DAY)) == made[-A_DAY - 1 :]


def test_what_is_to_be_kept_is_kept_to_the_round_and_little_more(path: Path) -> None:
    keep = DAY / 2
    made, longest = [], 0
    for one in made_of(path, 2 * A_DAY, keep):
        made.append(one)
        longest = max(longest, path.read_bytes().count(b"\n"))
    kept = int(keep / EVERY) + 1
    assert kept < longest <= kept * history.SLACK + history.DOUBTED
    assert read(path, at((len(made) - 1) * EVERY - keep)) == made[-kept:]
    left = read(path)
    assert left == made[-len(left) :]
    assert [other.name for other in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "clock",
    [{50: 40 * DAY, 60: 0.0, 90: -40 * DAY, 100: 0.0}, {0: -1500 * DAY, 3: 0.0}],
    ids=["forward and back", "wrong at first"],
)
def test_a_clock_that_is_set_costs_no_line(path: Path, clock: dict[int, float]) -> None:
    made = list(made_of(path, A_DAY, 30 * DAY, clock))
    assert read(path) == made


def test_the_state_stays_small_through_a_week_of_troubles(tmp_path: Path) -> None:
    path, known, longest, waiting = tmp_path / "state.json", State(), 0, 0
    for number in range(WEEK):
        made = after(known, number)
        is_longer = len(made.pending) > len(known.pending) or len(made.alarms) > len(known.alarms)
        known = made
        if number % 24 == 0 or is_longer or number == WEEK - 1:  # in between it takes no more room
            assert states.save(str(path), made) == ""
        if number % 24 == 0:  # as the next round does, which takes longer than all the rest
            assert states.load(str(path)) == (made, "")
        longest, waiting = max(longest, path.stat().st_size), max(waiting, len(known.pending))
    assert waiting == states.MOST_PENDING, "the channel that takes nothing is to be part of it"
    assert longest < BYTES_OF_THE_STATE <= states.ROOM, "it has to fit into the room that is kept aside"
    assert known.rounds == WEEK and known.pending == ()
    assert sorted(other.name for other in tmp_path.iterdir()) == ["state.json", SPARE]
