"""A run that was cut off in its swap or after it: what whoever takes it up makes of it, and what its journal says."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.common.clock import moment
from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import Command, Restarting, Swapping, Unfinished, as_line, encoded, told
from gpu_runbook.server.queue import stream
from gpu_runbook.server.run import release
from gpu_runbook.server.run.swap import forward
from gpu_runbook.server.run.unfinished import unobeyed
from gpu_runbook.server.state import journal
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.world import NEW, OLD, STEP, SWAP, World, exchanged, recovered, site


@pytest.mark.parametrize(
    ("ill", "undone"),
    [
        ("restarting", "queue ended again and again"),
        ("started again a moment ago", "queue ended again and again"),
        ("started again an hour ago", ""),
        ("unhealthy", "queue: its HEALTHCHECK says unhealthy"),
    ],
)
def test_a_run_that_was_cut_off_after_its_swap_is_undone_where_its_watch_would_have_failed(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch, ill: str, undone: str
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
    elif ill == "unhealthy":
        world.unhealthy.add(NEW)
    else:
        world.restarts[NEW] = 3
    (sentence,) = recovered(store, world)
    cut = f"run {RUN} was cut off after its swap"
    if not undone:
        assert sentence == f"{cut}: release {RUN} is in force, unproven"
        assert world.runs(NEW) and world.names[NEW] == "queue"
        return
    assert sentence == f"{cut}, {undone} and was undone: the server is as it was before"
    assert world.runs(OLD) and not world.runs(NEW) and world.names[OLD] == "queue"
    assert undone in (Path(store.release(RUN)) / "failed.json").read_text()


@pytest.mark.parametrize("away", [True, False])
def test_while_the_broker_is_away_a_loop_is_no_fault_of_the_new_one(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    """As after a power cut of the whole room: it ends until the broker is there, and the old one would as well."""

    def greet(address: StreamAddress) -> bytes:
        if away:
            raise stream.StreamError("refused", f"{address.host}:{address.port} refuses connections")
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
