"""What a watch makes of what docker answers: an answer is no absence, and what cannot be read is one source less."""

from __future__ import annotations

import dataclasses
import json
import struct
import time
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.protocol.plan import FAILED
from gpu_runbook.server.docker.engine import EngineError, Unreadable
from gpu_runbook.server.run import watch
from gpu_runbook.server.run.verdict import verdict
from tests.unit.docker_answers import ONE, Answering, inspected
from tests.unit.world import STEP

STAMP = "2026-04-20T10:11:12.000000001Z"
NO_LOG = "configured logging driver does not support reading"


def frame(text: str, stream: int = 1) -> bytes:
    return struct.pack(">BxxxI", stream, len(text)) + text.encode()


class Asked(Answering):
    """An engine with one container. `log`: what it answers when it is asked for its log, or how it refuses."""

    def __init__(self, log: bytes | EngineError, events: Any = (), limit: int = 10 << 20, **state: Any) -> None:
        super().__init__("unix:///nowhere")
        self.__dict__.update(log=log, events=events, limit=limit, state=state)

    def covering(self, secret: str) -> Asked:
        """The same, which knows what nobody may see."""
        self.__dict__["hidden"] = (secret,)
        return self

    def ask(self, path: str, query: Any = None, headers: Any = None, seconds: float = 0.0) -> bytes:
        if path == "/events":
            return self._told()
        if not path.endswith("/logs"):
            found = inspected(ONE, **self.__dict__["state"])
            found["HostConfig"]["Memory"] = self.__dict__["limit"]
            return json.dumps(found).encode()
        log = self.__dict__["log"]
        if isinstance(log, EngineError):
            raise log
        return bytes(log)

    def _told(self) -> bytes:
        """What happened to it, a JSON text a line, as docker tells it."""
        if self.__dict__["events"] is None:
            raise EngineError(0, "it is away")
        events = [{"Action": one["Action"], "Actor": {"Attributes": one}} for one in self.__dict__["events"]]
        return "".join(f"{json.dumps(one)}\n" for one in events).encode()


def looked(engine: Asked) -> tuple[watch.Watched, Any]:
    step = dataclasses.replace(STEP, watch=dataclasses.replace(STEP.watch, failure_text=("Traceback",)))
    entry = watch.watched(step, ONE, "", None, 0.0)
    docker: Any = SimpleNamespace(engine=engine)
    return entry, watch.look(docker, entry)


UNREAD = [
    pytest.param(EngineError(501, NO_LOG), NO_LOG, id="a driver that keeps none"),
    pytest.param(EngineError(500, "open x-json.log: no such file"), "open x-json.log: no such file", id="refused"),
    pytest.param(frame("Error grabbing logs: open x", 3), "Error grabbing logs: open x", id="a file that is gone"),
    pytest.param(frame(f"{STAMP} fine\n") + frame("unexpected EOF", 3), "unexpected EOF", id="a torn file"),
]


@pytest.mark.parametrize(("log", "why"), UNREAD)
def test_without_its_log_a_release_is_judged_by_all_else(log: Any, why: str) -> None:
    entry, seen = looked(Asked(log, restarts=3))
    assert (seen.engine, seen.running, seen.restarts, seen.failure, seen.unread) == (True, True, 3, "", why)
    found = verdict(entry.watch_state, seen)
    assert found and (found.outcome, "restarted 3 times" in found.reason) == (FAILED, True)
    judged = watch._judged(Asked(log), entry, found, seen)
    assert (judged.lines, judged.failures) == (None, ())


@pytest.mark.parametrize("status", [0, 404])
def test_an_engine_or_a_container_that_is_gone_is_no_log_that_cannot_be_read(status: int) -> None:
    engine = Asked(EngineError(status, "it is gone"))
    assert not looked(engine)[1].engine
    with pytest.raises(EngineError) as raised:
        engine.logs(ONE)
    assert not isinstance(raised.value, Unreadable)


def test_a_log_that_can_be_read_is_searched() -> None:
    entry, seen = looked(Asked(frame(f"{STAMP} Traceback (most recent call last)\n")))
    assert ("Traceback" in seen.failure, seen.unread) == (True, "")
    found = verdict(entry.watch_state, seen)
    assert found
    judged = watch._judged(Asked(frame("fine\n") + frame("Traceback\n", 2)), entry, found, seen)
    assert (judged.lines, judged.failures) == (2, ("Traceback",))


OOM, DIED, WELL = {"Action": "oom"}, {"Action": "die", "exitCode": "137"}, {"Action": "die", "exitCode": "0"}
ENDED, AGAIN = "it ended by itself", "and was restarted 2 times"
KILLED = "it was killed for lack of memory (its limit is 10 MiB)"


