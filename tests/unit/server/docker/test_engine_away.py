"""An engine that answers and cannot act, one that stays away, and a container that does not end when it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from gpu_runbook.protocol.deadlines import PATIENCE
from gpu_runbook.protocol.plan import Spec
from gpu_runbook.server.docker.commands import AtFault, Docker, Final, StepFailed, StillRuns
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.run.swap import forward
from gpu_runbook.server.state import journal
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.docker_answers import IMAGE
from tests.unit.world import MADE, NEW, NOT_ENDED, OLD, SWAP, World, docker, exchanged, recovered, site


def create(doing: Docker) -> None:
    assert doing.create(Spec(IMAGE), "made", IMAGE, {}).id == MADE


VERBS: dict[str, Callable[[Docker], None]] = {
    "start": lambda doing: doing.ensure_started(NEW),
    "stop": lambda doing: doing.ensure_stopped(OLD, 4),
    "update": lambda doing: doing.ensure_restart(OLD, "no"),
    "rename": lambda doing: doing.ensure_name(OLD, "other"),
    "create": create,
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_an_engine_cannot_do_for_ten_seconds_is_tried_until_it_can(store: Store, world: World, verb: str) -> None:
    world.away_until = world.now + 10
    VERBS[verb](docker(store, world))
    tries = [at for at, argv in world.ran if argv[1] == verb]
    assert 10 < tries[-1] < 15 and len(tries) < 12, tries
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == sorted(pauses), "the pauses do not grow"


def test_an_engine_that_hangs_cannot_act_either(store: Store, world: World) -> None:
    world.away_until, world.hangs = world.now + 30, True
    docker(store, world).ensure_started(NEW)
    assert world.runs(NEW)


def test_what_no_patience_helps_is_tried_no_longer(store: Store, world: World) -> None:
    world.away_until = world.now + 1000
    with pytest.raises(StepFailed, match="docker start failed: connection error") as raised:
        docker(store, world).ensure_started(NEW)
    assert not isinstance(raised.value, Final)
    assert PATIENCE < world.now < PATIENCE + 10


def test_a_container_that_is_itself_at_fault_is_given_up_at_once(store: Store, world: World) -> None:
    """The consumer may be down meanwhile."""
    world.faults[NEW] = "OCI runtime create failed: exec: no such file or directory"
    with pytest.raises(AtFault, match="docker start failed: OCI runtime"):
        docker(store, world).ensure_started(NEW)
    assert world.now < 1.0
    assert [argv[1] for _, argv in world.ran] == ["start", "start"]


def test_what_cannot_be_created_is_given_up_at_once_with_its_name(store: Store, world: World) -> None:
    world.faults["made"] = "invalid mount config"
    with pytest.raises(AtFault, match="made could not be created: invalid mount config"):
        docker(store, world).create(Spec(IMAGE), "made", IMAGE, {})
    assert world.now < 1.0


def test_a_fault_after_an_absence_is_one_all_the_same(store: Store, world: World) -> None:
    world.away_until, world.faults[NEW] = world.now + 5, "no such device"
    with pytest.raises(AtFault, match="no such device"):
        docker(store, world).ensure_started(NEW)
    assert world.now < 15


@pytest.mark.parametrize(
    ("answer", "acts"),
    [
        ({"ContainerdCommit": {"ID": "1.6.20", "Expected": "1.6.20"}}, True),
        ({"ContainerdCommit": {"ID": "N/A", "Expected": "N/A"}}, False),
        ({"ContainerdCommit": {"ID": "N/A"}}, False),
        ({"ContainerdCommit": {"ID": ""}}, True),
        ({"ContainerdCommit": None}, True),
        ({}, True),
        ({"ContainerdCommit": 7}, False),
        (EngineError(0, "it does not answer"), False),
        (EngineError(500, "a fault"), False),
        (EngineError(403, "a proxy says no"), True),
        (EngineError(404, "no such path"), True),
    ],
)
def test_whether_an_engine_can_act_is_told_by_no_words(
    monkeypatch: pytest.MonkeyPatch, answer: Any, acts: bool
) -> None:
    def ask(self: Engine, path: str, query: object, **more: object) -> bytes:
        assert path == "/info"
        if isinstance(answer, EngineError):
            raise answer
        return json.dumps(answer).encode()

    monkeypatch.setattr(Engine, "ask", ask)
    assert Engine("unix:///nowhere").acts() is acts


def test_a_swap_that_meets_an_absent_containerd_goes_forward(store: Store, world: World) -> None:
    doing = docker(store, world)
    world.away_after("stop", seconds=8)
    assert forward(SWAP, doing) == ""
    assert world.runs(NEW) and not world.runs(OLD)
    assert world.most_at_once == 1


def test_a_swap_that_cannot_be_undone_has_no_end_and_is_undone_by_whoever_comes_next(
    store: Store, world: World
) -> None:
    here = site(store, world)
    world.away_after("stop", seconds=1000)
    assert exchanged(here) is None
    here.journal.close()
    assert not world.runs(OLD) and not world.runs(NEW)
    found = journal.state(store, RUN)
    assert (found.state, found.step) == ("cut-off", "undoing")
    assert "could not be exchanged: docker start failed" in found.sentence
    assert "and it is not undone yet: queue: docker" in found.sentence

    world.away_until = world.now
    (sentence,) = recovered(store, world)
    assert sentence == f"run {RUN} was cut off in its swap and undone: the server is as it was before"
    assert world.runs(OLD) and world.names[OLD] == "queue" and world.policies[OLD] == "always"
    assert journal.state(store, RUN).outcome == "rolled-back"
    assert world.most_at_once == 1


def test_one_that_cannot_be_killed_is_not_said_to_be_back(store: Store, world: World) -> None:
    world.undying[OLD] = float("inf")
    end = exchanged(site(store, world))
    assert end and end.outcome == "needs-person", end
    assert f"docker stop failed: {NOT_ENDED}; it still runs, and may end at any moment" in end.sentence
    left = f"the one it was to replace ({OLD[:12]}) was killed and still runs: it may end at any moment"
    assert end.sentence.endswith(f"; and it could not be undone: queue: {left}")
    assert world.runs(OLD) and not world.runs(NEW)
    assert world.policies[OLD] == "always" and world.names[OLD] == "queue"
    assert world.now > PATIENCE


def test_a_grace_that_is_longer_than_all_patience_leaves_nothing_unseen(store: Store, world: World) -> None:
    world.undying[OLD] = float("inf")
    with pytest.raises(StillRuns, match="it still runs, and may end at any moment"):
        docker(store, world).ensure_stopped(OLD, 200)


def test_one_that_ends_while_it_is_watched_is_replaced_all_the_same(store: Store, world: World) -> None:
    world.undying[OLD] = world.now + 85  # the engine has given up twice by then
    doing = docker(store, world)
    assert forward(SWAP, doing) == ""
    assert world.runs(NEW) and world.most_at_once == 1
    assert doing.unobeyed == set()


def test_one_that_ends_during_the_undoing_is_started_again(store: Store, world: World) -> None:
    world.undying[OLD] = world.now + PATIENCE + 60
    end = exchanged(site(store, world))
    assert end and end.outcome == "rolled-back", end
    assert world.runs(OLD) and [at for at, argv in world.ran if argv[1:] == ["start", OLD]]
