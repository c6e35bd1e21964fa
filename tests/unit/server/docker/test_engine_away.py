"""An engine that answers and cannot act, one that stays away, and a container that does not end when it is told to."""

from __future__ import annotations

import dataclasses
import gc
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.common.clock import moment
from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.deadlines import PATIENCE
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import (
    Command,
    ConfigSwap,
    End,
    HandledOffsets,
    Restarting,
    Staging,
    Swapping,
    Unfinished,
    as_line,
    encoded,
    told,
)
from gpu_runbook.protocol.plan import ConsumerStep, Plan, Spec
from gpu_runbook.protocol.requests import Secrets
from gpu_runbook.server.docker.commands import AtFault, Docker, Final, StepFailed, StillRuns
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.queue import stream
from gpu_runbook.server.run import process, recovery, release, restart, rollout, stop_start, swap, unstage, watch
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.run.swap import back, forward
from gpu_runbook.server.run.unfinished import unobeyed
from gpu_runbook.server.state import journal
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store
from tests.unit.docker_answers import IMAGE
from tests.unit.journals import begin_of
from tests.unit.world import HELD, MADE, NEW, NOT_ENDED, OLD, RUN, STEP, SWAP, World, placed

LATER = "20260420-101113-abcd"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return placed(monkeypatch)


def docker(store: Store, world: World) -> Docker:
    return Docker(world, Journal(store.journal(RUN)), -1, ())


def site(store: Store, world: World, step: ConsumerStep = STEP, action: str = "deploy") -> Site:
    plan = Plan(RUN, action, "gpu-1", store.root, RUN, "ann", "laptop", "0.1.0", (step,))
    doing = docker(store, world)
    doing.journal.write(begin_of(plan))
    return Site(plan, Secrets(), {}, store, doing, doing.journal)


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


def test_a_swap_whose_new_one_cannot_start_is_undone_at_once(store: Store, world: World) -> None:
    world.faults[NEW] = "invalid mount config"
    end = exchanged(site(store, world))
    assert end and end.outcome == "rolled-back"
    assert world.runs(OLD) and world.policies[OLD] == "always" and world.names[OLD] == "queue"
    assert world.now < 3.0


def exchanged(here: Site) -> End | None:
    return rollout._exchange(here, list(here.plan.consumers), [SWAP])


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


@pytest.mark.parametrize(
    ("ill", "undone"),
    [("restarting", True), ("started again a moment ago", True), ("started again an hour ago", False)],
)
def test_a_run_that_was_cut_off_after_its_swap_is_undone_where_the_new_one_loops(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch, ill: str, undone: bool
) -> None:
    """Who would have seen it, the watch of that run, is gone."""
    here = site(store, world)
    Path(here.folder("queue")).mkdir(parents=True)
    here.journal.write(Swapping(SWAP))
    forward(SWAP, here.docker)
    here.journal.close()
    monkeypatch.setattr(time, "time", lambda: moment(world.started[NEW]) + (3 if "moment" in ill else 3600))
    monkeypatch.setattr(release, "enter", lambda *_: None)
    if ill == "restarting":
        world.restarting.add(NEW)
    else:
        world.restarts[NEW] = 3
    (sentence,) = recovered(store, world)
    cut = f"run {RUN} was cut off after its swap"
    if not undone:
        assert sentence == f"{cut}: release {RUN} is in force, unproven"
        assert world.runs(NEW) and world.names[NEW] == "queue"
        return
    assert sentence == f"{cut}, queue ended again and again and was undone: the server is as it was before"
    assert world.runs(OLD) and not world.runs(NEW) and world.names[OLD] == "queue"
    assert "queue ended again and again" in (Path(store.release(RUN)) / "failed.json").read_text()


