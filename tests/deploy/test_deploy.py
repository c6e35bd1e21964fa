"""A deploy that goes well: what it stops, what it leaves alone, and what it says."""

from __future__ import annotations

import time

import pytest

from sandbox import finish, start_publishing
from tests.deploy.laptop import QUEUE, Laptop
from tests.real import (
    inspected,
    lost_and_twice,
    messages,
    overlap,
    published,
    running_intervals,
    wait_for_annotations,
)

pytestmark = pytest.mark.real


def test_a_first_deploy_starts_the_consumer_and_proves_it(laptop: Laptop) -> None:
    expected = published(laptop.sandbox, 200)
    said = laptop.fab("deploy", "--json")
    assert said.status == 0, said.all
    [server] = said.json["servers"]
    assert (server["outcome"], server["verdict"]) == ("done", "proven")
    container = inspected(laptop.sandbox, QUEUE)
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert lost_and_twice(wait_for_annotations(laptop.sandbox, 200), expected) == ([], [])


def test_a_second_deploy_under_load_loses_nothing_and_never_runs_two(laptop: Laptop) -> None:
    begun = time.time()
    producer = start_publishing(laptop.sandbox, 10_000, rate=600)
    laptop.deployed("--tag", "1.0")
    wait_for_annotations(laptop.sandbox, 1)
    first = inspected(laptop.sandbox, QUEUE)["Id"]
    laptop.deployed("--tag", "1.1")
    second = inspected(laptop.sandbox, QUEUE)["Id"]
    assert finish(producer) == 10_000
    late = published(laptop.sandbox, 20, first=10_001)  # the second one handles something, however late it came
    lines = wait_for_annotations(laptop.sandbox, 10_020, seconds=60)
    assert lost_and_twice(lines, [*messages(10_000), *late]) == ([], [])
    assert {entry.container for entry in lines} == {first[:12], second[:12]}
    ran = running_intervals(laptop.sandbox, begun)
    assert len(ran[first]) == len(ran[second]) == 1
    assert not overlap(ran[first], ran[second])
