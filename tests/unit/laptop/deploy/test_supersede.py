"""fab deploy --supersede: an unfinished run is closed for a deploy that can go ahead, and for no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.laptop.deploy import snapshot, workflow
from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.check import CRITICAL, OK, Check
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.snapshot import Snapshot
from tests.hostile.forms import RUN
from tests.unit import scene

CUT_OFF = RunState(RUN, "cut-off", "deploy", "ann", "2026-04-20T10:11:12.123Z", "swap")
SESSION: Any = SimpleNamespace(host=SimpleNamespace(name="gpu-1"))


@pytest.fixture
def closings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that a server was asked to close."""
    told: list[str] = []

    def closed(session: Any, inventory: Any, host: Any, who: str, run: str, reason: str, deploys: bool) -> list[str]:
        told.append(run)
        return [f"run {run} was closed"]

    monkeypatch.setattr(workflow, "closed", closed)
    return told


def look(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *rows: Check, dry_run: bool = False, run: str = RUN
) -> Snapshot:
    """What `workflow.looked` gives for a deploy that names the run, where a server has these rows."""
    seen = scene.bare(folder).seeing(run=CUT_OFF, rows=rows)
    looks = iter([seen.look, dataclasses.replace(seen.look, run=dataclasses.replace(CUT_OFF, state="ended"))])
    monkeypatch.setattr(snapshot, "look", lambda *given: next(looks))
    job = workflow.Job(seen.inventory, seen.resolved, seen.services, scene.order(supersede=run), dry_run)
    return workflow.looked(SESSION, job, Screen(), {})


def test_it_is_closed_where_nothing_holds_the_deploy_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closings: list[str]
) -> None:
    found = look(monkeypatch, tmp_path, Check("root", OK, "it is there"))
    assert closings == [RUN] and found.run is not None and found.run.state == "ended"


def test_a_row_that_holds_the_deploy_back_leaves_the_run_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closings: list[str]
) -> None:
    with pytest.raises(Refused, match="nothing was changed: root: it is gone"):
        look(monkeypatch, tmp_path, Check("root", CRITICAL, "it is gone"))
    assert closings == []


def test_a_dry_run_closes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closings: list[str]) -> None:
    assert look(monkeypatch, tmp_path, dry_run=True).run is None
    assert closings == []


def test_another_run_is_not_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closings: list[str]) -> None:
    with pytest.raises(BadInput, match="no run 20260420-101112-beef waits there for its end"):
        look(monkeypatch, tmp_path, run="20260420-101112-beef")
    assert closings == []
