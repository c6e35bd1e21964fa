"""A swap that fails: what runs then, whose offsets are said and kept, and what goes of all that was staged for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gpu_runbook.protocol.journal import HandledOffsets
from gpu_runbook.protocol.swap import ConfigSwap
from gpu_runbook.server.run import rollout, swap
from gpu_runbook.server.run.swap import back
from gpu_runbook.server.state.store import Store
from tests.unit.world import NEW, OLD, SWAP, World, docker, exchanged, site


def test_a_swap_whose_new_one_cannot_start_is_undone_at_once(store: Store, world: World) -> None:
    world.faults[NEW] = "invalid mount config"
    end = exchanged(site(store, world))
    assert end and end.outcome == "rolled-back"
    assert world.runs(OLD) and world.policies[OLD] == "always" and world.names[OLD] == "queue"
    assert world.now < 3.0


def test_an_old_one_that_does_not_start_is_seen_and_said(store: Store, world: World) -> None:
    """Its fault outlasts any patience: there is an end, and a deploy may go on at once."""
    world.faults |= {NEW: "no such device", OLD: "no such file or directory"}
    end = exchanged(site(store, world))
    assert end and end.outcome == "needs-person"
    said = f"the one it replaced ({OLD[:12]}) does not start: docker start failed: no such file or directory"
    assert end.sentence.endswith(f"; and it could not be undone: queue: {said}")
    assert world.policies[OLD] == "always" and world.names[OLD] == "queue"


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
