"""Who holds a service's place: somebody else's container, nobody, or one of ours."""

from __future__ import annotations

import pytest

from sandbox import run_inside
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import standing, wait_for_offset, watched
from tests.real import (
    ROOT,
    docker,
    inspected,
    lost_and_twice,
    published,
    server_snapshot,
    started_consumer,
    wait_for_annotations,
)

pytestmark = pytest.mark.real


def test_a_foreign_container_is_refused_adopted_and_brought_back(laptop: Laptop) -> None:
    expected = published(laptop.sandbox, 100)
    foreign = started_consumer(laptop.sandbox, "1.0")
    docker(laptop.sandbox, "update", "--restart", "on-failure:5", foreign)
    wait_for_offset(laptop.sandbox, 100)
    before, kept = server_snapshot(laptop.sandbox), standing(laptop.sandbox)
    refused = laptop.fab("deploy", "--service", QUEUE, "--tag", "1.1")
    assert refused.status == 12, refused.all
    assert f"({QUEUE}, {foreign[:12]}, " in refused.err
    assert "--adopt" in refused.err
    assert server_snapshot(laptop.sandbox) == before

    watched(laptop, settle=1, window=2)
    laptop.deployed("--tag", "1.1", "--adopt")
    assert not inspected(laptop.sandbox, foreign)["State"]["Running"]
    back = laptop.fab("rollback")
    assert back.status == 0, back.all
    assert standing(laptop.sandbox) == kept

    laptop.deployed("--tag", "1.1")
    assert inspected(laptop.sandbox, QUEUE)["Id"] != foreign
    expected += published(laptop.sandbox, 100, first=101)
    assert lost_and_twice(wait_for_annotations(laptop.sandbox, 200), expected) == ([], [])


def test_a_foreign_container_that_is_stopped_holds_its_place_too(laptop: Laptop) -> None:
    foreign = started_consumer(laptop.sandbox, "1.0")
    wait_for_offset(laptop.sandbox, 0)
    docker(laptop.sandbox, "stop", foreign)
    before, kept = server_snapshot(laptop.sandbox), standing(laptop.sandbox)
    refused = laptop.fab("deploy", "--service", QUEUE)
    assert (refused.status, server_snapshot(laptop.sandbox)) == (12, before), refused.all
    assert "stopped" in refused.err
    watched(laptop, settle=1, window=60)  # it may take its time until it ends
    failed = laptop.fab("deploy", "--service", QUEUE, "--adopt", "--tag", "bad-exits")
    assert failed.status == 13, failed.all
    assert standing(laptop.sandbox) == kept


def test_a_config_that_could_not_be_given_back_to_its_owner_is_refused(laptop: Laptop) -> None:
    run_inside(laptop.sandbox, ["tee", f"{ROOT}/config.yaml"], input="made: by hand\n")
    before = server_snapshot(laptop.sandbox)
    refused = laptop.fab("deploy", "--service", QUEUE)
    assert (refused.status, server_snapshot(laptop.sandbox)) == (12, before), refused.all
    assert f"{ROOT}/config.yaml belongs to 0:2000, and this login could not put it back as it was" in refused.err
