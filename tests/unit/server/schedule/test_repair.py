"""What a round does by itself about runs that were cut off and consumers that are dead, and how often."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.check import COMMAND, CRITICAL, Check
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.health import CheckedConsumer, DiskLimits, Expected, Request
from gpu_runbook.protocol.journal import Command, End, JournalEvent, Restarting, Swapping, Unfinished, told
from gpu_runbook.protocol.plan import ConsumerStep, Plan, Spec, Watch
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.protocol.schedule import Installed, RestartRule, Settings
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.server.checks import suite
from gpu_runbook.server.schedule import repair, restart_policy
from gpu_runbook.server.schedule.attempts import Attempts
from gpu_runbook.server.state import journal, record
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.journals import begin, begin_of, left
from tests.unit.world import NEW, OLD, World

AT = "2026-04-20T10:11:12Z"
LATER = "20991231-235959-abcd"
RESTART = RestartRule("queue", 4)
ASKED = Request(DiskLimits((), 80.0, 95.0), Expected(0), consumers=(CheckedConsumer("queue", "queue"),))


@pytest.fixture
def store(store: Store) -> Store:
    """With one release, of which the old consumer is."""
    placed = Placed("consumer", "1", "0" * 64, container=OLD, spec=Spec("0" * 64), restart="always")
    record.save(store, Record(RUN, (Release(RUN, AT, "ann", "proven", {"queue": placed}),)))
    return store


@pytest.fixture
def installed(store: Store) -> Installed:

    return Installed(Settings("gpu-1", store.root, 300, ASKED, restarts=(RESTART,)), "0.1.0", "", AT, "ann", "laptop")


def stopping(status: int | None) -> Command:
    return Command(("docker", "stop", "-t", "4", OLD), status, 0.1)


def cut_off(store: Store) -> None:
    """In its swap: the old one is stopped, the new one was not started."""
    step = ConsumerStep("queue", "replace", "1", Watch(), container=NEW)
    plan = Plan(RUN, "deploy", "gpu-1", store.root, RUN, "ann", "laptop", "0.1.0", (step,))
    swap = Swap("queue", "queue", NEW, f"queue.{RUN}", "always", OLD, "queue", "queue.r0", "always", old_ran=True)
    left(store, RUN, begin_of(plan), Swapping(swap))


def refused(installed: Installed, store: Store) -> Refusal:
    with pytest.raises(Refusal) as raised:
        repair.recover(installed, store)
    return raised.value


def test_a_run_is_tried_three_times_an_hour_and_then_let_be(
    store: Store, world: World, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(store)
    monkeypatch.setattr(World, "acts", lambda self: True)  # it says that it can, and cannot
    world.living.discard(OLD)
    world.names.update({OLD: "queue.r0", NEW: "queue"})
    world.away_until = 1e9
    for tries in (1, 2, 3):
        assert "can neither be finished nor undone" in refused(installed, store).message
        assert [one.tries for one in told(journal.read(store.journal(RUN))[-1:], Unfinished)] == [tries]
    ran = len(world.ran)
    late = refused(installed, store)
    assert len(world.ran) == ran and "(tried 3 times)" in late.message
    assert f"fab follow --close {RUN}" in late.hint
    later = time.time() + restart_policy.HOUR + 1
    monkeypatch.setattr(time, "time", lambda: later)
    world.away_until = 0.0
    assert repair.recover(installed, store) == [
        f"run {RUN} was cut off in its swap and undone: the server is as it was before"
    ]
    assert world.runs(OLD)


def test_an_engine_that_cannot_act_is_no_try(store: Store, world: World, installed: Installed) -> None:
    cut_off(store)
    before = Path(store.journal(RUN)).read_bytes()
    world.away_until = 1e9
    assert "answers and cannot act" in refused(installed, store).message
    assert Path(store.journal(RUN)).read_bytes() == before and world.ran == []


def test_nothing_is_started_beside_a_run_that_has_not_come_to_its_end(
    store: Store, world: World, installed: Installed
) -> None:
    """It may be what that run is to undo."""
    cut_off(store)
    world.living.clear()
    world.exit_codes[OLD] = 137
    assert repair.start_again(installed, store, RESTART, repair.DEAD, lambda: True) == ""
    assert world.ran == []


@pytest.mark.parametrize(
    ("status", "after", "started"),
    [
        (1, [], True),  # it was told to stop, had not by the end, and did later
        (None, [], True),
        (0, [], False),  # it did, and whoever started it since may have stopped it
        (1, [begin(LATER, "restart"), Restarting("queue", OLD, 4), stopping(0)], False),
        (1, [begin(LATER, "model")], True),  # a run that is not about it
    ],
)
def test_one_that_ended_well_is_started_where_our_own_stop_came_late(
    store: Store, world: World, installed: Installed, status: int | None, after: list[JournalEvent], started: bool
) -> None:
    cut_off(store)
    left(store, RUN, stopping(status), End("needs-person", "it still runs, and may end at any moment"))
    if after:
        left(store, LATER, *after, End("done", "it was done"))
    world.living.clear()
    assert bool(repair.start_again(installed, store, RESTART, repair.DEAD, lambda: True)) == world.runs(OLD) == started


def round_of(
    installed: Installed, store: Store, known: restart_policy.Restarts, checks: list[Check]
) -> tuple[list[Check], restart_policy.Restarts, list[str]]:
    """What a round that can remember starts again."""
    return restart_policy.restart_what_is_down(installed, store, known, checks, 1e9, Attempts(), lambda restarts: True)


def dead(world: World) -> list[Check]:
    world.living.clear()
    world.exit_codes[OLD] = 137
    alive, offset = (
        suite.alive_name("queue"),
        suite.offset_name(ASKED, "queue"),
    )
    return [
        Check(alive, CRITICAL, "it is exited", {"status": "exited"}),
        Check(offset, "ok", "so it is"),
        Check(COMMAND, "ok", "docker obeys"),
    ]


def test_without_a_docker_command_nothing_is_tried_and_the_row_says_why(
    store: Store, world: World, installed: Installed
) -> None:
    *others, _ = dead(world)
    mute = Check(COMMAND, CRITICAL, "no docker command can be run", hint="install it")
    rows, known, actions = round_of(installed, store, {}, [*others, mute])
    assert (known, actions, world.runs(OLD)) == ({}, [], False)
    assert "it is not started again: no docker command can be run" in rows[0].sentence
    assert rows[0].hint == "install it"


def test_a_start_that_failed_does_not_count_among_the_three_of_an_hour(
    store: Store, world: World, installed: Installed
) -> None:
    checks = dead(world)
    known: restart_policy.Restarts = {}
    world.faults[OLD] = "no such device"
    for _ in range(5):
        rows, known, actions = round_of(installed, store, known, checks)
        assert (known, actions) == ({}, [])
        assert "could not be started again: docker start failed: no such device" in rows[0].sentence
    del world.faults[OLD]
    _, known, actions = round_of(installed, store, known, checks)
    assert len(known["queue"]) == len(actions) == 1 and world.runs(OLD)


def test_a_start_that_no_patience_helped_is_gone_on_with_by_the_next_round(
    store: Store, world: World, installed: Installed
) -> None:
    checks = dead(world)
    world.away_until = world.now + 1000
    _, known, _ = round_of(installed, store, {}, checks)
    assert known == {} and not world.runs(OLD)
    run = journal.runs(store)[-1]
    assert journal.state(store, run).state == "cut-off"
    world.away_until = world.now
    assert repair.recover(installed, store) == [f"run {run} was cut off; queue runs again, unwatched"]
    assert world.runs(OLD)


@pytest.mark.parametrize(
    ("level", "figures", "started"),
    [
        pytest.param("ok", {}, True, id="it stands still"),
        pytest.param(CRITICAL, {"health": "unhealthy"}, True, id="its HEALTHCHECK says so as well"),
        pytest.param(CRITICAL, {"loop": True}, False, id="it ends again and again"),
    ],
)
def test_one_that_stands_still_is_started_again_unless_it_loops(
    store: Store, world: World, installed: Installed, level: str, figures: dict[str, Any], started: bool
) -> None:
    alive, offset = suite.alive_name("queue"), suite.offset_name(ASKED, "queue")
    checks = [
        Check(alive, level, "as it is", {"status": "running", **figures}),
        Check(offset, CRITICAL, "it stands still", {"standstill": 4000}),
    ]
    rows = {check.name: check for check in checks}
    rule = dataclasses.replace(RESTART, stuck=True)
    assert restart_policy._fault(rule, ASKED, rows) == ((offset, repair.STUCK) if started else (alive, ""))
