"""A restart or a stop that its engine or somebody else hinders: it is gone on with, or needs a person."""

from __future__ import annotations

import dataclasses

import pytest

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import Restarting
from gpu_runbook.server.run import restart, stop_start, watch
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.world import HELD, OLD, STEP, World, docker, recovered, site

OPERATED = dataclasses.replace(STEP, container=OLD, change="restart", old=HELD, stop_grace=4)


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "tail", lambda *arguments: [])


def test_a_restart_that_was_not_seen_to_end_is_gone_on_with(store: Store, world: World, unwatched: None) -> None:
    here = site(store, world, OPERATED, "restart")
    here.journal.write(Restarting("queue", OLD, 4))
    world.away_after("stop", seconds=1000)
    assert restart._restart(here, OPERATED) is None
    here.journal.close()
    assert not world.runs(OLD)
    with pytest.raises(Refusal, match="can neither be finished nor undone: docker start failed"):
        recovered(store, world)
    world.away_until = world.now
    assert recovered(store, world) == [f"run {RUN} was cut off; queue runs again, unwatched"]
    assert world.runs(OLD)


def test_a_consumer_that_somebody_removes_while_it_is_restarted_needs_a_person(
    store: Store, world: World, unwatched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = site(store, world, OPERATED, "restart")
    monkeypatch.setattr(stop_start, "start", lambda docker, step: world.names.pop(OLD))
    end = restart._restart(here, OPERATED)
    assert end and end.outcome == "needs-person"
    assert end.sentence == f"queue could not be restarted: the container {OLD[:12]} was removed meanwhile"


@pytest.mark.parametrize("change", ["restart", "stop"])
def test_an_operation_on_one_that_cannot_be_killed_says_so(
    store: Store, world: World, unwatched: None, change: str
) -> None:
    world.undying[OLD] = float("inf")
    step = dataclasses.replace(OPERATED, change=change)
    here = site(store, world, step, change)
    end = restart._restart(here, step) if change == "restart" else restart._stop(here, step)
    assert end and end.outcome == "needs-person"
    assert end.sentence.endswith("; it still runs, and may end at any moment")


def test_a_restart_that_was_cut_off_while_it_stopped_its_consumer_stops_it_first(store: Store, world: World) -> None:
    doing = docker(store, world)
    doing.unobeyed.add(OLD)
    stop_start.start(doing, OPERATED)
    assert [argv[1] for _, argv in world.ran][:2] == ["stop", "start"]
