"""Several servers: one that gives no answer hides no other, and ends a command that changes something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gpu_runbook.laptop.errors import CannotConnect
from sandbox import run_inside
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import runs
from tests.real import published

pytestmark = pytest.mark.real

GONE = "gpu-0"
ODD_PYTHON = r"""#!/bin/sh
printf '\036{"answer": {}}\n'
cat > /dev/null
"""


@pytest.fixture
def fleet(laptop: Laptop) -> Laptop:
    """A server at whose port nobody listens, and after it one that is there and was deployed to."""
    published(laptop.sandbox, 100)
    laptop.deployed()
    there = laptop.hosts["hosts"]
    laptop.hosts["hosts"] = {GONE: laptop.host | {"port": laptop.sandbox.port_base}, **there}
    laptop.save()
    return laptop


def servers(laptop: Laptop, words: Sequence[str]) -> dict[str, Any]:
    said = laptop.fab(*words, "--json")
    assert said.status == CannotConnect.exit_code, said.all
    return {one["server"]: one for one in said.json["servers"]}


ASKING = (
    ("status",),
    ("history",),
    ("show",),
    ("logs", "--tail", "5"),
    ("diff",),
    ("preflight",),
    ("schedule.show",),
    ("health", "--since", "1h"),
)


def test_whoever_asks_hears_every_server_that_answers(fleet: Laptop) -> None:
    for words in ASKING:
        said = fleet.fab(*words)
        assert said.status == CannotConnect.exit_code, said.all
        assert f"{GONE}: " in said.err and "1 of 2 servers gave no answer" in said.err, said.all
        assert "gpu-1" in said.all and "Traceback" not in said.all, said.all
        told = servers(fleet, words)
        assert (told[GONE]["outcome"], told[GONE]["exit_status"]) == ("cannot-connect", 11), words
        assert "outcome" not in told["gpu-1"] and len(told["gpu-1"]) > 1, words


def test_one_whose_health_is_no_answer_hides_no_other(fleet: Laptop) -> None:
    odd = "/usr/local/bin/odd-python"
    run_inside(fleet.sandbox, ["tee", odd], input=ODD_PYTHON)
    run_inside(fleet.sandbox, ["chmod", "755", odd])
    try:
        known = fleet.folder / "known_hosts"
        known.write_text(fleet.sandbox.known_hosts.read_text().replace("127.0.0.1", "localhost"))
        other = {"address": "localhost", "known_hosts": str(known), "python": odd}
        fleet.hosts["hosts"][GONE] = fleet.host | other
        fleet.save()
        said = fleet.fab("health")
        assert said.status == CannotConnect.exit_code, said.all
        assert "the health report is not what it should be" in said.err and "gpu-1 is " in said.all, said.all
        told = servers(fleet, ("health",))
        assert (told[GONE]["outcome"], told[GONE]["exit_status"]) == ("defect", 17)
        assert told["gpu-1"]["checks"] and told["gpu-1"]["level"]
    finally:
        run_inside(fleet.sandbox, ["rm", odd])


def test_a_monitoring_system_is_told_of_all_in_one_line(fleet: Laptop) -> None:
    said = fleet.fab("health", "--plugin")
    first, *rows = said.out.splitlines()
    assert (said.status, said.err) == (3, ""), said.all
    assert first.startswith("GPU-RUNBOOK UNKNOWN - 1 unknown, ") and f": {GONE}: connection: " in first, first
    assert " | 'gpu-1 disk_used /" in first and f"'gpu-1 offset {QUEUE}'=" in first, first
    assert rows[0].startswith(f"unknown: {GONE}: connection: ") and len(rows) > 4
    alone = fleet.fab("health", "--plugin", "--hosts", GONE)
    assert (alone.status, alone.err, alone.out.count("\n")) == (3, "", 1), alone.all


def test_of_one_server_alone_its_own_error_is_said_once(fleet: Laptop) -> None:
    said = fleet.fab("status", "--hosts", GONE)
    assert (said.status, said.out.count("gave no answer"), said.err.count(GONE)) == (11, 0, 1), said.all


def test_where_something_is_changed_the_first_failure_ends_it(fleet: Laptop) -> None:
    before = runs(fleet.sandbox)
    for words in (("pause", "--for", "1h"), ("restart", QUEUE), ("schedule.install",), ("prune",), ("setup",)):
        told = servers(fleet, words)
        assert set(told) == {GONE} and told[GONE]["outcome"] == "cannot-connect", words
    assert runs(fleet.sandbox) == before
    assert "paused" not in fleet.fab("status", "--hosts", "gpu-1").out
