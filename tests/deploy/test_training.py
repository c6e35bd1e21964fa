"""A training run goes on through whatever is done to the consumers beside it."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import run_inside
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import standing, watched
from tests.real import ROOT, docker, epochs, inspected, published, started_training, training_image

pytestmark = pytest.mark.real

SECOND = "second-queue"


def alive(laptop: Laptop, training: str) -> list[Any]:
    """What must never change of a training run."""
    found = inspected(laptop.sandbox, training)
    state = [found["State"][key] for key in ("Running", "StartedAt", "Pid")]
    return [*state, found["Name"], found["Image"], found["RestartCount"], found["HostConfig"]["RestartPolicy"]]


def epoch(laptop: Laptop) -> int:
    """The last epoch that the training run has saved."""
    return epochs(laptop.sandbox)


def image_id(laptop: Laptop, name: str) -> str:
    return docker(laptop.sandbox, "image", "inspect", "--format", "{{.Id}}", name)


def digest(laptop: Laptop, image: str) -> str:
    """The beginning of the digest under which the registry knows an image."""
    known = docker(laptop.sandbox, "image", "inspect", "--format", "{{index .RepoDigests 0}}", image)
    return known.partition("@")[2][:19]


def test_a_training_run_goes_on_through_deploys_a_failure_and_a_rollback(laptop: Laptop) -> None:
    training = started_training(laptop.sandbox)
    before, first = alive(laptop, training), epoch(laptop)
    current = training_image(laptop.sandbox, "current")
    watched(laptop, settle=1, window=2)
    assert laptop.fab("deploy").status == 0
    old = image_id(laptop, current)
    moved = laptop.fab("deploy", "--tag", f"{QUEUE}=1.1,training=2.0")
    assert moved.status == 0, moved.all
    assert "training 1.0 → 2.0: for the next run only; training runs on untouched" in moved.out
    new = image_id(laptop, current)
    assert new != old == inspected(laptop.sandbox, training)["Image"]
    watched(laptop, settle=1, window=60)  # it may take its time until it ends
    failed = laptop.fab("deploy", "--tag", f"{QUEUE}=bad-exits,training=1.0")
    assert (failed.status, image_id(laptop, current)) == (13, new), failed.all
    status = laptop.fab("status").out
    assert f"training: training running for {status.split('training running for ')[1].split(' from ')[0]}" in status
    assert f"from 1.0 ({digest(laptop, old)}); the next run starts from 2.0 ({digest(laptop, new)})" in status
    watched(laptop, settle=1, window=2)
    back = laptop.fab("rollback")
    assert (back.status, image_id(laptop, current)) == (0, old), back.all
    assert alive(laptop, training) == before
    wait_until(lambda: epoch(laptop) > first + 1, 20, "training run (its next epoch)")


def test_two_consumers_swap_in_order_and_one_failure_takes_both_back(laptop: Laptop) -> None:
    run_inside(laptop.sandbox, ["mkdir", "--mode=2770", f"{ROOT}/second"], user="deploy")
    laptop.hosts["services"][SECOND] = laptop.queue | {
        "mounts": [f"{ROOT}/second:{ROOT}"],
        "config": laptop.queue["config"] | {"path": f"{ROOT}/second/config.yaml"},
        "offset": laptop.queue["offset"] | {"file": f"{ROOT}/second/offset.yaml"},
    }
    laptop.save()
    published(laptop.sandbox, 100)
    both = ("--service", f"{SECOND},{QUEUE}")
    done = laptop.fab("deploy", *both)
    assert done.status == 0, done.all
    assert done.out.index(f"{QUEUE}: starting") < done.out.index(f"{SECOND}: starting")
    before = [standing(laptop.sandbox), standing(laptop.sandbox, SECOND, f"{ROOT}/second/config.yaml")]
    for service in (QUEUE, SECOND):
        laptop.hosts["services"][service]["watch"] |= {"window": 60}  # it may take its time until it ends
    laptop.save()
    failed = laptop.fab("deploy", *both, "--tag", f"{QUEUE}=1.1,{SECOND}=bad-exits")
    assert failed.status == 13, failed.all
    assert f"{SECOND} bad-exits failed its watch" in failed.err
    assert f"the previous {QUEUE} and {SECOND} is back" in failed.err
    assert [standing(laptop.sandbox), standing(laptop.sandbox, SECOND, f"{ROOT}/second/config.yaml")] == before
