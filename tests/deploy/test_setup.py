"""fab setup: the tree and the registry's login, made where this login may, told where it may not, and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox import Sandbox, run_inside
from tests.deploy.laptop import Laptop, Said
from tests.real import ROOT, STATE, as_it_was, server_snapshot, started_training

pytestmark = pytest.mark.real

TREE = {
    ".": {"owner": "1000:1000", "mode": "0755"},
    "models": {"owner": "1000:1000", "mode": "0750"},
    "queue/spool": {"owner": "1000:1000", "mode": "2770"},
    f"{ROOT}/scratch": {},
}


def docker_config(sandbox: Sandbox) -> dict[str, Any]:
    text = run_inside(sandbox, ["cat", "/home/deploy/.docker/config.json"], check=False).stdout
    found: dict[str, Any] = json.loads(text or "{}")
    return found


def modes(sandbox: Sandbox) -> dict[str, list[Any]]:
    return {path: what[:3] for path, what in server_snapshot(sandbox).tree.items()}


def tree_row(laptop: Laptop) -> dict[str, Any]:
    said = laptop.fab("preflight", "--json")
    found: dict[str, Any] = {row["name"]: row for row in said.json["servers"][0]["rows"]}["tree"]
    return found


def test_what_is_missing_is_made_once_and_nothing_else_is_touched(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.hosts["tree"] = TREE
    laptop.save()
    as_it_was(sandbox)
    row = tree_row(laptop)
    assert (row["level"], row["hint"]) == ("critical", "fab setup")
    assert "has mode 0755 instead of 0750" in row["sentence"] and f"{ROOT}/scratch is missing" in row["sentence"]
    before = server_snapshot(sandbox)
    dry = laptop.fab("setup", "--dry-run")
    assert dry.status == 0 and server_snapshot(sandbox) == before and not docker_config(sandbox), dry.all
    assert f"would run: install -d -m 2770 -o 1000 -g 1000 {ROOT}/queue/spool" in dry.out

    made = laptop.fab("setup", "--json")
    assert made.status == 0, made.all
    (server,) = made.json["servers"]
    assert (server["outcome"], server["left"]) == ("done", [])
    assert server["done"] == [line.split(": ", 1)[1] for line in dry.out.splitlines() if "would run: " in line]
    assert {row["name"]: row["level"] for row in server["rows"]} == dict.fromkeys(
        (
            *("docker", "docker command", "python", "root", "state", "sessions", "tree", "NVIDIA driver"),
            "docker GPU support",
        ),
        "ok",
    )
    found = modes(sandbox)
    assert found[f"{ROOT}/models"] == ["drwxr-x---", 1000, 1000]
    assert found[f"{ROOT}/queue/spool"] == ["drwxrws---", 1000, 1000]
    assert found[f"{ROOT}/queue"] == found[f"{ROOT}/scratch"] == ["drwxr-xr-x", 1000, 1000]
    assert found[STATE] == ["drwx------", 1000, 1000]
    after = server_snapshot(sandbox)
    new = {f"{ROOT}/queue", f"{ROOT}/scratch", f"{ROOT}/models", STATE}
    old = {path: what for path, what in before.tree.items() if path != f"{ROOT}/models"}
    assert {path: what for path, what in after.tree.items() if path in old} == old
    assert {path for path in after.tree if path not in before.tree} <= {
        path for path in after.tree if any(path.startswith(one) for one in new)
    }
    assert sandbox.registry in docker_config(sandbox)["auths"]
    run_inside(sandbox, ["docker", "pull", "--quiet", f"{sandbox.registry}/azaion/training:1.0"], user="deploy")

    again = laptop.fab("setup")
    assert (again.status, "gpu-1: everything is there" in again.out, "done: " in again.out) == (0, True, False), (
        again.all
    )
    assert server_snapshot(sandbox).tree == after.tree
    assert laptop.variables["REGISTRY_PASSWORD"] not in made.all + again.all + dry.all


def test_what_takes_root_is_told_with_its_command_and_a_training_is_left_alone(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    training = started_training(sandbox)
    before = server_snapshot(sandbox).containers[training]
    laptop.hosts["tree"] = {
        "/srv/data": {"owner": "1000:1000"},
        "models": {"owner": "0:0"},
        "data": {"mode": "0700"},
        "offset.yaml": {},
    }
    run_inside(sandbox, ["touch", f"{ROOT}/offset.yaml"], user="deploy")
    laptop.save()
    said = laptop.fab("setup")
    assert said.status == 14, said.all
    assert "gpu-1: 3 things need root: " in said.err
    commands = [
        f"chown 0:0 {ROOT}/models",
        f"mv {ROOT}/offset.yaml {ROOT}/offset.yaml.old",
        "install -d -m 0755 -o 1000 -g 1000 /srv/data",
    ]
    assert f"as root: {' && '.join(commands)}; then run it again" in said.err, said.err
    assert modes(sandbox)[f"{ROOT}/data"][0] == "drwx------"  # what it may do is done all the same
    run_inside(sandbox, ["sh", "-ec", " && ".join(commands)])
    assert tree_row(laptop)["sentence"] == f"{ROOT}/offset.yaml is missing"
    assert laptop.fab("setup").status == 0
    assert server_snapshot(sandbox).containers[training] == before


def test_a_refused_login_is_one_sentence_and_changes_nothing(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.hosts["tree"] = TREE
    right = laptop.variables["REGISTRY_PASSWORD"]
    laptop.variables["REGISTRY_PASSWORD"] = "not-the-password"
    laptop.save()
    before = server_snapshot(sandbox)
    said = laptop.fab("setup")
    assert (said.status, "refused the login of deployer; nothing was changed" in said.err) == (12, True), said.all
    assert "not-the-password" not in said.all
    assert server_snapshot(sandbox) == before and not docker_config(sandbox).get("auths")

    laptop.variables["REGISTRY_PASSWORD"] = ""
    laptop.save()
    said = laptop.fab("setup")
    assert (said.status, "REGISTRY_PASSWORD has no value" in said.err) == (10, True), said.all

    laptop.variables["REGISTRY_PASSWORD"] = right
    laptop.hosts["registry"]["server"] = "127.0.0.1:1"  # nobody is there: the directories are made all the same
    laptop.save()
    unreachable(laptop.fab("setup"))
    assert f"{ROOT}/scratch" in modes(sandbox)

    del laptop.hosts["registry"]["username"]
    laptop.save()
    said = laptop.fab("setup")
    assert (said.status, "everything is there" in said.out) == (0, True), said.all


def unreachable(said: Said) -> None:
    assert said.status == 14, said.all
    assert "1 thing needs a person: the login to 127.0.0.1:1 failed: " in said.err
    assert "check that the registry runs and that the server reaches it; then run it again" in said.err
