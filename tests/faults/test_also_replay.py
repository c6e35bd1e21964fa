"""A rollback that is to read messages again and is cut off: its offset is brought forward again, or all of it holds."""

from __future__ import annotations

import pytest

from tests.deploy.laptop import QUEUE, finished
from tests.deploy.standing import wait_for_offset
from tests.faults import shim
from tests.faults.deaths import DEATHS
from tests.faults.shim import Point
from tests.faults.story import Stage
from tests.real import ROOT, inspected, lost_and_twice, messages, offset, published, server_snapshot, written

pytestmark = pytest.mark.real

BATCH = 40


def handled(stage: Stage) -> None:
    """One more batch is published and handled."""
    published(stage.sandbox, BATCH, first=stage.published + 1)
    stage.published += BATCH
    wait_for_offset(stage.sandbox, stage.published)


@pytest.mark.parametrize(
    ("point", "again"),
    [
        (Point("after", 4), False),  # the old one is stopped, the offset stands where it was
        (Point("before", 5), False),  # the offset is put back, nothing reads yet
        (Point("after", 5), True),  # the other one reads
    ],
    ids=str,
)
def test_cut_off_it_is_undone_with_its_offset_or_finished(stage: Stage, point: Point, again: bool) -> None:
    sandbox = stage.sandbox
    handled(stage)
    stage.laptop.deployed("--force", "--tag", stage.next_tag())
    handled(stage)
    bad, good = stage.tags
    shim.arm(sandbox, point)
    with stage.laptop.start("rollback", "--replay") as laptop:
        came = shim.wait_for_point(sandbox, point, lambda: laptop.poll() is not None)
        assert came, finished(laptop).all
        DEATHS["process and children"].strike(sandbox, laptop)
        shim.let_go(sandbox)
        finished(laptop)
    said = stage.laptop.fab("deploy", "--service", QUEUE, "--tag", good if again else bad)
    assert said.status == 0, said.all
    wait_for_offset(sandbox, stage.published)
    assert inspected(sandbox, QUEUE)["State"]["Running"]
    lost, twice = lost_and_twice(written(sandbox), messages(stage.published))
    expected = messages(BATCH, first=stage.published - BATCH + 1) if again else []
    assert lost == []
    assert sorted(set(twice) & set(messages(2 * BATCH, first=stage.published - 2 * BATCH + 1))) == expected
    assert offset(sandbox) == stage.published
    assert not [path for path in server_snapshot(sandbox).tree if path.startswith(f"{ROOT}/.offset")]
