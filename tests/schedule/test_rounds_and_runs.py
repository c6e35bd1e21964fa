"""Rounds beside whatever else is at work on a server: runs, pauses, runs that were cut off, and other rounds."""

from __future__ import annotations

import json
import time

import pytest

from sandbox import reboot, run_inside, start, stop
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, finished
from tests.deploy.standing import journal, runs, wait_for_step, watched
from tests.deploy.test_recovery import halting, kill_run_and_command, there
from tests.real import exists, inspected, offset, published
from tests.schedule.watchman import CRITICAL, EVERY, FOLDER, OK, UNKNOWN, Watchman

pytestmark = pytest.mark.real


def test_during_a_run_and_a_pause_nobody_is_told_and_nothing_is_done(deployed: Watchman) -> None:
    sandbox = deployed.sandbox
    watched(deployed.laptop, settle=1, window=60)  # the queue is idle: it lasts until messages come
    with deployed.laptop.start("deploy", "--service", QUEUE, "--tag", "1.1") as deploying:
        wait_for_step(sandbox, 2, "watching")
        for _ in range(3):
            deployed.round()
            assert deployed.last["silent"].startswith("deploy by ")
        assert runs(sandbox) == 2
        published(sandbox, 50, first=101)
        assert finished(deploying).status == 0
    assert deployed.told == []
    assert deployed.laptop.fab("pause", "--for", "1h", "--reason", "a new disk").status == 0
    deployed.kill_consumer()
    for _ in range(3):
        deployed.round()
    assert (deployed.consumer["Running"], deployed.told) == (False, [])
    assert "deploys are paused until" in deployed.last["silent"] and "(a new disk)" in deployed.last["silent"]
    assert "in silence: deploys are paused" in deployed.laptop.fab("health").out
    assert deployed.laptop.fab("resume").status == 0
    assert deployed.round() == OK
    assert deployed.consumer["Running"] and len(deployed.told) == 1


def test_a_run_that_was_cut_off_is_brought_to_its_end(deployed: Watchman) -> None:
    sandbox = deployed.sandbox
    first = inspected(sandbox, QUEUE)["Id"]
    with halting(sandbox, "start"), deployed.laptop.start("deploy", "--service", QUEUE, "--tag", "1.1") as process:
        wait_until(lambda: there(sandbox, "/tmp/halted"), 20, "docker start")
        assert deployed.round() in (CRITICAL, UNKNOWN)
        assert deployed.last["silent"], "the run is still under way"
        kill_run_and_command(sandbox)
        finished(process)
    assert deployed.round() == OK
    assert (inspected(sandbox, QUEUE)["Id"], deployed.consumer["Running"]) == (first, True)
    (told,) = deployed.told
    assert "was cut off in its swap and undone: the server is as it was before" in told.text
    assert "was cut off at step" not in deployed.laptop.fab("status").out
    assert offset(sandbox) == 100


def test_after_a_reboot_in_the_middle_of_a_swap_the_consumer_is_back_within_a_round(deployed: Watchman) -> None:
    sandbox = deployed.sandbox
    with halting(sandbox, "start"), deployed.laptop.start("deploy", "--service", QUEUE, "--tag", "1.1") as process:
        wait_until(lambda: there(sandbox, "/tmp/halted"), 20, "docker start")
        process.kill()
        process.communicate()
        reboot(sandbox, lambda text: None)
    deployed.stop_cron()
    assert not exists(sandbox, QUEUE) or not deployed.consumer["Running"]
    assert deployed.round() == OK
    assert deployed.consumer["Running"] and journal(sandbox)[-1]["event"] == "end"


def test_a_run_that_cannot_be_ended_now_is_told_and_tried_again(deployed: Watchman) -> None:
    sandbox = deployed.sandbox
    with halting(sandbox, "start"), deployed.laptop.start("deploy", "--service", QUEUE, "--tag", "1.1") as process:
        wait_until(lambda: there(sandbox, "/tmp/halted"), 20, "docker start")
        kill_run_and_command(sandbox)
        finished(process)
    stop(sandbox, "engine")
    assert deployed.round() == CRITICAL
    assert "is not brought to its end yet" in deployed.last["said"]["run that was cut off"]
    start(sandbox, "engine")
    assert deployed.round() == OK
    assert deployed.consumer["Running"]


def test_two_rounds_never_run_at_once_and_one_that_hangs_is_told(deployed: Watchman) -> None:
    sandbox = deployed.sandbox
    assert deployed.round() == OK
    script = "import fcntl, os, sys, time; f = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(f, 2); print(1, flush=True)"
    script += "; os.ftruncate(f, 0); os.pwrite(f, sys.argv[2].encode(), 0); time.sleep(float(sys.argv[3]))"
    for ago, titles in ((0, []), (EVERY * 3 + 10, ["gpu-1: critical: scheduled check"])):
        held = json.dumps({"up": time.clock_gettime(time.CLOCK_BOOTTIME) - ago, "pid": 1})
        hold = f"python3 -c '{script}' {FOLDER}/lock '{held}' 4 >/tmp/held 2>&1 &"
        run_inside(
            sandbox, ["sh", "-c", f"{hold} while ! test -s /tmp/held; do sleep 0.05; done; sleep 0.1"], user="deploy"
        )
        before = deployed.state
        assert deployed.round() == UNKNOWN
        assert {**deployed.state, "at": ""} == {**before, "at": ""}, "it has left all to the other one"
        assert [told.title for told in deployed.told] == titles
        time.sleep(4)
        run_inside(sandbox, ["rm", "-f", "/tmp/held"])
    assert "has not ended: this server is not looked after" in deployed.told[0].text
    assert len(deployed.history) == 1
