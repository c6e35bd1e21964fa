"""fab restart, stop, pause and resume on real parts: one consumer in its place, whoever looks away meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gpu_runbook.laptop.errors import BadInput, NeedsPerson, Refused
from sandbox import Sandbox, reboot, run_inside
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop, finished
from tests.deploy.refused import refused, says_no
from tests.deploy.standing import commands, journal, runs, standing, wait_for_offset, wait_for_step, watched
from tests.deploy.test_recovery import halting, kill_run_and_command, there
from tests.deploy.test_training import alive
from tests.real import (
    ROOT,
    STATE,
    docker,
    inspected,
    lost_and_twice,
    messages,
    offset,
    published,
    started_consumer,
    started_training,
    wait_for_annotations,
)

pytestmark = pytest.mark.real

NOTES = STATE
STOPPED, PAUSED = f"{NOTES}/stopped.json", f"{NOTES}/paused.json"


@pytest.fixture
def deployed(laptop: Laptop) -> Laptop:
    """A laptop in front of a consumer that has handled a hundred messages."""
    watched(laptop, settle=0, window=3)
    published(laptop.sandbox, 100)
    laptop.deployed("--tag", "1.0")
    wait_for_offset(laptop.sandbox, 100)
    watched(laptop, settle=0, window=1)
    return laptop


def state(sandbox: Sandbox) -> dict[str, Any]:
    found: dict[str, Any] = inspected(sandbox, QUEUE)["State"]
    return found


def note(sandbox: Sandbox, path: str) -> Any:
    text = run_inside(sandbox, ["cat", path], check=False).stdout
    return json.loads(text) if text else None


def in_history(laptop: Laptop) -> dict[str, Any]:
    found: dict[str, Any] = laptop.fab("history", "--limit", "1", "--json").json["servers"][0]["runs"][0]
    return found


def test_the_same_container_is_restarted_and_watched_and_training_is_not_touched(deployed: Laptop) -> None:
    sandbox = deployed.sandbox
    watched(deployed, settle=0, window=60)  # until messages come
    training = started_training(sandbox)
    before, trained, started = standing(sandbox), alive(deployed, training), state(sandbox)["StartedAt"]
    with deployed.start("restart", QUEUE) as restarting:
        wait_for_step(sandbox, 2, "watching")
        published(sandbox, 50, first=101)
        said = finished(restarting)
    assert said.status == 0, said.all
    assert f"gpu-1: {QUEUE} was restarted, down for 0." in said.out and "and is proven: its offset moved" in said.out
    assert standing(sandbox) == before
    assert state(sandbox)["StartedAt"] > started
    assert alive(deployed, training) == trained
    past = in_history(deployed)
    assert (past["action"], past["outcome"], past["changes"]) == ("restart", "done", [])
    assert 0 < past["outage"] < 30
    shown = deployed.fab("show").out
    assert "$ docker stop -t 2 " in shown and "$ docker start " in shown
    lost, twice = lost_and_twice(wait_for_annotations(sandbox, 150), messages(150))
    assert (lost, twice) == ([], [])


def test_a_stop_is_remembered_with_who_and_why_until_a_restart(deployed: Laptop) -> None:
    sandbox = deployed.sandbox
    docker(sandbox, "update", "--restart", "always", QUEUE)
    before = standing(sandbox)
    said = deployed.fab("stop", QUEUE, "--reason", "the broker is moved")
    assert said.status == 0, said.all
    assert f"gpu-1: {QUEUE} is stopped and stays so: fab restart {QUEUE} starts it" in said.out
    assert (state(sandbox)["Running"], note(sandbox, STOPPED)[QUEUE]["reason"]) == (False, "the broker is moved")
    status = deployed.fab("status")
    assert f"{QUEUE}: 1.0 (sha256:" in status.out and "UTC, on purpose (the broker is moved)" in status.out, status.all
    assert "critical" not in status.out
    again = deployed.fab("stop", QUEUE)
    assert (again.status, "already, nothing was done" in again.out, runs(sandbox)) == (0, True, 2), again.all
    reboot(sandbox, lambda text: None)
    assert not state(sandbox)["Running"], "the engine has started what was to stay stopped"

    started = deployed.fab("restart", QUEUE, "--json")
    assert started.status == 0, started.all
    [server] = started.json["servers"]
    assert (server["outcome"], server["plan"]["action"]) == ("done", "restart")
    assert f"{QUEUE} was started, and is unproven" in server["sentence"]
    assert note(sandbox, STOPPED) is None
    after = standing(sandbox)
    assert after.container == before.container and after.restart["Name"] == "unless-stopped"  # as it was on record


def test_a_deploy_and_a_rollback_forget_a_stop_and_one_that_is_undone_does_not(deployed: Laptop) -> None:
    sandbox = deployed.sandbox
    docker(sandbox, "stop", "--time=2", QUEUE)
    said = deployed.fab("stop", QUEUE)
    assert (said.status, "was stopped already; from now on it is meant to be" in said.out) == (0, True), said.all
    watched(deployed, settle=1, window=60)  # it may take its time until it ends
    failed = deployed.fab("deploy", "--service", QUEUE, "--tag", "bad-exits")
    assert failed.status == 13, failed.all
    assert QUEUE in note(sandbox, STOPPED) and not state(sandbox)["Running"]
    watched(deployed, settle=0, window=1)
    deployed.deployed("--tag", "1.1")
    assert note(sandbox, STOPPED) is None
    assert deployed.fab("stop", QUEUE).status == 0
    assert deployed.fab("rollback").status == 0
    assert (note(sandbox, STOPPED), state(sandbox)["Running"]) == (None, True)


def test_where_docker_could_start_nothing_a_restart_stops_nothing(deployed: Laptop) -> None:
    sandbox = deployed.sandbox
    root = docker(sandbox, "info", "--format", "{{.DockerRootDir}}")
    before = standing(sandbox), state(sandbox)
    run_inside(sandbox, ["sh", "-ec", f"mount --rbind {root} {root}; mount -o remount,bind,ro {root}"])
    try:
        said = says_no(deployed, Refused, "restart", QUEUE)
        why = f"it could not be started again, as docker's own disk ({root}) is read-only; nothing was changed"
        assert f"{QUEUE} was not stopped: {why}" in said.err
        assert (standing(sandbox), state(sandbox)) == before
    finally:
        run_inside(sandbox, ["umount", "--lazy", root])
    assert deployed.fab("restart", QUEUE).status == 0


def test_what_cannot_be_operated_is_one_sentence_and_nothing_changed(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=2)
    for change in ("restart", "stop"):
        assert "consumers only, and training is none" in refused(laptop, BadInput, change, "training").err
        assert 'has no service "nothing"' in refused(laptop, BadInput, change, "nothing").err
    assert f"{QUEUE} has no container" in says_no(laptop, Refused, "restart", QUEUE).err
    started_consumer(laptop.sandbox, "1.0")
    wait_until(lambda: state(laptop.sandbox)["Running"], 10, "consumer")
    for change in ("restart", "stop"):
        before = standing(laptop.sandbox), state(laptop.sandbox)
        assert "was not made by this tool" in says_no(laptop, Refused, change, QUEUE).err
        assert (standing(laptop.sandbox), state(laptop.sandbox)) == before
    docker(laptop.sandbox, "rm", "--force", QUEUE)


def test_a_restart_that_fails_its_watch_needs_a_person_and_says_why(deployed: Laptop) -> None:
    watched(deployed, settle=1, window=6)
    run_inside(deployed.sandbox, ["sh", "-c", f"echo 'queue: [' >{ROOT}/config.yaml"])
    said = deployed.fab("restart", QUEUE)
    assert said.status == NeedsPerson.exit_code, said.all
    assert "and failed its watch: it ended by itself" in said.err
    assert "the last lines of its log:" in said.err and "fab rollback goes back to the release before" in said.err
    assert in_history(deployed)["outcome"] == "needs-person"


def test_a_laptop_that_dies_after_the_stop_leaves_the_consumer_running(deployed: Laptop) -> None:
    sandbox = deployed.sandbox
    watched(deployed, settle=0, window=60)  # until messages come
    first = inspected(sandbox, QUEUE)["Id"]
    with deployed.start("restart", QUEUE) as restarting:
        wait_for_step(sandbox, 2, "restart")
        restarting.kill()
        restarting.communicate()
    published(sandbox, 50, first=101)
    told = deployed.fab("follow")
    assert (told.status, f"{QUEUE} was restarted" in told.out) == (0, True), told.all
    found = inspected(sandbox, QUEUE)
    assert (found["Id"], found["State"]["Running"]) == (first, True)
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


@pytest.mark.parametrize(("change", "word", "running"), [("restart", "start", True), ("stop", "stop", False)])
def test_one_that_is_cut_off_is_led_to_its_end_by_the_next_command(
    deployed: Laptop, change: str, word: str, running: bool
) -> None:
    sandbox = deployed.sandbox
    with halting(sandbox, word):
        with deployed.start(change, QUEUE) as process:
            wait_until(lambda: there(sandbox, "/tmp/halted"), 20, f"docker {word}")
            other = deployed.fab("deploy", "--service", QUEUE, "--tag", "1.1")
            assert (other.status, f"is at it: {change} " in other.err) == (Refused.exit_code, True), other.all
            kill_run_and_command(sandbox)
            said = finished(process)
        assert (said.status, "was cut off" in said.err) == (14, True), said.all
    assert "was cut off at step" in deployed.fab("status").out
    ended = deployed.fab("prune")
    assert ended.status == 0, ended.all
    assert ("runs again, unwatched" if running else "is stopped, as it was meant") in ended.out
    found = inspected(sandbox, QUEUE)
    assert (found["State"]["Running"], found["HostConfig"]["RestartPolicy"]["Name"]) == (running, "unless-stopped")
    assert (note(sandbox, STOPPED) is None) == running
    assert offset(sandbox) == 100


def test_a_pause_holds_deploys_and_restarts_back_and_nothing_that_is_urgent(deployed: Laptop) -> None:
    sandbox = deployed.sandbox
    deployed.deployed("--tag", "1.1")
    for wrong in (("pause",), ("pause", "--for", "soon"), ("pause", "--for", "59s"), ("pause", "--for", "31d")):
        refused(deployed, BadInput, *wrong)
    paused = deployed.fab("pause", "--for", "1h", "--reason", "the disk is exchanged")
    assert (paused.status, "(the disk is exchanged)" in paused.out) == (0, True), paused.all
    before = standing(sandbox)
    for words in (("deploy", "--service", QUEUE, "--tag", "1.0"), ("restart", QUEUE)):
        said = says_no(deployed, Refused, *words)
        assert "deploys are paused until 20" in said.err and "(the disk is exchanged)" in said.err
        assert "fab resume" in said.err
    assert (standing(sandbox), runs(sandbox)) == (before, 2)
    assert "deploys are paused until" in deployed.fab("status").out
    preflight = deployed.fab("preflight", "--service", QUEUE)
    assert (preflight.status, "critical  pause" in preflight.out) == (2, True), preflight.all
    back = deployed.fab("rollback")
    assert (back.status, "warning   pause" in back.out) == (0, True), back.all
    assert "warning   pause" in (stopped := deployed.fab("stop", QUEUE)).out and stopped.status == 0, stopped.all
    again = deployed.fab("pause", "--for", "30m", "--json").json["servers"][0]
    assert again["before"]["reason"] == "the disk is exchanged" and again["pause"]["reason"] == ""
    assert "is ended" in deployed.fab("resume").out
    assert "there was no pause" in (none := deployed.fab("resume")).out and none.status == 0
    assert deployed.fab("restart", QUEUE).status == 0


def test_a_pause_that_begins_between_look_and_run_counts_and_one_that_is_over_does_not(deployed: Laptop) -> None:
    sandbox = deployed.sandbox
    until = '{"who": "ann", "laptop": "l", "since": "2026-01-01T00:00:00Z", "until": "%s-01-01T00:00:00Z"}'
    with deployed.start("deploy", "--service", QUEUE, "--tag", "1.1") as process:
        assert process.stdout is not None
        for line in process.stdout:  # it has looked, and the pull lies before the run
            if "pulling" in line:
                run_inside(sandbox, ["tee", PAUSED], user="deploy", input=until % "2999")
                break
        said = finished(process)
    assert (said.status, "deploys are paused until 2999" in said.err) == (Refused.exit_code, True), said.all
    assert runs(sandbox) == 1
    run_inside(sandbox, ["tee", PAUSED], user="deploy", input="{")
    assert f"{PAUSED} is damaged" in deployed.fab("status").out
    run_inside(sandbox, ["tee", PAUSED], user="deploy", input=until % "2020")
    deployed.deployed("--tag", "1.1")
    assert note(sandbox, PAUSED) is None, "one that is over is swept away"


def test_nobody_pauses_in_the_middle_of_a_run_and_a_second_restart_waits(deployed: Laptop) -> None:
    sandbox = deployed.sandbox
    watched(deployed, settle=1, window=60)  # the queue is idle: it lasts until a message comes
    with deployed.start("restart", QUEUE) as process:
        run = wait_for_step(sandbox, 2, "watching")
        assert f"restart {run} is at step watching" in says_no(deployed, Refused, "pause", "--for", "1h").err
        assert f"is at it: restart {run}" in says_no(deployed, Refused, "stop", QUEUE).err
        published(sandbox, 50, first=101)
        said = finished(process)
    assert said.status == 0, said.all
    assert commands(sandbox) == ["stop", "start", "update"] and journal(sandbox)[-1]["verdict"] == "proven"
