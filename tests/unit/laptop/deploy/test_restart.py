"""Restarts and stops: what is planned, and what is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.commands import status
from gpu_runbook.laptop.deploy import journal_text, restart
from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inventory.model import Consumer
from gpu_runbook.protocol.check import WARNING, Check
from gpu_runbook.protocol.journal import Restarted, Restarting, Stopping
from gpu_runbook.protocol.pause import IntendedStop
from gpu_runbook.protocol.plan import Plan
from tests.unit.scene import QUEUE, SECOND, TRAINING, Scene, bare, occupant, order

STOP = IntendedStop("ann", "2026-04-20T10:00:00.123Z", "the broker is moved")


def planned(scene: Scene, change: str = "restart", reason: str = "") -> Plan:
    (service,) = scene.only(QUEUE)
    assert isinstance(service, Consumer)
    return restart.operation_plan(scene.inventory, scene.resolved, service, scene.look, order(), change, reason)


def test_a_restart_keeps_container_release_and_policy_and_puts_no_config_anywhere(scene: Scene) -> None:
    plan = planned(scene)
    (step,) = plan.consumers
    assert (plan.action, plan.release, plan.leaves, plan.batches) == ("restart", "r2", "r2", ())
    assert (step.change, step.container, step.restart, step.config) == (
        *("restart", f"{QUEUE}-r2", "unless-stopped", None),
    )
    assert step.tag == "tag-r2"


def test_a_stop_has_its_reason(scene: Scene) -> None:
    plan = planned(scene, "stop", "why not")
    assert (plan.action, plan.consumers[0].change, plan.consumers[0].reason) == ("stop", "stop", "why not")


def test_one_that_was_stopped_gets_the_policy_of_the_record_back(scene: Scene) -> None:
    still = occupant(scene, QUEUE, "r1", running=False)
    assert planned(scene.seeing(occupants={QUEUE: (still,)}).with_record(current="r1")).consumers[0].restart == "always"
    stray = dataclasses.replace(still, container="f" * 64, restart="on-failure:3")
    assert planned(scene.seeing(occupants={QUEUE: (stray,)})).consumers[0].restart == "on-failure:3"


def test_what_cannot_be_restarted_is_refused(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(Refused, match="gpu-1: annotation-queue has no container; nothing was changed"):
        planned(bare(tmp_path / "bare"))
    foreign = occupant(scene, QUEUE, "r2", ours=False, container="f" * 64)
    with pytest.raises(Refused, match="was not made by this tool"):
        planned(scene.seeing(occupants={QUEUE: (foreign,)}))
    two = (occupant(scene, QUEUE, "r2"), occupant(scene, QUEUE, "r1"))
    with pytest.raises(Refused, match="several containers hold the place"):
        planned(scene.seeing(occupants={QUEUE: two}))


def test_only_one_consumer_is_taken(scene: Scene) -> None:
    assert restart.consumer(scene.only(QUEUE), "stop").name == QUEUE
    with pytest.raises(BadInput, match="fab stop touches consumers only, and training is none"):
        restart.consumer(scene.only(TRAINING), "stop")
    with pytest.raises(BadInput, match="one consumer at a time"):
        restart.consumer(scene.only(QUEUE, SECOND), "restart")


def test_status_says_that_a_stop_was_meant_as_long_as_nobody_has_started_it(scene: Scene) -> None:
    row = Check(f"{QUEUE} container", "critical", "it is exited", hint="see docker logs")
    still = occupant(scene, QUEUE, "r2", running=False)
    stopped = scene.seeing(occupants={QUEUE: (still,)}, stopped={QUEUE: STOP}, rows=(row,)).look
    lines = [text for text, _ in status.lines("gpu-1", stopped, scene.only(QUEUE))]
    said = "stopped by ann at 2026-04-20 10:00 UTC, on purpose (the broker is moved)"
    assert any(line.startswith(f"  {QUEUE}: ") and said in line for line in lines)
    (found,) = status.rows(stopped)
    assert (found.level, found.sentence, found.hint) == (WARNING, said, f"fab restart {QUEUE} starts it")
    result: Any = status.as_result("gpu-1", stopped, scene.only(QUEUE))
    assert result["services"][QUEUE]["stopped"]["who"] == "ann"
    assert result["rows"][0]["level"] == WARNING
    running = scene.seeing(stopped={QUEUE: STOP}, rows=(row,)).look
    assert not any("on purpose" in text for text, _ in status.lines("gpu-1", running, scene.only(QUEUE)))
    assert status.rows(running) == [row]
    assert status.as_result("gpu-1", running, scene.only(QUEUE))["services"][QUEUE]["stopped"] is None


def test_the_lines_of_its_journal_are_sentences() -> None:
    container = "c" * 64
    assert journal_text.sentence(Stopping("q", container, 30)) == "q: stopping it (it has 30 s)"
    restarting = Restarting("q", container, 30)
    assert journal_text.sentence(restarting) == "q: stopping it (it has 30 s), then starting it"
    assert journal_text.sentence(Stopping("q", container, 0)) is None  # it does not run
    restarted = Restarted("q", container, 7, 0.5, 137)
    assert journal_text.sentence(restarted) == "q: started; it was down for 0.50 s, next offset 7"
