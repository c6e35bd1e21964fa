"""Rounds on real parts: what they see, what they do by themselves, and what they never touch."""

from __future__ import annotations

import json

import pytest

from sandbox import kill, run_inside, set_gpu, start, stop
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE
from tests.deploy.standing import runs, wait_for_offset
from tests.deploy.test_training import alive
from tests.real import (
    ROOT,
    docker,
    inspected,
    published,
    server_snapshot,
    started_consumer,
    started_training,
)
from tests.schedule.watchman import CRITICAL, FOLDER, OK, STATE, Watchman

pytestmark = pytest.mark.real

ALIVE = f"{QUEUE} alive"


def stall(watchman: Watchman) -> None:
    """Let the consumer be alive and handle nothing."""
    run_inside(watchman.sandbox, ["kill", "-STOP", str(watchman.consumer["Pid"])])


def test_a_server_that_is_well_is_silent_and_only_the_notes_of_the_check_change(deployed: Watchman) -> None:
    training = started_training(deployed.sandbox)
    trained, before = alive(deployed.laptop, training), server_snapshot(deployed.sandbox)
    assert [deployed.round() for _ in range(3)] == [OK, OK, OK]
    after = server_snapshot(deployed.sandbox)
    changed = {path for path in after.tree if before.tree.get(path) != after.tree[path]}
    assert {path for path in changed if not path.startswith((FOLDER, f"{ROOT}/models"))} == set()
    assert (before.containers, before.images) == (after.containers, after.images)
    assert alive(deployed.laptop, training) == trained
    assert deployed.told == []
    last = deployed.last
    assert set(last["levels"].values()) == {"ok"}
    assert last["queues"] == {QUEUE: {"offset": 100, "last": 99, "backlog": 0, "restarts": 0}}
    assert [gpu["use"] for gpu in last["gpus"]] == [97, 0] and last["gpus"][0]["memory"] == 20480 << 20
    assert ROOT in last["disk"] and 0 < last["seconds"] < 60
    assert len(deployed.history) == 3 and deployed.state["rounds"] == 3


def test_a_dead_consumer_is_started_again_and_that_is_told_with_how_it_is_now(deployed: Watchman) -> None:
    sandbox = deployed.sandbox
    training = started_training(sandbox)
    trained, first = alive(deployed.laptop, training), inspected(sandbox, QUEUE)["Id"]
    deployed.kill_consumer()
    assert deployed.round() == OK
    assert (deployed.consumer["Running"], inspected(sandbox, QUEUE)["Id"]) == (True, first)
    assert inspected(sandbox, QUEUE)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped", "as it is on record"
    (told,) = deployed.told
    began = f"gpu-1: {QUEUE} was started again (it had ended with 137): it was dead; now: running for "
    assert told.title.startswith(began), told.title
    assert told.level == "warning"
    assert alive(deployed.laptop, training) == trained
    published(sandbox, 50, first=101)
    wait_for_offset(sandbox, 150)
    past = deployed.laptop.fab("history", "--limit", "1", "--json").json["servers"][0]["runs"][0]
    assert (past["action"], past["who"], past["outcome"]) == ("restart", "the scheduled check", "done")
    assert "docker start" in deployed.laptop.fab("show").out
    assert deployed.round() == OK
    assert len(deployed.told) == 1, "what was done is told once"


def test_one_that_an_engine_stopped_while_it_started_is_started_again(deployed: Watchman) -> None:
    """An engine that was killed stops what it finds alive when it starts, and leaves it so."""
    kill(deployed.sandbox, "engine")
    start(deployed.sandbox, "engine")
    wait_until(lambda: not deployed.consumer["Running"], 20, "consumer (its end by the engine)")
    assert deployed.consumer["ExitCode"] == 0
    assert deployed.round() == OK
    assert deployed.consumer["Running"]
    assert "it had ended with 0" in deployed.told[0].title


def test_one_that_ended_well_or_was_stopped_on_purpose_is_left_alone(deployed: Watchman) -> None:
    sandbox = deployed.sandbox
    docker(sandbox, "stop", "--time=5", QUEUE)  # by hand
    assert deployed.consumer["ExitCode"] == 0
    assert [deployed.round(), deployed.round()] == [CRITICAL, CRITICAL]
    assert not deployed.consumer["Running"]
    assert [told.title for told in deployed.told] == [f"gpu-1: critical: {ALIVE}"]
    assert deployed.laptop.fab("restart", QUEUE).status == 0
    assert deployed.round() == OK
    assert deployed.told[-1].title == f"gpu-1: over: {ALIVE}"

    assert deployed.laptop.fab("stop", QUEUE, "--reason", "the broker is moved").status == 0
    published(sandbox, 100, first=101)
    before = len(deployed.told)
    assert [deployed.round(), deployed.round()] == [OK, OK]
    assert (deployed.last["levels"][ALIVE], deployed.last["levels"]["offset advancing"]) == ("skipped", "skipped")
    assert (deployed.consumer["Running"], len(deployed.told)) == (False, before)
    health = deployed.laptop.fab("health")
    assert (
        f"skipped   {ALIVE}" in health.out
        and "stopped on purpose by" in health.out
        and "(the broker is moved)" in health.out
    )
    assert health.status == 0, health.all