@pytest.mark.parametrize("away", [True, False])
def test_while_the_broker_is_away_a_loop_is_no_fault_of_the_new_one(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    """As after a power cut of the whole room: it ends until the broker is there, and the old one would as well."""

    def greet(host: str, port: int) -> bytes:
        if away:
            raise stream.StreamError("refused", f"{host}:{port} refuses connections")
        return b"RabbitMQ 4.0"

    monkeypatch.setattr(stream, "greet", greet)
    here = site(store, world, dataclasses.replace(STEP, stream=StreamAddress("rabbit.lan", 5552, "annotations")))
    Path(here.folder("queue")).mkdir(parents=True)
    here.journal.write(Swapping(SWAP))
    forward(SWAP, here.docker)
    here.journal.close()
    monkeypatch.setattr(release, "enter", lambda *_: None)
    world.restarting.add(NEW)
    (sentence,) = recovered(store, world)
    assert ("is in force, unproven" in sentence, "and was undone" in sentence) == (away, not away), sentence
    assert (world.runs(NEW), world.runs(OLD)) == (away, not away)


def recovered(store: Store, world: World) -> list[str]:
    return recovery.cut_off_runs(store, world, -1, ())


def test_however_often_it_is_tried_the_journal_stays_as_long_as_it_is(store: Store, world: World) -> None:
    here = site(store, world)
    world.away_after("stop", seconds=100_000)
    assert exchanged(here) is None
    here.journal.close()
    sizes = []
    for tries in range(1, 6):
        with pytest.raises(Refusal, match=f"run {RUN} was cut off and can neither be finished nor undone: ") as raised:
            recovered(store, world)
        assert raised.value.kind == "person"
        assert f"fab deploy --supersede {RUN}" in raised.value.hint
        assert f"fab follow --close {RUN} --reason" in raised.value.hint
        lines = journal.read(store.journal(RUN))
        assert [line.word for line in lines].count("unfinished") == 1
        (unfinished,) = told(lines[-1:], Unfinished)
        assert unfinished.tries == tries and len(unfinished.tried or ()) == min(tries, 3)
        sizes.append(Path(store.journal(RUN)).stat().st_size)
    assert sizes[2] == sizes[3] == sizes[4]


def test_a_run_that_cannot_be_finished_does_not_hide_what_it_was_undone_for(store: Store, world: World) -> None:
    here = site(store, world)
    Path(here.folder("queue")).mkdir(parents=True)
    world.away_after("stop", seconds=1000)
    exchanged(here)
    here.journal.close()
    world.away_until = world.now
    recovered(store, world)
    note = (Path(store.release(RUN)) / "failed.json").read_text()
    assert "queue could not be exchanged: docker start failed" in note


def test_an_old_one_that_does_not_start_is_seen_and_said(store: Store, world: World) -> None:
    """Its fault outlasts any patience: there is an end, and a deploy may go on at once."""
    world.faults |= {NEW: "no such device", OLD: "no such file or directory"}
    end = exchanged(site(store, world))
    assert end and end.outcome == "needs-person"
    said = f"the one it replaced ({OLD[:12]}) does not start: docker start failed: no such file or directory"
    assert end.sentence.endswith(f"; and it could not be undone: queue: {said}")
    assert world.policies[OLD] == "always" and world.names[OLD] == "queue"


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


def test_one_that_was_told_to_stop_by_a_run_that_died_is_stopped_before_it_counts_as_back(
    store: Store, world: World
) -> None:
    """It would end a moment later, with nobody to start it."""
    here = site(store, world)
    here.journal.write(Swapping(SWAP))
    here.docker.ensure_restart(OLD, "no")
    here.docker.ensure_name(OLD, SWAP.old_parked)
    here.docker.ensure_name(NEW, "queue")
    here.journal.close()
    recovered(store, world)
    after = [argv[1:] for _, argv in world.ran]
    assert after.index(["stop", "-t", "30", OLD]) < after.index(["start", OLD])
    assert world.runs(OLD)


def line(*argv: str, status: int = 0) -> dict[str, Any]:
    return encoded(Command(("docker", *argv), status, 0.1))


def restarting(grace: int) -> dict[str, Any]:
    return encoded(Restarting("queue", OLD, grace))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], set()),
        ([line("rename", OLD, "queue.r0")], set()),
        ([line("rename", NEW, "queue")], {OLD}),
        ([line("rename", NEW, "queue"), line("stop", "-t", "30", OLD)], set()),
        ([line("rename", NEW, "queue"), line("stop", "-t", "30", OLD, status=1)], {OLD}),
        ([line("stop", "-t", "30", OLD, status=1), line("start", OLD)], set()),
        ([line("stop", "-t", "30", OLD, status=1), line("start", OLD, status=1)], {OLD}),
        ([restarting(30)], {OLD}),
        ([restarting(0)], set()),
        ([restarting(30), line("stop", "-t", "30", OLD)], set()),
        ([{"event": "command", "argv": "docker"}, {"event": "command"}, line("stop")], set()),
    ],
)
def test_who_was_told_to_stop_and_not_seen_to_stands_in_the_journal(
    lines: list[dict[str, Any]], expected: set[str]
) -> None:
    assert unobeyed([as_line(one) for one in lines], [SWAP]) == expected


