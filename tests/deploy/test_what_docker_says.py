"""An answer of docker is no absence: without its log a release is judged by all else, and what it lacked is said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gpu_runbook.laptop.errors import NeedsPerson, Refused, RolledBack
from sandbox import Sandbox, kill, run_inside, start
from sandbox.images import revision
from sandbox.machine import wait_until
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import wait_for_offset, watched
from tests.real import (
    MANIFEST,
    ROOT,
    consumer_image,
    docker,
    inspected,
    live_restore,
    logged_in,
    manifest,
    published,
    write_config,
)

pytestmark = pytest.mark.real

RUNS_WHILE_WELL = "test -f /azaion/well && exec python3 -u /app/consumer.py; exit 3"
UNREAD = "it could not be read: configured logging driver does not support reading"


def by_hand(laptop: Laptop, log_driver: str) -> None:
    """A consumer that somebody has started with their own docker run, and that ends when it is not well any more."""
    logged_in(laptop.sandbox)
    run_inside(laptop.sandbox, ["touch", f"{ROOT}/well"])
    write_config(laptop.sandbox)
    options = ("--network", "host", "--volume", f"{ROOT}:{ROOT}", "--restart", "unless-stopped")
    program = ("--entrypoint", "sh", consumer_image(laptop.sandbox, "1.0"), "-c", RUNS_WHILE_WELL)
    docker(laptop.sandbox, "run", "--detach", "--name", QUEUE, "--log-driver", log_driver, *options, *program)


def test_without_a_log_a_crash_loop_is_one_all_the_same(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=6)
    published(laptop.sandbox, 20)
    by_hand(laptop, "none")
    wait_for_offset(laptop.sandbox, 20)
    status = laptop.fab("status")
    assert f"{QUEUE} log" in status.out and "configured logging driver does not support reading" in status.out
    said = laptop.deployed("--adopt", "--tag", "1.1")
    assert f"warning   {QUEUE} log  " in said.out and "it cannot be read: " in said.out
    run_inside(laptop.sandbox, ["rm", f"{ROOT}/well"])
    said = laptop.fab("rollback")
    assert said.status == NeedsPerson.exit_code, said.all
    assert "it ended by itself" in said.err and "exit status 3" in said.err
    assert "docker engine was away" not in said.all
    logs = laptop.fab("logs")
    assert logs.status == Refused.exit_code, logs.all
    assert f'gpu-1: {QUEUE}: its log cannot be read ("configured' in logs.err


def with_health_check(laptop: Laptop, tag: str, program: str) -> None:
    """An image whose maker has given it a HEALTHCHECK, in the registry."""
    sandbox = laptop.sandbox
    logged_in(sandbox)
    image = consumer_image(sandbox, "1.1")
    pushed = f"{image.rpartition(':')[0]}:{tag}"
    check = f"HEALTHCHECK --interval=1s --timeout=5s --retries=2 CMD {program}"
    made = f"docker pull -q {image}; c=$(docker create {image}); docker commit --change '{check}' $c {pushed}"
    run_inside(sandbox, ["sh", "-ec", f"{made}; docker rm $c"], user=LOGIN_USER)
    run_inside(sandbox, ["docker", "push", "--quiet", pushed], user=LOGIN_USER)


def test_what_its_health_check_says_counts(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=8)
    with_health_check(laptop, "sick", "echo the stream is gone; exit 1")
    with_health_check(laptop, "well", "true")
    published(laptop.sandbox, 20)
    laptop.deployed("--tag", "well")
    rows = laptop.fab("health").out
    assert "unhealthy" not in rows
    laptop.queue["healthcheck"] = {"command": "echo asked by hosts.yaml; exit 1", "interval": 1, "retries": 2}
    laptop.save()
    said = laptop.fab("deploy", "--service", QUEUE, "--tag", "well")
    assert said.status == RolledBack.exit_code, said.all
    assert 'its HEALTHCHECK says unhealthy: "asked by hosts.yaml"' in said.err
    del laptop.queue["healthcheck"]
    laptop.save()
    said = laptop.fab("deploy", "--service", QUEUE, "--tag", "sick")
    assert said.status == RolledBack.exit_code, said.all
    assert 'its HEALTHCHECK says unhealthy: "the stream is gone"' in said.err
    left = laptop.fab("deploy", "--service", QUEUE, "--tag", "sick", "--no-rollback")
    assert left.status == NeedsPerson.exit_code, left.all
    health = laptop.fab("health")
    assert (health.status, "its HEALTHCHECK says unhealthy" in health.out) == (2, True)


def test_what_is_killed_for_lack_of_memory_is_said_to_be_with_its_limit(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=6)
    laptop.deployed("--tag", "1.0")
    laptop.queue["memory"] = "10m"
    laptop.save()
    said = laptop.fab("deploy", "--service", QUEUE, "--tag", "1.1")
    assert said.status == RolledBack.exit_code, said.all
    assert "killed for lack of memory (its limit is 10 MiB)" in said.err
    wait_until(lambda: bool(docker(laptop.sandbox, "ps", "--quiet", "--filter", f"name=^/{QUEUE}$")), 10, "consumer")


LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
# Reads an image as docker saves it, and writes the same one as if it were made for another machine.
FOR_ARM = """
import io, json, sys, tarfile
read = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()))
files = {one.name: read.extractfile(one).read() for one in read if one.isfile()}
(about,) = json.loads(files["manifest.json"])
files[about["Config"]] = json.dumps({**json.loads(files[about["Config"]]), "architecture": "arm64"}).encode()
written = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
for name, content in files.items():
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    written.addfile(entry, io.BytesIO(content))
written.close()
"""


def entry(content: bytes, machine: str) -> dict[str, Any]:
    """A manifest, as a list of manifests has it."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    platform = {"os": "linux", "architecture": machine}
    return {"mediaType": MANIFEST, "digest": digest, "size": len(content), "platform": platform}