@pytest.mark.parametrize(
    ("state", "events", "reason"),
    [
        pytest.param({"restarts": 2}, [DIED], f"{ENDED} with exit status 137 {AGAIN}", id="its engine still knows"),
        pytest.param({"restarts": 2}, [WELL], f"{ENDED} with exit status 0 {AGAIN}", id="it ended well"),
        pytest.param({"restarts": 2}, [], f"{ENDED} {AGAIN}", id="its engine does not know any more"),
        pytest.param({"restarts": 2}, None, f"{ENDED} {AGAIN}", id="its engine does not say"),
        pytest.param({"restarts": 2}, [DIED, OOM, DIED], f"{KILLED} {AGAIN}", id="it lacked memory"),
        pytest.param(
            {"restarts": 2},
            [DIED, OOM],
            f"{KILLED} {AGAIN}",
            id="it lacked memory, as is told afterwards",
        ),
        pytest.param({"restarts": 2}, [OOM, DIED, DIED], f"{ENDED} with exit status 137 {AGAIN}", id="before"),
        pytest.param(
            {"restarts": 2, "Restarting": True, "OOMKilled": True, "ExitCode": 137},
            [],
            f"{KILLED} {AGAIN}",
            id="waits",
        ),
        pytest.param({"Running": False, "OOMKilled": True, "ExitCode": 137}, [], KILLED, id="stopped"),
        pytest.param(
            {"Running": False, "OOMKilled": True, "ExitCode": 3},
            [],
            "it ended by itself with exit status 3",
            id="a child of it was killed, at some time",
        ),
        pytest.param({"Running": False, "ExitCode": 3}, [], "it ended by itself with exit status 3", id="ended"),
        pytest.param({"Running": False}, [], "it ended by itself with exit status 0", id="ended well"),
    ],
)
def test_how_it_ended_is_said_where_it_is_known(state: Any, events: Any, reason: str) -> None:
    entry, seen = looked(Asked(b"", events, **state))
    found = verdict(entry.watch_state, seen)
    assert found and (found.outcome, found.reason) == (FAILED, reason)


def test_a_server_that_ran_out_of_memory_is_no_limit_of_a_container() -> None:
    engine = Asked(b"", [OOM, DIED], limit=0, restarts=1)
    assert looked(engine)[1].lack == "the server's own ran out"


def health(status: str, streak: int = 3, *said: str) -> dict[str, Any]:
    """What docker knows of a HEALTHCHECK."""
    return {"Health": {"Status": status, "FailingStreak": streak, "Log": [{"Output": one} for one in said]}}


SICK = "its HEALTHCHECK says unhealthy"


@pytest.mark.parametrize(
    ("state", "told", "sick"),
    [
        pytest.param({}, "", "", id="there is none"),
        pytest.param(health("starting", 0), "starting", "", id="it has not come to a result"),
        pytest.param(health("unhealthy"), "unhealthy", SICK, id="it says nothing with it"),
        pytest.param(health("unhealthy", 3, "a", " \n"), "unhealthy", SICK, id="it says nothing in the end"),
        pytest.param(health("unhealthy", 3, "a", "no b\n"), "unhealthy", f'{SICK}: "no b"', id="it says why"),
        pytest.param(health("unhealthy") | {"Running": False}, "", "", id="it has ended"),
        pytest.param(health("unhealthy") | {"Paused": True}, "", "", id="it is paused"),
        pytest.param(health("unhealthy") | {"Restarting": True}, "", "", id="it waits to be restarted"),
        pytest.param(health("unhealthy", 0, "fine"), "", "", id="it was paused, and not asked since"),
        pytest.param({"Health": {"Status": 7}}, "", "", id="it cannot be understood"),
        pytest.param({"Health": "ill"}, "", "", id="it is something else"),
    ],
)
def test_what_its_health_check_says_counts_while_it_is_at_work(state: Any, told: str, sick: str) -> None:
    engine = Asked(b"", **state).covering("s3cret")
    seen = looked(engine)[1]
    assert (seen.engine, seen.health, seen.sick) == (True, told, sick)


def test_what_a_health_check_prints_shows_no_secret() -> None:
    engine = Asked(b"", **health("unhealthy", 3, "amqp://queue:s3cret@broker is away"))
    assert looked(engine)[1].sick == SICK  # it is not known what has to be covered
    assert looked(engine.covering("s3cret"))[1].sick == f'{SICK}: "amqp://queue:•••@broker is away"'


def test_the_broker_is_asked_before_a_health_check_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(watch, "_ask_broker", lambda *given: asked.append(given))
    for state, times in (({}, 0), (health("unhealthy"), 1)):
        entry = watch.watched(STEP, ONE, "", None, 0.0)
        entry.asked = time.monotonic()
        docker: Any = SimpleNamespace(engine=Asked(b"", **state))
        watch.look(docker, entry)
        assert len(asked) == times


def test_what_stands_before_the_end_of_a_torn_log_counts() -> None:
    seen = looked(Asked(frame(f"{STAMP} Traceback\n") + frame("unexpected EOF", 3)))[1]
    assert (seen.failure, seen.unread) == ('"Traceback"', "unexpected EOF")
