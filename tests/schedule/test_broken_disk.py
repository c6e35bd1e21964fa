"""The disk of root and state takes no new file any more while the consumer is dead: what is told, done and refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox import run_inside
from sandbox.machine import wait_until
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import QUEUE, Said
from tests.deploy.standing import wait_for_offset, watched
from tests.faults import disk
from tests.real import ROOT, STATE, docker, fire, inspected, published
from tests.schedule.watchman import CRITICAL, Watchman

pytestmark = pytest.mark.real

FILES = f"{ROOT}/models/files"
# Makes empty files until there is no inode left.
USE_UP = r"""
import itertools, os, sys
os.mkdir(sys.argv[1])
try:
    for number in itertools.count():
        os.close(os.open(f"{sys.argv[1]}/{number}", os.O_WRONLY | os.O_CREAT, 0o600))
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture
def broken(watchman: Watchman) -> Iterator[Watchman]:
    """A server whose root and state are on a disk of their own, with a consumer, the check, and a round of it."""
    disk.mount(watchman.sandbox)
    try:
        watched(watchman.laptop, settle=0, window=3)
        published(watchman.sandbox, 100)
        watchman.laptop.deployed("--tag", "1.0")
        wait_for_offset(watchman.sandbox, 100)
        watchman.laptop.variables["PING_URL"] = watchman.hook.url("/ping")
        watchman.install(heartbeat_variable="PING_URL")
        half = f"{STATE}/.half"
        run_inside(watchman.sandbox, ["touch", "--date", "2 hours ago", half], user=LOGIN_USER)
        fire(watchman.sandbox)
        assert (watchman.told, beats(watchman)) == ([], ["/ping"])
        yield watchman
    finally:
        run_inside(watchman.sandbox, ["mount", "-o", "remount,rw", ROOT])
        ids = docker(watchman.sandbox, "ps", "--all", "--quiet").split()
        docker(watchman.sandbox, "rm", "--force", *ids)
        disk.unmount(watchman.sandbox)


def beats(watchman: Watchman) -> list[str]:
    """Where the heartbeat was called, oldest first."""
    return [request.path for request in watchman.hook.requests if request.method == "GET"]


def refused(said: Said, why: str) -> None:
    """In one sentence and a hint, with nothing changed."""
    assert said.status == 12 and "Traceback" not in said.all and "defect" not in said.all, said.all
    sentence, *hint = said.err.strip().splitlines()
    assert sentence.startswith("gpu-1: ") and why in sentence and "nothing was changed" in sentence, said.all
    assert len(hint) <= 1, said.all


def test_without_inodes_a_dead_consumer_is_started_and_told_and_prune_makes_room(broken: Watchman) -> None:
    sandbox, laptop = broken.sandbox, broken.laptop
    used_up = run_inside(sandbox, ["/usr/bin/python3", "-IS", "-c", USE_UP, FILES]).stdout
    assert used_up == "No space left on device\n"
    broken.kill_consumer()
    before = broken.consumer["StartedAt"]
    (ended,) = fire(sandbox)
    assert ended.returncode == CRITICAL
    (told,) = broken.told
    assert told.level == "critical" and f"critical: disk space: {ROOT} is 100 % out of inodes" in told.text
    began = f"{QUEUE} was started again (it had ended with 137): it was dead; fab history does not tell of it: "
    assert f"{began}no run can be written down in {STATE}/runs: No space left on device" in told.text
    assert broken.consumer["StartedAt"] > before
    assert inspected(sandbox, QUEUE)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert broken.state == {} or broken.read(f"{STATE}/health/state.spare").startswith('{"at": "'), "it is remembered"
    health = laptop.fab("health")
    assert health.status == CRITICAL and f"{ROOT} is 100 % out of inodes" in health.out, health.all
    for command in ("stop", "restart"):
        refused(laptop.fab(command, QUEUE), "No space left on device")
    pruned = laptop.fab("prune")
    assert pruned.status == 0 and "removed 1 of 1 thing" in pruned.out, pruned.all


def test_on_a_disk_that_became_read_only_it_is_started_and_told_and_health_is_critical_at_once(
    broken: Watchman,
) -> None:
    sandbox, laptop = broken.sandbox, broken.laptop
    broken.kill_consumer()
    docker(sandbox, "start", QUEUE)  # so that it was started last a moment ago, by somebody
    broken.kill_consumer()
    run_inside(sandbox, ["mount", "-o", "remount,ro", ROOT])
    (ended,) = fire(sandbox)
    assert ended.returncode == CRITICAL
    (told,) = broken.told
    assert "critical: notes of the check: cannot be written, so that nothing is remembered: " in told.text
    assert f"critical: {QUEUE} alive: {QUEUE} is exited (exit status 137); it was started " in told.text
    assert beats(broken) == ["/ping", "/ping/fail"]
    health = laptop.fab("health")
    assert health.status == CRITICAL, health.all
    assert f"nothing can be remembered: {STATE}/health/state.spare cannot be written: Read-only file" in health.out
    for command in ("stop", "restart"):
        refused(laptop.fab(command, QUEUE), f"root: {ROOT} is not writable for deploy")
    refused(laptop.fab("pause", "--for", "1h", "--reason", "why"), "Read-only file system")
    run_inside(sandbox, ["mount", "-o", "remount,rw", ROOT])
    fire(sandbox)
    wait_until(lambda: broken.consumer["Running"], 10, "consumer (its start by the round)")
    assert f"{QUEUE} was started again" in broken.told[-1].text
    assert "critical  schedule" not in laptop.fab("health").out
