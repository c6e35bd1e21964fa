"""Ctrl-C, really sent: what is heard, what waits until there is something to decide, and what is too late."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.laptop.deploy import workflow
from gpu_runbook.laptop.errors import Cancelled
from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.terminal import interrupts

SESSION: Any = SimpleNamespace(
    host=SimpleNamespace(name="gpu-1", python="python3", sudo=False), facts=SimpleNamespace(channels=1), notices={}
)


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    interrupts.listen()
    yield
    signal.signal(signal.SIGINT, before)
    interrupts.heard = True


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verbs that were asked, each of which was answered at once."""
    verbs: list[str] = []

    def answer(session: Any, verb: str, *given: Any) -> dict[str, Any]:
        verbs.append(verb)
        return {}

    monkeypatch.setattr(call, "_ask", answer)
    return verbs


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def changed() -> None:
    call.change(SESSION, "state_make", {}, "the state's folder may be made", "run it again")


def test_what_is_asked_after_a_change_can_be_interrupted(answered: list[str]) -> None:
    changed()
    call.ask(SESSION, "run", {})
    with pytest.raises(KeyboardInterrupt):
        press()


def test_what_is_pressed_between_two_questions_is_heard_before_the_second(answered: list[str]) -> None:
    changed()
    press()
    with pytest.raises(KeyboardInterrupt):
        call.ask(SESSION, "run", {})
    assert answered == ["state_make"]
    call.ask(SESSION, "run", {})  # it is heard once


def test_what_is_pressed_before_a_run_begins_leaves_everything_as_it_is(answered: list[str]) -> None:
    changed()
    press()
    with pytest.raises(Cancelled, match="gpu-1: cancelled, nothing changed"), workflow.undisturbed(SESSION):
        raise AssertionError("it went on")


def test_what_is_pressed_while_an_end_is_told_changes_nothing(answered: list[str]) -> None:
    changed()
    press()
    interrupts.listen()  # for the next command
    call.ask(SESSION, "status", {})
