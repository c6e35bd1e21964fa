"""Somebody at the server does things by hand between the look and the run, and while the run is under way."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest

from sandbox import set_line
from tests.deploy.laptop import QUEUE, Said, finished
from tests.deploy.standing import runs
from tests.deploy.test_runs import wait_for_line
from tests.faults import shim, whole
from tests.faults.deaths import DEATHS
from tests.faults.shim import Point
from tests.faults.story import Stage
from tests.real import ROOT, consumer_image, docker, inspected, published, server_snapshot

pytestmark = pytest.mark.real

FORCED = ("deploy", "--service", QUEUE, "--force", "--tag")

Hand = Callable[[Stage], object]


def by_hand(*words: str) -> Hand:
    return lambda stage: docker(stage.laptop.sandbox, *words)


def replaced(stage: Stage) -> None:
    docker(stage.laptop.sandbox, "rm", "--force", QUEUE)
    made(stage, "run", "--detach")


def made(stage: Stage, *how: str) -> str:
    """A container of the queue's name that was made by hand: one that waits, and reads nothing."""
    image = consumer_image(stage.laptop.sandbox, "bad-idle-stubborn")
    return docker(stage.laptop.sandbox, *how, f"--name={QUEUE}", f"--volume={ROOT}:{ROOT}", image)


def deploy(stage: Stage) -> None:
    stage.laptop.deployed("--force", "--tag", stage.next_tag())


def replaced_back(stage: Stage) -> None:
    docker(stage.laptop.sandbox, "rm", "--force", QUEUE)
    deploy(stage)


def start_previous(stage: Stage) -> None:
    """Two run from then on, by the hand of whoever did it."""
    docker(stage.laptop.sandbox, "start", *previous(stage)[:1])


def stop_previous(stage: Stage) -> None:
    words = ("ps", "--format={{.Names}}", f"--filter=name=^{QUEUE}[.]")
    docker(stage.laptop.sandbox, "stop", *docker(stage.laptop.sandbox, *words).split())


def previous(stage: Stage) -> list[str]:
    """The names of the containers of ours that are not in force, newest first."""
    words = ["ps", "--all", "--format={{.Names}}", f"--filter=name=^{QUEUE}[.]", "--filter=status=exited"]
    return docker(stage.laptop.sandbox, *words).splitlines()


def between_look_and_run(stage: Stage, hand: Hand) -> Said:
    """A deploy whose laptop sleeps after the look, before the run has reached the server, while the hand is at work."""
    sandbox, number = stage.laptop.sandbox, runs(stage.laptop.sandbox)
    set_line(sandbox, rtt=300)  # time to stop the laptop between its words and its deeds
    with stage.laptop.start(*FORCED, stage.next_tag()) as laptop:
        wait_for_line(laptop, "deploy under way")
        laptop.send_signal(signal.SIGSTOP)
        try:
            set_line(sandbox)
            hand(stage)
            assert runs(sandbox) == number, "the run has begun before the hand was at work"
        finally:
            laptop.send_signal(signal.SIGCONT)
        return finished(laptop)


def whole_again(stage: Stage) -> list[str]:
    """A deploy brings everything in order, and nothing is lost."""
    before = whole.before(stage)
    stage.laptop.deployed("--force", "--tag", stage.next_tag())
    published(stage.laptop.sandbox, 20, first=stage.published + 1)
    stage.published += 20
    return whole.wrong(stage, before)


ONE = rf'"?{QUEUE}(\.[\w-]+)?"? \(\w{{12}}, running\)'


