"""Ctrl-C, really sent: what is heard, what waits until there is something to decide, and what is too late."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.laptop.commands import logs
from gpu_runbook.laptop.deploy import workflow
from gpu_runbook.laptop.errors import Cancelled, LostContact, RunbookError
from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.ssh.session import Facts
from gpu_runbook.laptop.terminal import interrupts, screen
from tasks import errors
from tasks import logs as logs_task
from tasks.invocation import Invocation


def session(name: str = "gpu-1") -> Any:
    return SimpleNamespace(host=SimpleNamespace(name=name), facts=Facts(channels=1), notices={})


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    interrupts.listen()
    yield
    interrupts.listen()


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verbs that were asked, each of which was answered at once."""
    verbs: list[str] = []

    def answer(session: Any, verb: str, *given: Any) -> dict[str, Any]:
        verbs.append(verb)
        return {}

    monkeypatch.setattr(call, "_ask", answer)
    return verbs


def is_heard(do: Callable[[], object]) -> bool:
    """Whether it ends with a KeyboardInterrupt, which would end the tests themselves."""
    try:
        do()
    except KeyboardInterrupt:
        return True
    return False


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def asked() -> None:
    call.ask(session(), "run", {})


def changed() -> None:
    call.change(session(), "state_make", {}, "the state's folder may be made", "run it again")


def test_what_is_asked_after_a_change_can_be_interrupted() -> None:
    changed()
    assert not is_heard(asked)
    assert is_heard(press)


def test_what_is_pressed_between_two_questions_is_heard_once_before_the_second(answered: list[str]) -> None:
    changed()
    assert not is_heard(press)
    assert is_heard(asked)
    assert answered == ["state_make"]
    assert not is_heard(asked)


def test_what_is_pressed_before_a_run_begins_leaves_everything_as_it_is() -> None:
    changed()
    assert not is_heard(press)
    with pytest.raises(Cancelled, match=r"gpu-1: cancelled, nothing changed$"), workflow.undisturbed(session()):
        raise AssertionError("it went on")


def test_what_was_pressed_for_one_command_is_not_heard_by_the_next() -> None:
    changed()
    assert not is_heard(press)
    interrupts.listen()
    assert not is_heard(asked)


def test_one_press_more_is_not_kept_for_later() -> None:
    changed()
    assert not is_heard(press)
    assert is_heard(asked)
    assert is_heard(press)
    assert not is_heard(asked)


def test_at_the_end_nothing_is_heard_any_more() -> None:
    interrupts.end()
    assert not is_heard(press)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # also while the interpreter ends


def test_an_error_is_told_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "show_error", lambda error: press())
    assert not is_heard(lambda: errors.show(Cancelled("cancelled, nothing changed"), {}))


def invoked(monkeypatch: pytest.MonkeyPatch) -> Invocation:
    """A command for two servers."""
    monkeypatch.setattr(Invocation, "sessions", lambda self: iter([session("gpu-1"), session("gpu-2")]))
    invocation = Invocation.__new__(Invocation)
    invocation.screen = screen.Screen(out=io.StringIO())
    hosts = [SimpleNamespace(name=name) for name in ("gpu-1", "gpu-2")]
    monkeypatch.setattr(Invocation, "hosts", hosts, raising=False)
    return invocation


def done_then_interrupted(one: Any) -> dict[str, object]:
    """The first server gives its answer; at the second something else is done and told before the Ctrl-C."""
    if one.host.name == "gpu-1":
        return {"done": True}
    one.facts.changes += 1
    raise KeyboardInterrupt


def test_of_several_servers_what_was_done_until_then_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    invocation = invoked(monkeypatch)
    for each in (invocation.ask_each, invocation.change_each):
        with pytest.raises(Cancelled, match="gpu-2: cancelled, nothing changed but what is said above") as raised:
            each(done_then_interrupted)
        first, second = raised.value.results
        assert (first["done"], second["outcome"]) == (True, "cancelled")


@pytest.mark.parametrize(
    ("fails", "said"),
    [("gpu-1", "gpu-2: not asked any more, nothing was changed there\n"), ("gpu-2", "")],
    ids=["the first", "the last"],
)
def test_servers_behind_one_that_failed_are_told_as_untouched(
    fails: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(one: Any) -> dict[str, object]:
        if one.host.name == fails:
            raise LostContact(f"{fails}: it is gone")
        return {"done": True}

    invocation = invoked(monkeypatch)
    with pytest.raises(LostContact):
        invocation.change_each(change)
    assert isinstance(invocation.screen.out, io.StringIO) and invocation.screen.out.getvalue() == said


def test_whoever_leaves_a_server_is_told_so_and_not_how_many_gave_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    left = LostContact("gpu-1: you left before the answer; whether the alerts were sent is not known")
    left.interrupted = True

    def leave(one: Any) -> dict[str, object]:
        raise left

    with pytest.raises(RunbookError) as raised:
        invoked(monkeypatch).ask_each(leave)
    assert raised.value is left and len(left.results) == 1


@pytest.mark.parametrize("connected", [False, True])
def test_whoever_has_read_enough_of_a_log_ends_it_quietly(connected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    invocation = invoked(monkeypatch)
    monkeypatch.setattr(Invocation, "hosts", ("gpu-1",), raising=False)
    monkeypatch.setattr(Invocation, "resolved", lambda self, session: SimpleNamespace(hidden_here=()))
    monkeypatch.setattr(Invocation, "inventory", None, raising=False)
    monkeypatch.setattr(logs, "of_server", pressing)
    if not connected:
        monkeypatch.setattr(Invocation, "sessions", pressing)
    service: Any = SimpleNamespace(name="annotation-queue", log_files=())
    logs_task._until_closed(invocation, logs.LogWish([service], 1, 0, follow=True), logs.AS_IT_IS, json=False)
    assert not interrupts.heard
    interrupts.listen()
    with pytest.raises((Cancelled, KeyboardInterrupt)):
        logs_task._until_closed(invocation, logs.LogWish([service], 1, 0, follow=False), logs.AS_IT_IS, json=False)


def pressing(*given: object) -> None:
    press()