def test_an_image_of_another_platform_is_pulled_again_or_refused(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    watched(laptop, settle=0, window=1)
    logged_in(sandbox)
    ours = consumer_image(sandbox, "1.1")
    repository = ours.rpartition(":")[0]
    run_inside(sandbox, ["tee", "/tmp/for_arm.py"], input=FOR_ARM)
    made = f"docker pull -q {ours}; docker rmi {repository}:arm || true; docker save {ours} >/tmp/ours.tar"
    loaded = f"docker rmi {ours}; python3 /tmp/for_arm.py </tmp/ours.tar | docker load"
    pushed = f"docker tag {ours} {repository}:arm; docker push -q {repository}:arm; docker rmi {ours} {repository}:arm"
    run_inside(sandbox, ["sh", "-ec", f"{made}; {loaded}; {pushed}"], user=LOGIN_USER)
    said = laptop.fab("deploy", "--service", QUEUE, "--tag", "arm")
    assert said.status == Refused.exit_code, said.all
    assert 'made for "linux/arm64", and this server is ' in said.err
    assert docker(sandbox, "images", "--quiet", repository) == "", "nothing was pulled"

    both = [entry(manifest(sandbox, tag), machine) for tag, machine in (("1.1", "amd64"), ("arm", "arm64"))]
    index = json.dumps({"schemaVersion": 2, "mediaType": LIST, "manifests": both}).encode()
    manifest(sandbox, "both", index, LIST)
    by_digest = f"{repository}@sha256:{hashlib.sha256(index).hexdigest()}"
    run_inside(sandbox, ["docker", "pull", "--quiet", "--platform", "linux/arm64", by_digest], user=LOGIN_USER)
    assert docker(sandbox, "image", "inspect", "--format", "{{.Architecture}}", by_digest).strip() == "arm64"
    looked = laptop.fab("preflight", "--service", QUEUE, "--tag", "both", "--json")
    (row,) = [row for row in looked.json["servers"][0]["rows"] if row["name"] == f"{QUEUE} image"]
    assert f", of which linux/amd64 is {both[0]['digest'][:19]}; built 20" in row["sentence"]
    assert row["sentence"].endswith(f" from commit {revision('1.1')[:8]}")
    figures = {name: row["figures"][name] for name in ("manifest", "platform", "revision", "moved")}
    assert figures == {
        "manifest": both[0]["digest"],
        "platform": "linux/amd64",
        "revision": revision("1.1"),
        "moved": False,
    }
    laptop.deployed("--tag", "both")
    image = inspected(sandbox, QUEUE)["Image"]
    assert docker(sandbox, "image", "inspect", "--format", "{{.Architecture}}", image).strip() == "amd64"

    both[1] = entry(manifest(sandbox, "1.0"), "arm64")
    manifest(sandbox, "both", json.dumps({"schemaVersion": 2, "mediaType": LIST, "manifests": both}).encode(), LIST)
    looked = laptop.fab("preflight", "--service", QUEUE, "--tag", "both")
    assert "; what it holds for linux/amd64 is still the same image" in looked.out


@contextmanager
def forgotten(sandbox: Sandbox) -> Iterator[None]:
    """The engine has another idea of which containers there are, as with another data-root; they work on."""

    def moves(source: str, target: str) -> None:
        kill(sandbox, "engine")
        run_inside(sandbox, ["mv", f"/var/lib/docker/{source}", f"/var/lib/docker/{target}"])
        start(sandbox, "engine")

    with live_restore(sandbox):
        moves("containers", "containers.before")
        try:
            yield
        finally:
            run_inside(sandbox, ["rm", "--recursive", "--force", "/var/lib/docker/containers"])
            moves("containers.before", "containers")


def test_a_consumer_that_docker_has_forgotten_is_no_second_one(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    laptop.deployed("--tag", "1.0")
    before = inspected(laptop.sandbox, QUEUE)
    with forgotten(laptop.sandbox):
        assert docker(laptop.sandbox, "ps", "--all", "--quiet") == ""
        for words in (("deploy", "--service", QUEUE, "--tag", "1.1"), ("deploy", "--service", QUEUE, "--force")):
            said = laptop.fab(*words)
            assert said.status == Refused.exit_code, said.all
            who = f"docker does not know the container {before['Id'][:12]} of {QUEUE} any more, and it is at work"
            assert f"{who} (process {before['State']['Pid']}" in said.err
    after = inspected(laptop.sandbox, QUEUE)
    assert (after["Id"], after["State"]["Pid"]) == (before["Id"], before["State"]["Pid"])
