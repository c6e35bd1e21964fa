"""A few cases of each death and of each kind of run: the rest of the matrix is `make faults`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gpu_runbook.laptop.errors import Refused
from sandbox import run_inside
from tests.deploy.refused import says_no
from tests.faults import disk, witness
from tests.faults.helpers import COMMAND, ROUND
from tests.faults.matrix import ALL
from tests.faults.shim import Point
from tests.faults.story import UNDONE, Stage, make_ready, play
from tests.real import STATE, published, wait_for_annotations

pytestmark = pytest.mark.real

SPARE = f"{STATE}/spare"

# The calls of a deploy: create, update, rename, rename, stop, start, update. A rollback creates nothing. Undoing takes
# update, stop, rename, rename, start, update.
CASES = [
    ("deploy", Point("before", 6), "laptop", COMMAND),
    ("deploy", Point("at line", 1), "reset", COMMAND),
    ("rollback", Point("before", 4), "black hole", COMMAND),
    ("deploy", Point("after", 3), "process", COMMAND),
    ("deploy", Point("at line", 9), "process", COMMAND),
    ("rollback", Point("before", 4), "process", ROUND),
    ("deploy", Point("after", 5), "process and children", COMMAND),
    ("deploy", Point("after", 5), "process and children", ROUND),
    (UNDONE, Point("before", 12), "process and children", ROUND),
    ("rollback", Point("at line", 5), "process and children", COMMAND),
    ("deploy", Point("at sync", 10), "process and children", COMMAND),  # of the record
    ("deploy", Point("before", 6), "engine", COMMAND),
    ("deploy", Point("after", 6), "reboot", COMMAND),
    ("deploy", Point("before", 6), "reboot", ROUND),
    ("first deploy", Point("before", 3), "process", COMMAND),
    ("deploy", Point("after", 5), "disk full", COMMAND),
    ("deploy", Point("after", 5), "disk full", ROUND),
    ("deploy", Point("before", 6), "no inode left", COMMAND),
    ("rollback", Point("before", 1), "disk stays full", COMMAND),
    ("deploy", Point("at line", 1), "disk stays full", COMMAND),
]


@pytest.mark.parametrize(("action", "point", "death", "helper"), CASES, ids=lambda value: str(value))
def test_whatever_dies_the_server_ends_in_one_piece(
    stage: Stage, action: str, point: Point, death: str, helper: str
) -> None:
    make_ready(stage, ALL[death].ground)
    played = play(stage, action, point, ALL[death], helper)
    assert played.came, "the run never came to that point"
    assert played.wrong == ()
    assert played.helped or helper == COMMAND, "it ended by itself, and the round had nothing to do"


@contextmanager
def full(stage: Stage, greedy: bool) -> Iterator[None]:
    filler = disk.fill(stage.sandbox, greedy)
    try:
        yield
    finally:
        disk.make_room(stage.sandbox, filler)


def kept_aside(stage: Stage) -> int:
    """The bytes that the room kept aside takes up; 0 once it was given up."""
    said = run_inside(stage.sandbox, ["du", "--block-size=1", SPARE], check=False).stdout
    return int(said.split()[0]) if said else 0


def test_a_rollback_needs_no_free_disk(stage: Stage) -> None:
    make_ready(stage, disk.OWN)
    for _ in range(2):  # the one before is that of this test, whatever others have gone back from
        stage.laptop.deployed("--force", "--tag", stage.next_tag())
    assert kept_aside(stage) >= 1 << 20
    before = witness.look(stage.sandbox, time.time())
    with full(stage, greedy=False):
        said = stage.laptop.fab("rollback")
        assert said.status == 0, said.all
        seen = witness.look(stage.sandbox, time.time())
        assert list(witness.not_whole(before, seen)) == []
        assert (seen.record["current"], seen.cut_off) == (before.record["releases"][1]["id"], [])
    assert kept_aside(stage) == 0
    published(stage.sandbox, 100)
    wait_for_annotations(stage.sandbox, 100)
    stage.laptop.deployed("--force", "--tag", stage.next_tag())
    assert kept_aside(stage) >= 1 << 20


def test_where_somebody_else_takes_every_byte_that_is_freed_it_is_refused_in_a_sentence(stage: Stage) -> None:
    make_ready(stage, disk.OWN)
    stage.laptop.deployed("--force", "--tag", stage.next_tag())
    before = witness.look(stage.sandbox, time.time())
    with full(stage, greedy=True):
        said = says_no(stage.laptop, Refused, "rollback")
        assert re.search("is full|No space left on device", said.err) and "nothing was changed" in said.err
        assert "Errno" not in said.all
    seen = witness.look(stage.sandbox, time.time())
    assert (seen.containers, seen.record, seen.digests) == (before.containers, before.record, before.digests)
    assert list(witness.not_whole(before, seen)) == []