STARTED = "2026-04-20T10:00:00Z"


@pytest.mark.parametrize(
    ("new", "old", "began"),
    [
        ("0001-01-01T00:00:00Z", STARTED, False),
        ("2026-04-20T09:00:00Z", STARTED, False),  # of a release that ran before: a rollback would start it again
        ("2026-04-20T10:00:00.5Z", STARTED, True),
        (STARTED, "", True),
        ("0001-01-01T00:00:00Z", "", False),
    ],
)
def test_offsets_are_those_of_a_release_that_did_start(
    store: Store, world: World, tmp_path: Path, new: str, old: str, began: bool
) -> None:
    place, left = tmp_path / "offset.yaml", tmp_path / "left.yaml"
    place.write_text("offset: 31975\n")
    world.started |= {NEW: new, OLD: old}
    world.living.discard(OLD)
    swap = dataclasses.replace(
        SWAP, old=OLD if old else "", old_ran=bool(old), offset=str(place), offset_kept="/none", offset_left=str(left)
    )
    back(swap, docker(store, world))
    assert left.exists() == began


def test_a_first_offset_that_is_not_known_is_not_made_up() -> None:
    handled = HandledOffsets("queue", NEW, end=31975)
    assert rollout._range([handled]) == "; queue handled offsets up to 31974 meanwhile"
    assert rollout._range([dataclasses.replace(handled, end=None)]) == ""
    assert rollout._range([dataclasses.replace(handled, first=100)]) == "; queue handled offsets 100 to 31974 meanwhile"


def test_what_was_staged_and_not_placed_goes_with_the_run(tmp_path: Path) -> None:
    """It may hold passwords."""
    for name in ("staged", "staged.before", "again", "again.before"):
        (tmp_path / name).write_text("password: secret")
    config = ConfigSwap(str(tmp_path / "config.yaml"), str(tmp_path / "staged"))
    swap.close(dataclasses.replace(SWAP, config=config, replay=str(tmp_path / "again")))
    assert list(tmp_path.iterdir()) == []


def test_what_was_staged_goes_although_no_engine_says_what_became_of_the_container(
    store: Store, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold passwords."""
    here = site(store, world, STEP, "deploy")
    staged = [tmp_path / "staged", tmp_path / "again", Path(here.folder("queue"), "config.yaml")]
    staged[-1].parent.mkdir(parents=True)
    for path in staged:
        path.write_text("password: secret")
    here.journal.write(Staging("queue", "queue.new", str(staged[0]), str(staged[1])))

    def gone(self: World, container: str, seconds: float = 1) -> None:
        raise EngineError(0, "connection refused")

    monkeypatch.setattr(World, "container", gone)
    with pytest.raises(StepFailed, match="connection refused"):
        unstage.unstage_all(store, here.docker, RUN)
    assert not any(path.exists() for path in staged)


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


def test_a_defect_in_the_middle_of_a_run_is_no_end(store: Store, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has seen how the server is: whoever comes next leads it back."""
    plan = dataclasses.replace(site(store, world).plan, id=LATER, release=LATER)

    def fails(here: Site) -> None:
        here.journal.write(Swapping(SWAP))
        world.living.discard(OLD)
        raise KeyError(plan.who * 3)

    process._live(plan, Secrets(), store, world, fails, lambda said: None)
    gc.collect()
    lines = journal.read(store.journal(LATER))
    (unfinished,) = told(lines[-1:], Unfinished)
    assert unfinished.why.startswith("a defect ended the run: KeyError in ")
    assert "annannann" not in Path(store.journal(LATER)).read_text()


def test_a_rollback_that_failed_and_could_not_be_recorded_has_no_end_yet(
    store: Store, world: World, unwatched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = site(store, world, action="rollback")
    monkeypatch.setattr(rollout, "_enter", lambda *arguments: "the record could not be written: no space")
    assert rollout._failed(here, [SWAP], "queue 1 failed its watch", "queue") is None
    (unfinished,) = told(journal.read(store.journal(RUN))[-1:], Unfinished)
    assert unfinished.why.endswith("; the record could not be written: no space")