@pytest.mark.parametrize(
    ("hand", "now", "repair"),
    [
        (by_hand("rm", "--force", QUEUE), "no such container", deploy),
        (by_hand("stop", QUEUE), rf"{QUEUE} \(\w{{12}}, stopped\)", by_hand("start", QUEUE)),
        (replaced, ONE, replaced_back),
        (start_previous, f"{ONE} and {ONE}", stop_previous),
    ],
    ids=["removed", "stopped", "replaced", "started"],
)
def test_what_was_changed_by_hand_since_the_look_is_named_and_left_alone(
    stage: Stage, hand: Hand, now: str, repair: Hand
) -> None:
    found = []
    if not previous(stage):
        deploy(stage)

    def at_work(stage: Stage) -> None:
        hand(stage)
        found.append(server_snapshot(stage.laptop.sandbox).containers)

    said = between_look_and_run(stage, at_work)
    assert server_snapshot(stage.laptop.sandbox).containers == found[0]
    repair(stage)
    sentence = rf"gpu-1: somebody changed {QUEUE} since the look: now there is {now}; nothing was changed"
    assert said.status == 12, said.all
    assert re.fullmatch(rf"{sentence}\nlook at fab status and run it again\n", said.err), said.err


def test_one_that_was_only_renamed_since_the_look_is_replaced_all_the_same(stage: Stage) -> None:
    before = whole.before(stage)
    said = between_look_and_run(stage, by_hand("rename", QUEUE, "elsewhere"))
    assert said.status == 0, said.all
    assert whole.wrong(stage, before) == []


def halted(stage: Stage, tag: str, number: int, hand: Hand) -> Said:
    """A deploy that is halted after its nth call of docker while the hand is at work."""
    sandbox = stage.laptop.sandbox
    shim.arm(sandbox, point := Point("after", number))
    with stage.laptop.start(*FORCED, tag) as laptop:
        assert shim.wait_for_point(sandbox, point, lambda: laptop.poll() is not None)
        hand(stage)
        shim.let_go(sandbox)
        return finished(laptop)


def test_one_that_is_removed_by_hand_before_it_could_come_back_is_said(stage: Stage) -> None:
    sandbox = stage.laptop.sandbox
    old = inspected(sandbox, QUEUE)["Id"][:12]
    said = halted(stage, "bad-exits", 7, by_hand("rm", old))
    assert said.status == 14, said.all
    assert f"; and it could not be undone: {QUEUE}: the one it replaced ({old}) was removed meanwhile\n" in said.err
    assert "fab deploy puts a release in its place" in said.err
    assert docker(sandbox, "ps", "--quiet", "--filter=label=gpu-runbook.service") == ""
    assert whole_again(stage) == []


@pytest.mark.parametrize("how", [("create",), ("run", "--detach")], ids=["made", "started"])
def test_a_name_that_is_taken_by_hand_in_the_middle_of_a_swap_is_said_and_the_old_one_works_on(
    stage: Stage, how: tuple[str, ...]
) -> None:
    sandbox = stage.laptop.sandbox
    old = inspected(sandbox, QUEUE)
    said = halted(stage, stage.next_tag(), 3, lambda stage: made(stage, *how))  # the old one has left its name
    other = inspected(sandbox, QUEUE)["Id"][:12]
    assert said.status == 14, said.all
    assert f"; and it could not be undone: {QUEUE}: somebody made another {QUEUE} ({other}) meanwhile\n" in said.err
    found = inspected(sandbox, old["Id"])
    assert found["State"]["StartedAt"] == old["State"]["StartedAt"]
    assert (found["State"]["Running"], found["HostConfig"]["RestartPolicy"]["Name"]) == (True, "unless-stopped")
    docker(sandbox, "rm", "--force", other)
    assert whole_again(stage) == []


def test_a_run_that_was_cut_off_and_cannot_be_undone_for_good_does_not_stand_in_the_way_for_ever(stage: Stage) -> None:
    sandbox = stage.laptop.sandbox
    old = inspected(sandbox, QUEUE)["Id"][:12]
    shim.arm(sandbox, point := Point("after", 5))
    with stage.laptop.start(*FORCED, stage.next_tag()) as laptop:
        assert shim.wait_for_point(sandbox, point, lambda: laptop.poll() is not None)
        docker(sandbox, "rm", old)
        DEATHS["process and children"].strike(sandbox, laptop)
        shim.let_go(sandbox)
        assert finished(laptop).status == 14
    said = stage.laptop.deployed("--force", "--tag", stage.next_tag())
    assert f"not all of it could be undone: the one it replaced ({old}) was removed meanwhile" in said.out
    assert whole_again(stage) == []
