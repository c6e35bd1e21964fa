"""How long an answer is waited for, in all and without anything new: a beat of a server that is stuck is nothing."""

from __future__ import annotations

import time

import pytest

from gpu_runbook.laptop.errors import Defect, LostContact
from gpu_runbook.laptop.rpc import call as exchange
from gpu_runbook.laptop.rpc.call import ANSWER, DAY, Deadline, ask
from gpu_runbook.laptop.ssh.session import Call, Session
from tests.wire.test_answers import Saying, saying

BEATS = "while :; do printf '\\036{\"beat\": 1}\\n'; sleep 0.01; done"
FLOOD = "yes '\x1e{\"beat\": 1}'"
SEEN = 'while :; do printf \'\\036{"event": {"done": 1}}\\n\'; sleep 0.01; done'

__all__ = ["saying"]  # a fixture


def test_beats_are_no_answer(saying: Saying) -> None:
    with Session(saying(BEATS)) as session, pytest.raises(LostContact, match=r"^gpu-1: no answer came within 0 s$"):
        ask(session, "ping", {}, deadline=Deadline(0.2))


def test_a_flood_of_beats_is_no_answer_either(saying: Saying) -> None:
    with (
        Session(saying(FLOOD)) as session,
        pytest.raises((LostContact, Defect), match=r"^gpu-1: (no answer|the answer)"),
    ):
        ask(session, "logs", {}, endless=True, deadline=Deadline(0.5))


class Clock:
    """One that shows so many seconds more whenever somebody looks at it."""

    def __init__(self, step: float) -> None:
        self.now, self._step = 0.0, step

    def monotonic(self) -> float:
        self.now += self._step
        return self.now


def test_what_gets_on_may_take_longer_than_what_stands_still(saying: Saying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "time", Clock(10))
    heard: list[object] = []
    with Session(saying(SEEN)) as session, pytest.raises(LostContact, match=r"^gpu-1: no answer came within 17 min$"):
        ask(session, "models", {}, heard.append, deadline=Deadline(1000, still=300))
    assert len(heard) > 10
    with Session(saying(BEATS)) as session, pytest.raises(LostContact, match=r"^gpu-1: nothing new came for 5 min$"):
        ask(session, "models", {}, deadline=Deadline(1000, still=300))


def test_the_time_of_whoever_listens_is_not_the_servers(saying: Saying, monkeypatch: pytest.MonkeyPatch) -> None:
    """`fab logs | less` is read by somebody who takes his time."""
    clock = Clock(1)

    def listen(event: object) -> None:
        clock.now += 1000

    monkeypatch.setattr(exchange, "time", clock)
    script = 'printf \'\\036{"event": {}}\\n\\036{"event": {}}\\n\'; printf \'\\036{"answer": {"a": 1}}\\n\''
    with Session(saying(script)) as session:
        assert ask(session, "logs", {}, listen, deadline=Deadline(300)) == {"a": 1}


def test_a_complaint_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Channel:
        """One over which standard error goes on, a letter at a time."""

        def settimeout(self, seconds: float) -> None:
            assert seconds > 0

        def recv_stderr(self, size: int) -> bytes:
            time.sleep(0.01)
            return b"x"

    call = Call.__new__(Call)
    monkeypatch.setattr(call, "_channel", Channel(), raising=False)
    assert set(call.complaint(0.1)) == {"x"}
    monkeypatch.setattr(Channel, "recv_stderr", _never)
    assert call.complaint(0.1) == ""


def _never(channel: object, size: int) -> bytes:
    raise TimeoutError


def test_an_answer_of_very_many_parts_is_given_up(saying: Saying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST_MESSAGES", 1000)
    with Session(saying("yes '\x1e{\"event\": {}}'")) as session, pytest.raises(Defect, match="more than 1000 parts"):
        ask(session, "ping", {})


def test_every_bound_is_one() -> None:
    assert Deadline().left == ANSWER
    deadline = Deadline(10, still=4)
    deadline.waited(3)
    assert (deadline.left, deadline.stands_still) == (1, True)
    deadline.heard()
    assert deadline.left == 4
    deadline.waited(4)
    assert deadline.over
    deadline.heard()
    assert (deadline.left, deadline.stands_still) == (3, False)
    deadline.allow(DAY)
    deadline.heard()
    assert (deadline.left, deadline.over) == (4, False)
