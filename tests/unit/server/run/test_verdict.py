"""What a new release is judged by: scenarios of observations, each with the verdict it has to end in."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_runbook.protocol.journal import Observation
from gpu_runbook.protocol.plan import FAILED, PROVEN, UNPROVEN, Watch
from gpu_runbook.server.run.verdict import Verdict, WatchState, observe, verdict

SETTLE, WINDOW = 10.0, 60.0
SWAP = 100  # the next offset to read, at the swap


def judged(*scenario: Observation, position: int | None = SWAP, measurable: bool = True) -> Verdict | None:
    """What the watch makes of a scenario: its first verdict, None when it would go on watching."""
    state = WatchState(Watch(SETTLE, WINDOW), 0.0, 0.0, position, measurable)
    for seen in scenario:
        found = verdict(state, seen)
        if found:
            return found
        state = observe(state, seen)
    return None


def runs(at: float, **more: Any) -> Observation:
    """It runs since its first start, and nothing has moved yet."""
    return Observation(**{"at": at, "running": True, "started_at": "first", "position": SWAP, "backlog": 0, **more})


def exited(at: float, status: int = 1, **more: Any) -> Observation:
    return Observation(at, started_at="first", exit_code=status, position=SWAP, **more)


def between_restarts(at: float, restarts: int = 1, **more: Any) -> Observation:
    """The engine waits before it starts it again; it calls that running, too."""
    return runs(at, restarting=True, restarts=restarts, exit_code=1, **more)


def restarted(at: float, restarts: int = 1, **more: Any) -> Observation:
    return runs(at, **{"restarts": restarts, "started_at": "later", **more})


def outcome(found: Verdict | None) -> str | None:
    return found.outcome if found else None


AWAY: dict[str, Any] = {"broker": "connection refused", "backlog": None}
MOVED = {"position": SWAP + 5}

SICK = "its HEALTHCHECK says unhealthy"

SCENARIOS: dict[str, tuple[list[Observation], str | None]] = {
    "it consumes under load and has settled": ([runs(0), runs(5, **MOVED, backlog=900), runs(10, **MOVED)], PROVEN),
    "it consumes and has not settled yet": ([runs(0), runs(9.5, **MOVED)], None),
    "it starts slowly and then consumes": ([runs(0, backlog=9), runs(50, backlog=9), runs(55, **MOVED)], PROVEN),
    "its health check says unhealthy": ([runs(0, health="starting"), runs(5, sick=SICK, **MOVED)], FAILED),
    "it says so while the broker is away": (
        [runs(0), runs(5, sick=SICK, **AWAY), runs(60, sick=SICK, **AWAY)],
        UNPROVEN,
    ),
    "its health check takes its time": (
        [runs(0), runs(20, health="starting", **MOVED), runs(30, health="healthy", **MOVED)],
        PROVEN,
    ),
    "its health check comes to no result, and its offset moves": (
        [runs(0), runs(30, health="starting", **MOVED), runs(60, health="starting", **MOVED)],
        PROVEN,
    ),
    "its health check comes to no result, and messages wait": (
        [runs(at, health="starting", backlog=9) for at in (0, 30, 60)],
        FAILED,
    ),
    "it has not heard yet that the broker is back": ([runs(0), runs(5, sick=SICK, **AWAY), runs(6, sick=SICK)], None),
    "it hears that the broker is back": (
        [runs(0), runs(5, sick=SICK, **AWAY), runs(6, sick=SICK), runs(40, health="healthy", **MOVED)],
        PROVEN,
    ),
    "it never hears that the broker is back": (
        [runs(0), runs(5, sick=SICK, **AWAY), runs(6, sick=SICK), runs(60, sick=SICK)],
        FAILED,
    ),
    "healthy is no proof where an offset could move": ([runs(0), runs(60, health="healthy", backlog=9)], UNPROVEN),
    "the queue is idle to the end": ([runs(0), runs(30), runs(60)], UNPROVEN),
    "messages wait to the end": ([runs(0, backlog=9), runs(30, backlog=9), runs(60, backlog=9)], FAILED),
    "it went back in the stream": ([runs(0, backlog=9), runs(60, position=3, backlog=106)], FAILED),
    "it ended at once": ([exited(0)], FAILED),
    "it ended well at once": ([exited(0, 0)], FAILED),
    "it ended after it had consumed": ([runs(0), runs(5, **MOVED), exited(6)], FAILED),
    "it crashed and waits for its restart": ([runs(0), between_restarts(5)], FAILED),
    "it crashed and runs again": ([runs(0), restarted(5)], FAILED),
    "it consumes but crashes every 9 s": ([runs(0), runs(5, **MOVED), runs(8.5, **MOVED), restarted(9.5)], FAILED),
    "its log says that it loses messages": ([runs(0), runs(2, **MOVED, failure="Error while handling 7")], FAILED),
    "somebody removed it": ([runs(0), Observation(1, failure="the container was removed")], FAILED),
    "it crashed while the broker was away": ([runs(0), between_restarts(5, **AWAY), restarted(6, **AWAY)], None),
    "its log fails while the broker is away": ([runs(0), runs(5, failure="Traceback", **AWAY)], None),
    "the broker went away and came back, and it consumes": (
        [runs(0), between_restarts(5, **AWAY), restarted(6, **AWAY), restarted(8), restarted(17, **MOVED)],
        PROVEN,
    ),
    "the broker is back before the engine starts it again": (
        [runs(0), between_restarts(5, **AWAY), between_restarts(6), restarted(8), restarted(9)],
        None,
    ),
    "it crashed once more with the broker back": (
        [runs(0), between_restarts(5, **AWAY), restarted(6, **AWAY), between_restarts(8, restarts=2)],
        FAILED,
    ),
    "it crashed before the broker went away": ([runs(0), restarted(5), runs(6, **AWAY)], FAILED),
    "the broker was away all the time": ([runs(0, **AWAY), runs(30, **AWAY), runs(60, **AWAY)], UNPROVEN),
    "the broker came back just before the end": ([runs(0, **AWAY), runs(57, **AWAY), runs(60, backlog=9)], UNPROVEN),
    "the broker was away at a crash, and then all is idle": (
        [runs(0), between_restarts(5, **AWAY), restarted(6), restarted(60)],
        UNPROVEN,
    ),
    "the engine was away to the end": (
        [runs(0), Observation(5, engine=False), Observation(60, engine=False)],
        UNPROVEN,
    ),
    "the engine came back, and it consumes": (
        [
            runs(0),
            Observation(5, engine=False),
            exited(8),
            restarted(9, restarts=0),
            restarted(20, restarts=0, **MOVED),
        ],
        PROVEN,
    ),
    "it moved, and the engine goes away as it would settle": ([runs(5, **MOVED), Observation(15, engine=False)], None),
    "somebody started it again by hand, and it consumes": (
        [runs(0, **MOVED), restarted(5, restarts=0, **MOVED), restarted(14, restarts=0, **MOVED)],
        None,
    ),
    "somebody starts it again and again by hand": (
        [runs(0, **MOVED), restarted(55, restarts=0, **MOVED), restarted(60, restarts=0, **MOVED)],
        UNPROVEN,
    ),
    "messages come only at the end": ([runs(0), runs(55), runs(59, backlog=9), runs(60, backlog=9)], UNPROVEN),
    "messages wait long enough before the end": ([runs(0), runs(49, backlog=9), runs(60, backlog=9)], FAILED),
    "nobody may ask the stream": ([runs(0, backlog=None), runs(60, backlog=None)], UNPROVEN),
    "its offset cannot be read": ([runs(0, position=None, backlog=9), runs(60, position=None, backlog=9)], FAILED),
    "the window is not over": ([runs(0, backlog=9), runs(59.9, backlog=9)], None),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_scenario_ends_in_its_verdict(scenario: str) -> None:
    seen, expected = SCENARIOS[scenario]
    assert outcome(judged(*seen)) == expected


def test_a_first_release_is_proven_by_leaving_the_beginning_of_the_stream() -> None:
    begins = runs(0, position=None, first=40, backlog=60)
    assert outcome(judged(begins, runs(20, position=40, first=40, backlog=60), position=None)) is None
    assert outcome(judged(begins, runs(20, position=41, first=40, backlog=59), position=None)) == PROVEN


def test_a_first_release_without_messages_stays_unproven() -> None:
    found = judged(runs(0, position=None), runs(60, position=None), position=None)
    assert found == Verdict(UNPROVEN, "the queue was idle: no message came that could prove it")


def test_what_has_no_offset_can_only_be_watched_for_crashes() -> None:
    found = judged(runs(0, position=None, backlog=None), runs(60, position=None, backlog=None), measurable=False)
    assert found is not None
    assert (found.outcome, "hosts.yaml does not say where its offset is" in found.reason) == (UNPROVEN, True)


def test_a_killed_predecessor_does_not_keep_its_successor_from_being_proven() -> None:
    behind = SWAP - 49  # the old one was killed before it saved: the copy of its offset says so
    assert outcome(judged(runs(0, position=behind), runs(12, position=behind + 1), position=behind)) == PROVEN


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ([runs(0), runs(12, **MOVED)], "its offset moved to 105"),
        ([runs(0), exited(3, 7)], "it ended by itself with exit status 7"),
        ([runs(0), between_restarts(3)], "it ended by itself with exit status 1 and was restarted 1 time"),
        ([runs(0), restarted(9, restarts=3)], "it ended by itself and was restarted 3 times"),
        ([runs(0, failure="Traceback (most recent call last):")], "its log says: Traceback (most recent call last):"),
        ([runs(0, backlog=9), runs(60, backlog=9)], "9 messages wait and its offset has not moved for 60 s"),
        ([runs(0), Observation(5, engine=False), runs(60)], "the docker engine was away"),
        ([runs(0), exited(5, **AWAY), runs(60)], "the broker was away: connection refused"),
        ([runs(0, **AWAY), runs(60, **AWAY)], "connection refused"),
    ],
)
def test_the_reason_says_what_was_seen(scenario: list[Observation], reason: str) -> None:
    found = judged(*scenario)
    assert found is not None
    assert found.reason == reason


def test_what_does_not_run_at_the_end_is_never_left_in_force_for_an_excuse() -> None:
    dead = [runs(0), exited(5, **AWAY), exited(30), exited(60)]
    found = judged(*dead)
    assert found == Verdict(FAILED, "it does not run (exit status 1)")
    assert outcome(judged(runs(0), exited(55, **AWAY), exited(60, **AWAY))) == UNPROVEN


def test_a_watch_always_ends_with_its_window() -> None:
    for last in (
        runs(60),
        runs(60, backlog=3),
        exited(60, **AWAY),
        between_restarts(60, **AWAY),
        Observation(60, engine=False),
    ):
        assert judged(runs(0), last) is not None


def test_where_no_offset_could_move_a_health_check_is_proof() -> None:
    scenario = [runs(0, health="starting"), runs(20, health="starting"), runs(30, health="healthy")]
    found = judged(*scenario, measurable=False)
    assert found == Verdict(PROVEN, "its HEALTHCHECK says healthy")
    assert judged(*scenario[:2], runs(60, health="starting"), measurable=False) == Verdict(
        UNPROVEN, "its HEALTHCHECK has not come to a result yet"
    )