def test_one_that_was_stopped_on_purpose_stays_so_however_it_ended(deployed: Watchman) -> None:
    assert deployed.laptop.fab("stop", QUEUE).status == 0
    docker(deployed.sandbox, "start", QUEUE)  # by hand, and then it is killed
    deployed.kill_consumer()
    assert deployed.round() == OK
    assert not deployed.consumer["Running"]


def test_three_times_an_hour_and_then_it_is_left_to_a_person(deployed: Watchman) -> None:
    for number in range(3):
        deployed.kill_consumer()
        assert deployed.round(later=60) == OK, number
    deployed.kill_consumer()
    assert [deployed.round(later=60), deployed.round(later=60)] == [CRITICAL, CRITICAL]
    assert not deployed.consumer["Running"]
    assert "started again 3 times within the hour, and is left to a person" in deployed.last["said"][ALIVE]
    assert deployed.told[-1].title == f"gpu-1: critical: {ALIVE}"
    state = deployed.state
    assert len(state["restarts"][QUEUE]) == 3
    state["restarts"][QUEUE] = [deployed.stamp(-3700)] * 3  # the hour is over
    deployed.write(STATE, json.dumps(state))
    assert deployed.round() == OK
    assert deployed.consumer["Running"]


def test_a_training_that_ended_is_never_started_again(deployed: Watchman) -> None:
    sandbox = deployed.sandbox
    started_training(sandbox)
    docker(sandbox, "kill", "training")
    before = inspected(sandbox, "training")
    assert [deployed.round(), deployed.round()] == [OK, OK]
    assert inspected(sandbox, "training")["State"] == before["State"]
    assert runs(sandbox) == 1


def test_a_container_of_somebody_else_is_told_and_left_alone(watchman: Watchman) -> None:
    started_consumer(watchman.sandbox, "1.0")
    watchman.install()
    docker(watchman.sandbox, "kill", "--signal=KILL", QUEUE)
    assert [watchman.round(), watchman.round()] == [CRITICAL, CRITICAL]
    assert not watchman.consumer["Running"]
    assert "was not made by this tool and is left alone" in watchman.last["said"][ALIVE]


def test_an_offset_that_stands_still_is_critical_after_the_stale_time_and_restarted_where_that_is_wanted(
    deployed: Watchman,
) -> None:
    sandbox = deployed.sandbox
    deployed.laptop.hosts["health"]["offset"]["stale_after"] = "20m"
    deployed.install(restart_stuck=True)
    stall(deployed)
    published(sandbox, 200, first=101)
    started = deployed.consumer["StartedAt"]
    assert [deployed.round() for _ in range(4)] == [OK] * 4, "the fifth comes 20 minutes after the first that saw it"
    assert deployed.consumer["StartedAt"] == started
    deployed.round()
    assert "stopped and started again" in deployed.last["actions"][0]
    assert deployed.consumer["StartedAt"] > started
    assert "it did not get on with its stream" in deployed.told[0].text
    wait_for_offset(sandbox, 300)
    assert (deployed.round(), deployed.last["levels"]["offset advancing"]) == (OK, "ok")


def test_without_that_wish_one_that_is_stuck_is_only_told(deployed: Watchman) -> None:
    stall(deployed)
    published(deployed.sandbox, 200, first=101)
    started = deployed.consumer["StartedAt"]
    for _ in range(8):
        deployed.round()
    assert deployed.last["levels"]["offset advancing"] == "critical"
    assert [told.title for told in deployed.told] == ["gpu-1: critical: offset advancing"]
    assert "offset 100 has not advanced for 30 min, up to 200 messages to go" in deployed.told[0].text
    assert deployed.consumer["StartedAt"] == started


def test_a_broker_that_is_down_raises_one_alarm_and_not_two(deployed: Watchman) -> None:
    stop(deployed.sandbox, "broker")
    assert [deployed.round(), deployed.round(), deployed.round()] == [CRITICAL] * 3
    assert deployed.last["levels"]["offset advancing"] == "unknown"
    (told,) = deployed.told  # in which the consumer may be, too: it ends whenever its broker is away
    assert "critical: RabbitMQ reachable: 127.0.0.1:" in told.text
    start(deployed.sandbox, "broker")
    deployed.round()
    assert "over" in deployed.told[1].title and "RabbitMQ reachable" in deployed.told[1].title
    assert not any("offset advancing" in told.text for told in deployed.told)


def test_a_driver_that_hangs_for_ever_costs_one_process_and_no_other_row(deployed: Watchman) -> None:
    set_gpu(deployed.sandbox, hang="unkillable")
    assert [deployed.round() for _ in range(3)] == [CRITICAL] * 3
    assert run_inside(deployed.sandbox, ["ps", "-eo", "comm"]).stdout.split().count("nvidia-smi") == 1
    assert deployed.last["levels"]["disk space"] == deployed.last["levels"][ALIVE] == "ok"
    assert "stuck since an earlier check" in deployed.last["said"]["GPU available"]
    assert [told.title for told in deployed.told] == ["gpu-1: critical: GPU available"]
