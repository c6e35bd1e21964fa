"""fab training.command on real parts: what it prints, pasted into a shell on the server, starts a training run."""

from __future__ import annotations

import re

import pytest

from gpu_runbook.laptop.errors import BadInput, Refused
from sandbox import run_inside
from sandbox.machine import wait_until
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import QUEUE, Laptop, Said
from tests.deploy.refused import passwords, refused, shown
from tests.deploy.standing import watched
from tests.real import docker, inspected, server_snapshot, training_image

pytestmark = pytest.mark.real

COMMAND = "training.command"


def printed(laptop: Laptop, *words: str) -> Said:
    """What the command prints, which starts nothing and shows no secret."""
    before = set(server_snapshot(laptop.sandbox).containers)
    said = laptop.fab(COMMAND, *words)
    assert said.status == 0, said.all
    assert set(server_snapshot(laptop.sandbox).containers) == before
    assert shown(passwords(laptop), said.all) == []
    assert len(said.out.splitlines()) == 1
    return said


def pasted(laptop: Laptop, line: str) -> None:
    """Run a line in a shell on the server, as the person who logs in there."""
    run_inside(laptop.sandbox, ["sh", "-ec", line], user=LOGIN_USER)


def saved(laptop: Laptop) -> bool:
    return "saved" in docker(laptop.sandbox, "logs", "training")


def test_what_is_printed_starts_the_next_run_and_the_one_after_it_goes_on(laptop: Laptop) -> None:
    training = laptop.hosts["services"]["training"]
    training |= {
        "label": "team=vision",
        "resume": ["--resume", "{checkpoint}", "it's here"],
        "environment": {"NOTE": 'a "$HOME"', "AUGMENTATION": "0"},
        "shm_size": "96m",
        "ulimits": {"core": 0},
        "options": {"pids-limit": 200},
    }
    watched(laptop, settle=0, window=1)
    assert laptop.fab("deploy").status == 0
    said = printed(laptop)
    assert "it begins anew (no checkpoint in /azaion/models)" in said.err
    pasted(laptop, said.out)
    (status,) = laptop.fab("status", "--json").json["servers"]
    seen = status["services"]["training"]
    (run,) = seen["runs"]
    assert (run["name"], run["image"], run["restart"]) == ("training", seen["next_image"], "no")
    assert f"is 1.0 ({seen['images'][run['image']]['image'].partition('@')[2][:19]})" in said.err
    row = next(row for row in status["rows"] if row["name"] == "training")
    assert row["figures"]["active"][0]["gpus"], row
    made = inspected(laptop.sandbox, "training")["HostConfig"]
    assert (made["ShmSize"] >> 20, made["Ulimits"][0]["Soft"], made["PidsLimit"]) == (96, 0, 200)
    found = inspected(laptop.sandbox, "training")["Config"]
    assert (found["Labels"]["team"], 'NOTE=a "$HOME"' in found["Env"]) == ("vision", True)
    wait_until(lambda: saved(laptop), 20, "training run (its first epoch)")

    assert laptop.fab("deploy", "--tag", f"{QUEUE}=1.0,training=2.0").status == 0
    busy = printed(laptop)
    assert "training runs already, for " in busy.err
    docker(laptop.sandbox, "stop", "--time", "1", "training")
    after = printed(laptop)
    ended = (
        r"""/azaion/training:current python3 -u /app/training\.py --resume (\S+/weights/last\.pt) 'it'"'"'s here'\n"""
    )
    assert re.search(f"{ended}$", after.out), after.out
    assert 'it goes on from the last checkpoint (newest checkpoint "azaion-' in after.err
    rename = next(line for line in after.err.splitlines() if "docker rename" in line)
    pasted(laptop, rename.partition("ended: ")[2].partition(" keeps it")[0])
    pasted(laptop, after.out)
    next_image = docker(
        laptop.sandbox, "image", "inspect", "--format", "{{.Id}}", training_image(laptop.sandbox, "current")
    )
    assert inspected(laptop.sandbox, "training")["Image"] == next_image != run["image"]
    wait_until(lambda: saved(laptop), 20, "training run (its next epoch)")
    assert "training from epoch 1\n" not in docker(laptop.sandbox, "logs", "training")
    assert printed(laptop, "--fresh").out.endswith(":current\n")


def test_what_cannot_be_said_is_one_sentence(laptop: Laptop) -> None:
    assert "names no image yet" in refused(laptop, Refused, COMMAND).err
    refused(laptop, BadInput, COMMAND, "--service", QUEUE)
    refused(laptop, BadInput, COMMAND, "--resume", "--fresh")
