"""The parts of a sandbox can be taken away and brought back, and each failure stays where it belongs."""

from __future__ import annotations

import subprocess
import time

import pytest

from sandbox import Sandbox, describe, is_up, kill, reboot, run_inside, start, status, stop
from tests import real

pytestmark = pytest.mark.real


def ssh(server: Sandbox, *words: str) -> subprocess.CompletedProcess[str]:
    options = ["-i", str(server.key_file), "-o", f"UserKnownHostsFile={server.known_hosts}", "-o", "BatchMode=yes"]
    command = ["ssh", "-F", "none", *options, "-p", str(server.ssh_port), "deploy@127.0.0.1", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


def test_the_login_user_gets_in_by_the_key_and_may_use_the_engine(server: Sandbox) -> None:
    done = ssh(server, "hostname; echo $PATH; command -v python3 docker nvidia-smi; docker ps --quiet; id -un")
    assert done.stdout.split() == [
        "gpu-1",
        "/usr/local/bin:/usr/bin:/bin",
        "/usr/bin/python3",
        "/usr/bin/docker",
        "/usr/local/bin/nvidia-smi",
        "deploy",
    ]


def test_a_consumer_survives_a_reboot_of_the_server_and_the_broker_does_not_notice(server: Sandbox) -> None:
    real.started_consumer(server, "1.0")
    real.docker(server, "update", "--restart=unless-stopped", "annotation-queue")
    real.published(server, 100)
    real.wait_for_annotations(server, 100)
    reboot(server, print)
    real.published(server, 100, first=101)
    assert real.lost_and_twice(real.wait_for_annotations(server, 200), real.messages(200))[0] == []


def test_a_killed_engine_leaves_the_server_up_and_knows_its_containers_when_it_is_back(server: Sandbox) -> None:
    container = real.started_consumer(server, "1.0")
    kill(server, "engine")
    assert "Cannot connect to the Docker daemon" in ssh(server, "docker ps").stderr
    assert not status(server).up
    start(server, "engine")
    assert is_up(server)
    assert real.inspected(server, "annotation-queue")["Id"] == container


def test_without_the_registry_images_that_are_there_still_start(server: Sandbox) -> None:
    real.logged_in(server)
    real.docker(server, "pull", real.consumer_image(server, "1.0"))
    stop(server, "registry")
    missing = run_inside(server, ["docker", "pull", real.consumer_image(server, "1.1")], user="deploy", check=False)
    assert "connection refused" in missing.stderr
    real.docker(server, "create", "--name=annotation-queue", real.consumer_image(server, "1.0"))


def test_the_stream_keeps_its_messages_while_the_broker_is_away(server: Sandbox) -> None:
    real.published(server, 50)
    stop(server, "broker")
    start(server, "broker")
    real.started_consumer(server, "1.0")
    real.wait_for_annotations(server, 50)


def test_status_names_every_part_and_the_command_that_comes_next(server: Sandbox) -> None:
    assert is_up(server)
    assert describe(status(server))[-1] == "next: fab deploy"
    stop(server, "registry")
    lines = describe(status(server))
    assert [line for line in lines if line.startswith("DOWN")] == [line for line in lines if " registry " in line]
    assert lines[-1].startswith("next: fab sandbox.up")


def test_equal_snapshots_mean_that_nothing_changed(server: Sandbox) -> None:
    before = real.server_snapshot(server)
    assert real.server_snapshot(server) == before
    run_inside(server, ["touch", "/azaion/data/new"])
    assert real.server_snapshot(server) != before
    run_inside(server, ["rm", "/azaion/data/new"])
    assert real.server_snapshot(server) == before
    real.started_training(server)
    assert set(real.server_snapshot(server).images) != set(before.images)


def test_a_container_that_runs_while_another_does_is_seen_as_an_overlap(server: Sandbox) -> None:
    begun = time.time()
    first, second = (real.started_consumer(server, "bad-idle", name) for name in ("first", "second"))
    real.docker(server, "kill", "first")
    third = real.started_consumer(server, "bad-idle", "third")
    ran = real.running_intervals(server, begun)
    assert real.overlap(ran[first], ran[second])
    assert not real.overlap(ran[first], ran[third])
