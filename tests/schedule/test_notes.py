"""What rounds leave to each other: notes that are damaged, swept, shown; and a clock that was set."""

from __future__ import annotations

import json

import pytest

from sandbox import run_inside, start, stop
from tests.deploy.laptop import QUEUE
from tests.real import fire, published
from tests.schedule.test_rounds import stall
from tests.schedule.watchman import CRITICAL, EVERY, FOLDER, HISTORY, OK, SETTINGS, STATE, Watchman

pytestmark = pytest.mark.real


@pytest.mark.parametrize("shift", [-40 * 86400.0, 40 * 86400.0])
def test_a_clock_that_was_set_raises_nothing(deployed: Watchman, shift: float) -> None:
    stall(deployed)
    published(deployed.sandbox, 200, first=101)
    deployed.round()
    assert [deployed.round(later) for later in (-shift, 300, 300)] == [OK] * 3
    assert deployed.told == []
    assert deployed.state["standstills"][QUEUE]["seconds"] <= 4 * EVERY + 60


def test_a_state_that_is_damaged_begins_anew_and_says_so(deployed: Watchman) -> None:
    deployed.round()
    whole = deployed.read(STATE)
    for length in (1, len(whole) // 2, len(whole) - 1):
        deployed.write(STATE, whole[:length])
        before = len(deployed.told)
        (ended,) = fire(deployed.sandbox)
        assert ended.returncode == OK
        assert f"{STATE} was damaged and begins anew" in deployed.told[before].text
        assert deployed.state["rounds"] == 1


def test_what_a_killed_round_was_writing_is_swept_away(deployed: Watchman) -> None:
    for name, age in ((".state.json.1-1", "2 hours ago"), (".settings.json.2-2", "now")):
        run_inside(deployed.sandbox, ["touch", "--date", age, f"{FOLDER}/{name}"], user="deploy")
    assert deployed.round() == OK
    left = run_inside(deployed.sandbox, ["ls", "-A", FOLDER]).stdout.split()
    assert [name for name in left if name.startswith(".")] == [".settings.json.2-2"]


def test_a_history_with_a_broken_line_is_read_on_and_said(deployed: Watchman) -> None:
    deployed.round()
    run_inside(deployed.sandbox, ["sh", "-c", f"printf '{{\"at\": broken' >>{HISTORY}"])
    deployed.round()
    said = deployed.laptop.fab("health", "--since", "1h")
    assert (said.status, "1 line of the history cannot be read" in said.out) == (0, True), said.all
    assert "2 rounds" in said.out


def test_what_the_rounds_saw_is_shown_as_a_timeline_and_as_data(deployed: Watchman) -> None:
    deployed.round()
    stop(deployed.sandbox, "broker")
    deployed.round()
    deployed.round()
    said = deployed.laptop.fab("health", "--since", "24h")
    assert said.status == 0, said.all
    assert "gpu-1: the last 24 h, 3 rounds" in said.out
    assert "critical: RabbitMQ reachable: 127.0.0.1:" in said.out
    assert "alert: gpu-1: critical: " in said.out
    (server,) = deployed.laptop.fab("health", "--since", "24h", "--json").json["servers"]
    assert [one["levels"]["RabbitMQ reachable"] for one in server["rounds"]] == ["ok", "critical", "critical"]
    start(deployed.sandbox, "broker")


def test_a_round_that_fails_by_itself_leaves_a_word_for_fab_health(deployed: Watchman) -> None:
    deployed.round()
    whole = deployed.read(SETTINGS)
    broken = json.loads(whole)
    broken["settings"]["restarts"][0]["service"] = "nobody"  # which no laptop would write
    deployed.write(SETTINGS, json.dumps(broken))
    assert deployed.round() == CRITICAL
    said = deployed.laptop.fab("health")
    failed = (
        "a round failed in part: the restart of nobody: KeyError in gpu_runbook/server/schedule/restart_policy.py line"
    )
    assert said.status == CRITICAL and failed in said.out, said.all
    assert f"critical: scheduled check: {failed}" in deployed.told[0].text
    deployed.write(SETTINGS, whole)
    assert deployed.round() == OK
    assert "failed in part" not in deployed.laptop.fab("health").out
    assert deployed.told[-1].title == "gpu-1: over: scheduled check"
