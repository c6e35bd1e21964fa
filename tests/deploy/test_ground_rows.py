"""The rows about the GPUs and the training: what the driver and docker say, and what runs, since when, from what."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import Sandbox, kill, run_inside, set_gpu, start, stop
from sandbox.machine import wait_until
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import Laptop
from tests.real import (
    ROOT,
    docker,
    inspected,
    live_restore,
    logged_in,
    server_snapshot,
    started_training,
    training_image,
)

pytestmark = pytest.mark.real

HOOK = "/usr/local/sbin/nvidia-container-runtime-hook"
ROWS = ("NVIDIA driver", "docker GPU support", "training")


def rows(laptop: Laptop) -> dict[str, dict[str, Any]]:
    said = laptop.fab("preflight", "--json")
    found = {row["name"]: row for row in said.json["servers"][0]["rows"]}
    return {name: found[name] for name in ROWS}


def levels(laptop: Laptop) -> list[str]:
    return [row["level"] for row in rows(laptop).values()]


def test_the_driver_and_dockers_gpus_are_judged_without_an_image(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    healthy = rows(laptop)
    assert [row["level"] for row in healthy.values()] == ["ok"] * 3
    assert healthy["NVIDIA driver"]["figures"] == {"gpus": 2, "expected": 2, "driver": "550.90.07"}
    set_gpu(sandbox, lost=[1])
    found = rows(laptop)["NVIDIA driver"]
    assert (found["level"], found["sentence"]) == ("critical", "1 of 2 GPUs answer")
    set_gpu(sandbox, exit=18, text="Failed to initialize NVML: Driver/library version mismatch")
    assert levels(laptop) == ["critical", "ok", "unknown"]
    assert "version mismatch" in rows(laptop)["NVIDIA driver"]["sentence"]
    laptop.host["gpus"] = 0
    laptop.save()
    set_gpu(sandbox, exit=9, text="it must not be asked")
    assert levels(laptop) == ["skipped", "skipped", "ok"]
    assert docker(sandbox, "ps", "--all", "--quiet") == ""


def takes_gpus(sandbox: Sandbox) -> bool:
    """Whether the engine starts a container with --gpus, and says why where it does not."""
    image = training_image(sandbox, "1.0")
    words = ["docker", "run", "--rm", "--gpus=all", "--network=none", "--entrypoint=/bin/true", image]
    done = run_inside(sandbox, words, user=LOGIN_USER, check=False)
    assert (done.returncode == 0) != ("could not select device driver" in done.stderr), done
    return done.returncode == 0


def restarted(sandbox: Sandbox) -> None:
    stop(sandbox, "engine")
    start(sandbox, "engine")


def test_gpus_are_dockers_to_give_only_if_it_found_the_hook_at_its_start(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    logged_in(sandbox)
    run_inside(sandbox, ["mv", HOOK, f"{HOOK}.away"])
    try:
        restarted(sandbox)
        found = rows(laptop)["docker GPU support"]
        assert (found["level"], takes_gpus(sandbox)) == ("critical", False)
        assert "has no GPU support for gpus: all: it takes --gpus only with nvidia-con" in found["sentence"]
        assert "systemctl restart docker, once no training runs (it ends containers" in found["hint"]
    finally:
        run_inside(sandbox, ["mv", f"{HOOK}.away", HOOK])
    found = rows(laptop)["docker GPU support"]
    assert (found["level"], takes_gpus(sandbox)) == ("unknown", False)
    assert "was put there or changed after the engine's start" in found["sentence"]
    restarted(sandbox)
    assert (rows(laptop)["docker GPU support"]["level"], takes_gpus(sandbox)) == ("ok", True)

    run_inside(sandbox, ["touch", HOOK])  # as an update would: a container that got its GPUs tells that it was there
    assert rows(laptop)["docker GPU support"]["level"] == "unknown"
    started_training(sandbox)
    assert rows(laptop)["docker GPU support"]["level"] == "ok"
    restarted(sandbox)

    laptop.hosts["services"]["training"]["gpus"] = {"cdi": ["0", "1"]}
    laptop.save()
    found = rows(laptop)["docker GPU support"]
    assert found["level"] == "critical"
    assert "knows no CDI, which comes with 25: nvidia.com/gpu=0,nvidia.com/gpu=1 is nothing" in found["sentence"]
    line = laptop.fab("deploy", "--service", "training", "--skip", "docker GPU support", "--reason", "tried")
    assert line.status == 0, line.all
    printed = laptop.fab("training.command")
    assert " --device nvidia.com/gpu=0 --device nvidia.com/gpu=1 " in printed.out and "--gpus" not in printed.out
    assert "docker GPU support: docker 20.10" in printed.err and "knows no CDI" in printed.err, printed.err


def test_a_driver_that_hangs_is_critical_and_is_not_asked_again_while_it_does(laptop: Laptop) -> None:
    set_gpu(laptop.sandbox, hang="unkillable")
    found = rows(laptop)
    assert [row["level"] for row in found.values()] == ["critical", "ok", "unknown"]
    assert "the driver does not answer: nvidia-smi hung for 7 s" in found["NVIDIA driver"]["sentence"]

    def stuck() -> int:
        return run_inside(laptop.sandbox, ["sh", "-c", "cat /proc/[0-9]*/comm"], check=False).stdout.count("nvidia-smi")

    left = stuck()
    wait_until(lambda: "has been stuck since" in rows(laptop)["NVIDIA driver"]["sentence"], 60, "stuck nvidia-smi")
    assert (left, stuck()) == (1, 1)


def test_a_training_is_told_with_gpus_image_and_checkpoint_however_it_is_known_and_never_touched(
    laptop: Laptop,
) -> None:
    sandbox = laptop.sandbox
    run = started_training(sandbox, name="sweep-3")
    before = server_snapshot(sandbox).containers[run]
    wait_until(lambda: rows(laptop)["training"]["figures"].get("checkpoint", "").endswith("last.pt"), 30, "checkpoint")
    found = rows(laptop)["training"]
    assert (found["level"], found["figures"]["active"][0]["name"]) == ("ok", "sweep-3")  # by its image
    docker(sandbox, "commit", run, "team/sweep:1")
    set_gpu(sandbox)
    docker(sandbox, "rm", "--force", run)  # the test's own
    foreign = docker(sandbox, "run", "--detach", "--gpus=all", f"--volume={ROOT}:{ROOT}", "team/sweep:1")
    wait_until(lambda: foreign[:12] in rows(laptop)["training"]["sentence"], 30, "training on the GPU")
    found = rows(laptop)["training"]
    assert (found["level"], found["figures"]["runs"]) == ("ok", 0)
    assert f"container {foreign[:12]} is on GPU 0 and is left alone" in found["sentence"]

    label = "team.azaion/job=training"
    set_gpu(sandbox)
    docker(sandbox, "rm", "--force", foreign)
    labelled = docker(
        sandbox,
        *("run", "--detach", "--name=sweep-4", "--network=host", f"--label={label}", "--gpus=all"),
        *(f"--volume={ROOT}:{ROOT}", before[1]),
    )
    before = server_snapshot(sandbox).containers[labelled]
    laptop.hosts["services"]["training"]["label"] = label
    laptop.save()
    wait_until(lambda: rows(laptop)["training"]["figures"]["active"][0]["gpus"] == [0], 30, "training on the GPU")
    found = rows(laptop)["training"]
    (active,) = found["figures"]["active"]
    state = inspected(sandbox, labelled)
    assert active == {
        "container": labelled,
        "name": "sweep-4",
        "image": state["Image"],
        "started_at": state["State"]["StartedAt"],
        "gpus": [0],
    }
    assert found["figures"]["age"] < 3600 and " on GPU 0 from image " in found["sentence"]
    assert found["sentence"].count("is left alone") == 1
    assert found["sentence"].count("a restart of docker would end it: live-restore is off") == 1

    set_gpu(sandbox, mig=["3g.40gb", "1g.10gb"])
    cut = rows(laptop)
    assert " on GPU 0 MIG 0 (3g.40gb) from image " in cut["training"]["sentence"]
    assert "GPU 1 is cut by MIG into 1 × 3g.40gb, 1 × 1g.10gb" in cut["NVIDIA driver"]["sentence"]
    set_gpu(sandbox, exit=9, text="no driver")
    found = rows(laptop)["training"]
    assert (found["level"], found["figures"]["active"][0]["container"]) == ("unknown", labelled)
    laptop.hosts["services"]["training"]["checkpoints"] = f"{ROOT}/none"
    laptop.save()
    assert f"checkpoints in {ROOT}/none cannot be seen" in rows(laptop)["training"]["sentence"]
    assert server_snapshot(sandbox).containers[labelled] == before


def test_with_live_restore_a_training_outlives_its_engine_and_nothing_is_said(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    run = started_training(sandbox)
    before = inspected(sandbox, run)["State"]
    assert "live-restore is off" in rows(laptop)["training"]["sentence"]
    with live_restore(sandbox):
        assert "live-restore" not in rows(laptop)["training"]["sentence"]
        kill(sandbox, "engine")
        start(sandbox, "engine")
        after = inspected(sandbox, run)["State"]
        assert (after["Running"], after["Pid"]) == (True, before["Pid"])
