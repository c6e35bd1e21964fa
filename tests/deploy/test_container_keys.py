"""Docker's own options of a service on a real engine: what it makes of them, and that they go with their release."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import wait_for_offset, watched
from tests.real import docker, inspected, published

pytestmark = pytest.mark.real

KEYS: dict[str, Any] = {
    "entrypoint": ["python3", "-u"],
    "command": ["/app/consumer.py"],
    "working_dir": "/srv",
    "init": True,
    "shm_size": "96m",
    "ipc": "shareable",
    "ulimits": {"nofile": "1024:2048", "core": 0},
    "cpus": 1.5,
    "extra_hosts": {"db.lan": "10.0.0.5"},
    "devices": ["/dev/null:/dev/nothing:r"],
    "tmpfs": ["/scratch:size=8m,mode=1777"],
    "group_add": [44],
    "cap_add": ["NET_ADMIN"],
    "security_opt": ["no-new-privileges"],
    "log_driver": "local",
    "log_options": {"compress": False},
    "options": {"pids-limit": 200, "dns": ["10.0.0.1", "10.0.0.2"], "oom-score-adj": 100},
}


def made(laptop: Laptop) -> dict[str, Any]:
    """What the engine has of a consumer's container, by key."""
    found = inspected(laptop.sandbox, QUEUE)
    host, config = found["HostConfig"], found["Config"]
    return {
        "entrypoint": config["Entrypoint"],
        "command": config["Cmd"],
        "working_dir": config["WorkingDir"],
        "init": host.get("Init"),
        "shm_size": host["ShmSize"] >> 20,
        "ipc": host["IpcMode"],
        "ulimits": {one["Name"]: (one["Soft"], one["Hard"]) for one in host["Ulimits"] or ()},
        "cpus": host["NanoCpus"] / 1e9,
        "extra_hosts": host["ExtraHosts"],
        "devices": [(one["PathInContainer"], one["CgroupPermissions"]) for one in host["Devices"] or ()],
        "tmpfs": host.get("Tmpfs"),
        "group_add": host["GroupAdd"],
        "cap_add": host["CapAdd"],
        "security_opt": host["SecurityOpt"],
        "log": host["LogConfig"],
        "options": (host["PidsLimit"], host["Dns"], host["OomScoreAdj"]),
        "mounts": sorted((one["Type"], one["Destination"], one["RW"]) for one in found["Mounts"]),
    }


def test_a_container_is_as_its_keys_say_and_a_rollback_brings_back_what_was_before(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=8)
    published(laptop.sandbox, 20)
    laptop.deployed()
    before = made(laptop)
    mounts = laptop.queue["mounts"]
    laptop.queue.update(KEYS | {"mounts": [*mounts, "/azaion/models:/models:ro,z", "cache:/cache"]})
    laptop.save()
    published(laptop.sandbox, 10)
    said = laptop.deployed("--dry-run")
    assert "options none -> --entrypoint=python3 --workdir=/srv --init=true --shm-size=96m" in said.out
    laptop.deployed()
    wait_for_offset(laptop.sandbox, 30)
    assert made(laptop) == {
        "entrypoint": ["python3"],
        "command": ["-u", "/app/consumer.py"],
        "working_dir": "/srv",
        "init": True,
        "shm_size": 96,
        "ipc": "shareable",
        "ulimits": {"nofile": (1024, 2048), "core": (0, 0)},
        "cpus": 1.5,
        "extra_hosts": ["db.lan:10.0.0.5"],
        "devices": [("/dev/nothing", "r")],
        "tmpfs": {"/scratch": "size=8m,mode=1777"},
        "group_add": ["44"],
        "cap_add": ["NET_ADMIN"],
        "security_opt": ["no-new-privileges"],
        "log": {"Type": "local", "Config": {"compress": "false", "max-file": "3", "max-size": "10m"}},
        "options": (200, ["10.0.0.1", "10.0.0.2"], 100),
        "mounts": sorted([*before["mounts"], ("bind", "/models", False), ("volume", "/cache", True)]),
    }
    assert laptop.fab("logs", QUEUE, "--tail", "1").out  # whoever asks can read it with this driver as well
    there = inspected(laptop.sandbox, QUEUE)["Id"]
    assert "up to date, nothing was stopped" in laptop.deployed().out
    assert inspected(laptop.sandbox, QUEUE)["Id"] == there
    assert docker(laptop.sandbox, "exec", QUEUE, "sh", "-c", "echo x > /scratch/x && ulimit -n").strip() == "1024"
    assert laptop.fab("rollback").status == 0
    assert made(laptop) == before
