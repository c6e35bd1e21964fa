"""The ids of runs: they sort, they never grow, and no clock that is off keeps the next run from having one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_runbook.common.run_id import following
from gpu_runbook.laptop.deploy.plan import deploy_plan
from gpu_runbook.laptop.deploy.restart import operation_plan
from gpu_runbook.laptop.deploy.rollback_plan import rollback_plan
from gpu_runbook.protocol.forms import RunId, has
from gpu_runbook.protocol.journal import End, JournalEvent
from gpu_runbook.server.state import journal, new_run
from gpu_runbook.server.state.new_run import new_id
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import GROWN, RUN
from tests.unit.journals import begin, left
from tests.unit.scene import bare, deployed, order

NOW = "2026-04-20T10:11:12.345Z"
LENGTH = len(RUN)


def begun(store: Store, at: str, monkeypatch: pytest.MonkeyPatch, *events: JournalEvent) -> str:
    """A run that begins on the server at a time of its clock."""
    for module in (journal, new_run):
        monkeypatch.setattr(module, "now", lambda: at)
    run = new_id(store)
    left(store, run, *events)
    return run


def test_ids_sort_by_the_clock_of_the_server_and_two_laptops_have_two() -> None:
    found = {following(NOW, "") for _ in range(50)}
    assert len(found) > 1
    assert {run[:16] for run in found} == {"20260420-101112-"}
    assert all(has(RunId, run) for run in found)
    assert max(found) < following("2026-04-20T10:11:13.000Z", max(found))


def test_two_of_one_second_sort_and_have_one_length() -> None:
    last = following(NOW, "")
    for _ in range(500):
        last, before = following(NOW, last), last
        assert last > before and len(last) == LENGTH and has(RunId, last)


@pytest.mark.parametrize("last", [f"20270420-101112-{digits}" for digits in ("0000", "ffff")])
def test_while_the_clock_lies_behind_the_last_id_the_next_one_takes_the_second_after_it(last: str) -> None:
    assert following(NOW, last)[:-4] == "20270420-101113-"


@pytest.mark.parametrize(
    ("last", "after"),
    [
        ("20261231-235959-ffff", "20270101-000000-"),
        ("20280228-235959-0000", "20280229-000000-"),
        ("20260420-235959-0000", "20260421-000000-"),
    ],
)
def test_a_second_later_is_a_time_as_well(last: str, after: str) -> None:
    assert following(NOW, last)[:-4] == after


def test_what_an_earlier_version_let_grow_is_left_as_it_is_and_grows_no_more() -> None:
    assert has(RunId, GROWN)
    after = following(NOW, GROWN)
    assert after > GROWN and len(after) == LENGTH
    ahead = GROWN.replace("20260420", "20270420")
    assert following(NOW, ahead)[:-4] == "20270420-101113-"


def test_a_clock_that_is_right_again_is_gone_by() -> None:
    last = "20270420-101112-ffff"
    for _ in range(100):
        last = following(NOW, last)
    assert last[:16] == "20270420-101252-"
    assert following("2027-04-20T10:12:53.000Z", last)[:16] == "20270420-101253-"


@pytest.mark.parametrize("last", ["99991231-235959-ffff", "99999999-999999-0000", "20260231-000000-0000"])
def test_behind_the_end_of_all_time_an_id_is_that_of_the_clock(last: str) -> None:
    assert following(NOW, last)[:-4] == "20260420-101112-"


def test_a_run_on_the_server_sorts_behind_the_newest_whatever_became_of_that(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begun(store, NOW, monkeypatch, begin(RUN))  # cut off: the last one, for whoever asks how it is
    second = begun(store, "2027-04-20T10:11:12.345Z", monkeypatch, begin(RUN), End("refused", "it was refused"))
    last = journal.last(store)
    assert last is not None and last.id == first
    third = begun(store, NOW, monkeypatch, begin(RUN), End("done", "it was done"))
    assert third[:-4] == "20270420-101113-"
    assert journal.runs(store) == [first, second, third]


@pytest.mark.parametrize("action", ["deploy", "rollback", "restart"])
def test_every_laptop_takes_the_same_way(tmp_path: Path, action: str) -> None:

    scene = deployed(tmp_path, "r2", "r1").seeing(newest="20270420-101112-ffff")
    (service,) = scene.only("annotation-queue")
    made = (scene.inventory, scene.resolved, [service], scene.look, order())
    if action == "restart":
        plan = operation_plan(scene.inventory, scene.resolved, service, scene.look, order(), "restart", "")
    else:
        plan = (deploy_plan if action == "deploy" else rollback_plan)(*made)
    assert plan.id[:-4] == "20270420-101113-" and len(plan.id) == LENGTH
    assert plan.release == (plan.id if action == "deploy" else "r1" if action == "rollback" else "r2")


def test_a_first_run_is_of_the_time_of_its_look(tmp_path: Path) -> None:

    scene = bare(tmp_path)
    plan = deploy_plan(scene.inventory, scene.resolved, scene.services, scene.look, order())
    assert plan.id.startswith("20260420-101112-")
