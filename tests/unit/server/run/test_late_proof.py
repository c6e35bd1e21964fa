"""A release that its watch could not prove is proven later by what it has done, and by nothing that is not known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, WARNING, Check
from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.journal import Swapped
from gpu_runbook.protocol.plan import Occupant, Spec
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.protocol.snapshot import Snapshot, Wanted
from gpu_runbook.server.run.late_proof import proven
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.journals import left

BEFORE = "20260419-101112-abcd"
IMAGE, ID, OLD = f"sha256:{'0' * 64}", "b" * 64, "a" * 64


def placed(container: str, at: int | None) -> Placed:
    return Placed("consumer", "1", IMAGE, IMAGE, container, Spec(IMAGE), restart="always", offset_at_swap=at)


def releases(at: int | None, follows: bool) -> Record:
    new = Release(RUN, "2026-04-20T10:11:12.000Z", "ann", "unproven", {"queue": placed(ID, at)})
    old = Release(BEFORE, "2026-04-19T10:11:12.000Z", "ann", "proven", {"queue": placed(OLD, 0)})
    return Record(RUN, (new, old) if follows else (new,))


def found(
    store: Store,
    at: int | None = 100,
    now: int = 150,
    level: str = OK,
    follows: bool = True,
    known: Record | None = None,
    health: str = "",
    with_offset: bool = True,
    **more: Any,
) -> str:
    """How the release stands after a look at a server on which its consumer has come as far as `now`."""
    known = known or releases(at, follows)
    record.save(store, known)
    (Path(store.root) / "offset.yaml").write_text(f"offset: {now}\n")
    rows = (
        Check("queue container", level, "as it is", {"health": health}),
        Check("queue offset", OK, "moving", {"first": 0}),
    )
    holder = Occupant(ID, "queue", IMAGE, True, "2026-04-20T10:11:12Z", "always", True)
    look = Snapshot("gpu-1", "2026-04-20T10:12:12Z", "ann", rows, known, occupants={"queue": (holder,)})
    file = OffsetFile(f"{store.root}/offset.yaml") if with_offset else None
    wanted = Wanted("queue", "consumer", offset=file)
    after = proven(store, dataclasses.replace(look, **more), [wanted])
    kept, damaged = record.load(store)
    assert not damaged and kept == after.record
    return after.record.releases[0].outcome


def test_one_that_has_moved_on_is_proven(store: Store) -> None:
    assert found(store) == "proven"


@pytest.mark.parametrize("now", [100, 99])
def test_one_that_has_not_moved_is_not(store: Store, now: int) -> None:
    assert found(store, now=now) == "unproven"


@pytest.mark.parametrize("level", [CRITICAL, WARNING])
def test_one_that_the_engine_starts_again_and_again_proves_nothing(store: Store, level: str) -> None:
    assert found(store, level=level) == "unproven"
    assert found(store, rows=()) == "unproven"


def test_one_whose_log_says_that_it_fails_proves_nothing(store: Store) -> None:
    well = Check("queue container", OK, "as it is", {"health": ""})
    says = Check("queue log", WARNING, "1 of its last 20 lines say that it failed")
    assert found(store, rows=(well, says)) == "unproven"
    assert found(store, rows=(well, dataclasses.replace(says, level=OK))) == "proven"


def test_where_it_is_not_known_where_it_began_nothing_is_proven(store: Store) -> None:
    """As where no copy of the offset file could be kept: what its predecessor has done would prove it."""
    assert found(store, at=None) == "unproven"


def test_what_a_later_release_has_done_proves_no_earlier_one_that_was_gone_back_to(
    store: Store,
) -> None:
    """Where no copy of the offset file could be kept at the rollback: the stream's first message is not its first."""
    left = Release("20260421-101112-abcd", "2026-04-21T10:11:12.000Z", "ann", "proven", {"queue": placed(OLD, 0)})
    known = releases(None, follows=False)
    assert found(store, known=known) == "proven"
    assert found(store, known=dataclasses.replace(known, releases=(*known.releases, left))) == "unproven"


def test_the_first_one_began_with_the_first_message(store: Store) -> None:
    assert found(store, at=None, follows=False) == "proven"


def test_the_journal_knows_better_than_the_record(store: Store) -> None:
    left(store, RUN, Swapped("queue", ID, 150))
    assert found(store, now=150) == "unproven"
    assert found(store, now=151) == "proven"


def test_another_container_in_its_place_proves_nothing(store: Store) -> None:
    other = Occupant(OLD, "queue", IMAGE, True, "2026-04-20T10:11:12Z", "always", True)
    assert found(store, occupants={"queue": (other,)}) == "unproven"


@pytest.mark.parametrize(
    ("health", "with_offset", "outcome"),
    [
        ("healthy", True, "proven"),
        ("starting", True, "unproven"),
        ("healthy", False, "proven"),
        ("starting", False, "unproven"),
        ("", False, "unproven"),
    ],
)
def test_a_health_check_is_waited_for_and_proves_what_has_no_offset(
    store: Store, health: str, with_offset: bool, outcome: str
) -> None:
    assert found(store, health=health, with_offset=with_offset) == outcome


def test_a_health_check_of_one_that_is_not_well_proves_nothing(store: Store) -> None:
    assert found(store, level=WARNING, health="healthy", with_offset=False) == "unproven"
