"""The server's plug is pulled in the middle of a swap, of a watch and of an undoing: never two, and nothing is lost."""

from __future__ import annotations

import time

import pytest

from sandbox import docker_events, finish, reboot, run_inside, start_publishing
from tests.deploy.laptop import QUEUE, finished
from tests.faults import shim, witness
from tests.faults.deaths import DEATHS, UNSAVED
from tests.faults.shim import Point
from tests.faults.story import PATIENCE, RATE, Stage, make_ready, play
from tests.real import ROOT

pytestmark = pytest.mark.real

DEPLOY = ("deploy", "--service", QUEUE, "--force", "--tag")
LOAD = 400  # messages

# The calls of a deploy: create, update, rename, rename, stop, start, update; of its undoing then: update, stop, rename,
# rename, start, update.
BETWEEN_STOP_AND_START = Point("after", 5)
IN_THE_WATCH = Point("at line", 14)
COMES_BACK_BY_ITSELF = Point("before", 8)  # the bad one still has its restart policy, the old one has none
NOBODY_COMES_BACK = Point("after", 12)  # the old one runs again, and has no restart policy yet


@pytest.mark.parametrize("point", [BETWEEN_STOP_AND_START, IN_THE_WATCH], ids=["swap", "watch"])
def test_a_reboot_in_a_deploy_leaves_one_consumer_and_loses_nothing(stage: Stage, point: Point) -> None:
    make_ready(stage)
    played = play(stage, "deploy", point, DEATHS["reboot"])
    assert played.came, "the run never came to that point"
    assert played.wrong == ()


@pytest.mark.parametrize("point", [COMES_BACK_BY_ITSELF, NOBODY_COMES_BACK], ids=["before", "after"])
def test_a_reboot_in_the_undoing_of_a_bad_release_leaves_one_consumer_and_loses_nothing(
    stage: Stage, point: Point
) -> None:
    make_ready(stage)
    sandbox, begun, first = stage.sandbox, time.time(), stage.published + 1
    # A consumer appends: what earlier tests have written need not be counted again.
    run_inside(sandbox, ["truncate", "--size=0", f"{ROOT}/annotations.log"])
    before = witness.look(sandbox, begun)
    producer = start_publishing(sandbox, LOAD, RATE, first)
    shim.arm(sandbox, point)
    with stage.laptop.start(*DEPLOY, "bad-exits") as laptop:
        assert shim.wait_for_point(sandbox, point, lambda: laptop.poll() is not None)
        # An engine that dies forgets what happened: it is asked before.
        events = [*docker_events(sandbox, begun), {"Action": witness.ENGINE_DIED}]
        until = time.time()
        reboot(sandbox, lambda text: None)
        shim.let_go(sandbox)
        assert finished(laptop).status in (14, 16)
    stage.laptop.deployed("--force", "--tag", stage.next_tag())
    assert finish(producer) == LOAD
    stage.published += LOAD
    seen = witness.look(sandbox, until)
    deadline = time.monotonic() + PATIENCE
    while witness.lost_and_repeated(seen, first, LOAD)[0] and time.monotonic() < deadline:
        time.sleep(0.3)
        seen = witness.look(sandbox, until)
    lost, repeated = witness.lost_and_repeated(seen, first, LOAD)
    assert list(witness.never_two(before.running, [*events, *seen.events])) == []
    assert list(witness.not_whole(before, seen)) == []
    assert lost == 0
    assert repeated <= UNSAVED
