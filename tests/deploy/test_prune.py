"""fab prune on real parts: what it lists is what goes, and nothing of a training run, whatever its state or labels."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gpu_runbook.laptop.errors import BadInput, Refused
from sandbox import Sandbox, run_inside
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop, finished
from tests.deploy.refused import refused, says_no
from tests.deploy.standing import watched
from tests.deploy.test_recovery import halting, kill_run_and_command, there
from tests.real import (
    STATE,
    consumer_image,
    docker,
    exists,
    inspected,
    logged_in,
    server_snapshot,
    started_training,
    training_image,
)

pytestmark = pytest.mark.real

RECORD = f"{STATE}/previous-tags.json"
MARKS = ("gpu-runbook.service", "gpu-runbook.release")


@pytest.fixture
def hasty(laptop: Laptop) -> Laptop:
    """A laptop that waits for no proof."""
    watched(laptop, settle=0, window=1)
    return laptop


def deployed(laptop: Laptop, *tags: str) -> list[str]:
    """Deploy both services once for each tag; the releases, oldest first."""
    trained = {"1.0": "1.0"}  # the others bring training of a later version
    words = [f"{QUEUE}={tag},training={trained.get(tag, '2.0')}" for tag in tags]
    said = [laptop.fab("deploy", "--tag", word, "--json") for word in words]
    return [str(one.json["servers"][0]["release"]) for one in said]


def alive(sandbox: Sandbox, names: list[str]) -> list[Any]:
    """What must never change of containers that are not ours."""
    found = [inspected(sandbox, name) for name in names]
    return [(one["Id"], one["Image"], one["State"]) for one in found]


def present(sandbox: Sandbox) -> set[str]:
    """The ids of all images."""
    return set(docker(sandbox, "images", "--quiet", "--no-trunc", "--all").split())


def trainings(sandbox: Sandbox, old: str) -> list[str]:
    """Training containers in every state, from old images of ours; one made from an image that has our labels."""
    started_training(sandbox, "1.0", "training")
    docker(sandbox, "create", "--name=next-run", training_image(sandbox, "1.0"))
    docker(sandbox, "run", "--name=last-run", "--entrypoint=/bin/true", consumer_image(sandbox, "1.0"))
    labels = [f"--change=LABEL {mark}={value}" for mark, value in zip(MARKS, (QUEUE, old), strict=True)]
    docker(sandbox, "commit", *labels, f"{QUEUE}.{old}", "team/inherits:1")
    docker(sandbox, "run", "--name=inherits", "--entrypoint=/bin/true", "team/inherits:1")
    return ["training", "next-run", "last-run", "inherits"]


def test_what_is_listed_goes_and_what_somebody_needs_stays(hasty: Laptop) -> None:
    sandbox = hasty.sandbox
    first, second, third = deployed(hasty, "1.0", "1.1", "2.0")
    logged_in(sandbox)
    watched(hasty, settle=1, window=6)
    assert hasty.fab("deploy", "--service", QUEUE, "--tag", "bad-exits").status == 13
    by_hand = trainings(sandbox, first)
    before, others = server_snapshot(sandbox), alive(sandbox, by_hand)
    kept = {inspected(sandbox, name)["Image"] for name in (QUEUE, f"{QUEUE}.{second}", *by_hand)}

    dry = hasty.fab("prune", "--keep", "2", "--dry-run", "--json")
    assert dry.status == 0, dry.all
    assert server_snapshot(sandbox).containers == before.containers
    assert (server_snapshot(sandbox).images, run_inside(sandbox, ["cat", RECORD]).stdout.count(first) > 0) == (
        *(before.images, True),
    )
    things = dry.json["servers"][0]["things"]
    assert [thing["kind"] for thing in things] == ["release", "container"]
    said = hasty.fab("prune", "--keep", "2", "--json")
    assert said.status == 0, said.all
    [server] = said.json["servers"]
    assert [{**thing, "removed": False} for thing in server["things"]] == things
    assert all(thing["removed"] for thing in server["things"]) and server["notes"] == []
    assert not exists(sandbox, f"{QUEUE}.{first}") and exists(sandbox, f"{QUEUE}.{second}")
    assert alive(sandbox, by_hand) == others
    assert kept <= present(sandbox)
    assert [entry["id"] for entry in json.loads(run_inside(sandbox, ["cat", RECORD]).stdout)["releases"]] == [
        *(third, second),
    ]
    assert "nothing to remove; the newest 2 releases stay" in hasty.fab("prune", "--keep", "2").out

    docker(sandbox, "rm", "last-run", "inherits")  # now nothing was made of the oldest consumer any more
    old = hasty.fab("prune", "--keep", "2")
    assert old.status == 0, old.all
    assert f"{sandbox.registry}/azaion/annotation-queue@sha256:" in old.out
    assert re.search(r"removed 1 of 1 thing; [^;]+ are free again; /\S* [0-9]+ % full \([^)]+ left\)", old.out), old.out
    assert alive(sandbox, by_hand[:2]) == others[:2]
    watched(hasty, settle=0, window=1)
    assert hasty.fab("rollback").status == 0
    past = hasty.fab("history", "--json").json["servers"][0]["runs"]
    assert [run["action"] for run in past[:3]] == ["rollback", "prune", "prune"]


def test_bad_input_and_a_damaged_record_remove_nothing(hasty: Laptop) -> None:
    sandbox = hasty.sandbox
    hasty.deployed("--tag", "1.0")
    for keep in ("1", "0", "few", ""):
        refused(hasty, BadInput, "prune", "--keep", keep)
    whole = run_inside(sandbox, ["cat", RECORD]).stdout
    run_inside(sandbox, ["tee", RECORD], input=whole.replace('"who"', '"whose"', 1))
    assert "is damaged: " in refused(hasty, Refused, "prune").err


def test_one_that_is_cut_is_gone_on_with_and_two_at_once_are_one(hasty: Laptop) -> None:
    sandbox = hasty.sandbox
    for tag in ("1.0", "1.1"):
        hasty.deployed("--tag", tag)
    for word, tag in (("rm", "2.0"), ("rmi", "1.0")):
        hasty.deployed("--tag", tag)
        third, second, first = (one["id"] for one in hasty.fab("status", "--json").json["servers"][0]["releases"])
        with halting(sandbox, word), hasty.start("prune", "--keep", "2") as pruning:
            wait_until(lambda: there(sandbox, "/tmp/halted"), 20, f"docker {word}")
            if word == "rmi":
                assert "is at step begin" in says_no(hasty, Refused, "prune", "--keep", "2").err
            kill_run_and_command(sandbox)
            assert finished(pruning).status != 0
        assert "was cut off at step begin" in hasty.fab("status").out
        again = hasty.fab("prune", "--keep", "2")
        assert again.status == 0, again.all
        assert "was cut off while it removed things; the next fab prune goes on" in again.out
        # Of a release that is forgotten, and younger than an hour: somebody may be about to look at it.
        assert exists(sandbox, f"{QUEUE}.{first}") == (word == "rm")
        assert exists(sandbox, f"{QUEUE}.{second}") and inspected(sandbox, QUEUE)["State"]["Running"]
        assert f"release {third}" in hasty.fab("status").out
