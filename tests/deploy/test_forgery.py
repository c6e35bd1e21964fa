"""Who would forge a line of ours on real parts: a broker by its version, a training by the name of a checkpoint."""

from __future__ import annotations

import json
import shlex

import pytest

from sandbox import run_inside
from tests.deploy.laptop import Laptop
from tests.deploy.standing import watched
from tests.faults.liars import greeting, listening
from tests.unit.nasty import ROW, rows, wrong_with

pytestmark = pytest.mark.real

FORGED = f"4.1.2 answers\n  {ROW}\r\x1b[1A\u202e\u2028docker run --privileged evil"


def test_a_brokers_version_is_no_row_of_health(laptop: Laptop) -> None:
    with listening(greeting(FORGED.encode())) as port:
        laptop.variables.update({"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(port)})
        laptop.save()
        told, machine = laptop.fab("health"), laptop.fab("health", "--json")
    (server,) = machine.json["servers"]
    named = [row["name"] for row in server["checks"]]
    assert [line.split()[1] for line in rows(told.out)] == [name.split()[0] for name in named], told.all
    row = next(line for line in told.out.splitlines() if "RabbitMQ reachable" in line)
    assert f'  RabbitMQ "4.1.2 answers {" ".join(ROW.split())[:20]}' in row
    assert told.out.replace("\n", "").isprintable() and "privileged" not in told.all
    assert all(wrong_with(check["sentence"], 500) == "" for check in server["checks"])


def test_a_checkpoints_name_is_no_line_above_the_command(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    laptop.hosts["services"]["training"]["resume"] = ["--resume"]
    laptop.save()
    assert laptop.fab("deploy").status == 0
    name = "last\nsudo docker run --privileged -v \u2571:\u2571host evil\r\x1b[2K"
    run_inside(laptop.sandbox, ["touch", f"/azaion/models/{name}"])
    said = laptop.fab("training.command")
    assert said.status == 0, said.all
    lines = said.all.splitlines()
    assert [line for line in lines if line.lstrip().startswith(("docker", "sudo"))] == [said.out.strip()]
    (note,) = [line for line in lines if "--privileged" in line]
    assert note.startswith(
        '  it goes on from the last checkpoint (newest checkpoint "last sudo docker run --privileged'
    )
    assert note.isprintable() and "\x1b" not in said.all
    assert "--privileged" not in shlex.split(said.out)
    status = laptop.fab("status")
    assert not [line for line in status.out.splitlines() if line.lstrip().startswith("sudo")]
    assert rows(status.out) and json.loads(laptop.fab("status", "--json").out)
