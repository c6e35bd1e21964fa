"""Contact that is lost means another thing where a server is only looked at than where something is changed there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.laptop.errors import CannotConnect, LostContact, Refused
from gpu_runbook.laptop.rpc import call


class Connection:
    """A session whose server answers nothing: `ask` ends as it is told to."""

    host = SimpleNamespace(name="gpu-1")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ending: BaseException, asked: bool = True) -> None:
        self.facts = SimpleNamespace(channels=3)

        def ask(session: Any, verb: str, request: Any, **how: Any) -> dict[str, Any]:
            self.facts.channels += asked
            raise ending

        monkeypatch.setattr(call, "ask", ask)


def ended(told: BaseException) -> tuple[str, str]:
    assert isinstance(told, CannotConnect | LostContact)
    return told.message, told.hint


LOST = LostContact("gpu-1: nothing was heard for 20 s")


def test_a_look_that_is_lost_has_changed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = Connection(monkeypatch, LOST)
    with pytest.raises(CannotConnect) as seen:
        call.look(session, "status", {})
    assert ended(seen.value) == ("gpu-1: nothing was heard for 20 s; the server was only looked at", "run it again")


def test_a_change_that_is_lost_or_left_may_have_been_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for ending, why in (
        (LOST, "gpu-1: nothing was heard for 20 s"),
        (KeyboardInterrupt(), "gpu-1: you left before the answer"),
    ):
        session: Any = Connection(monkeypatch, ending)
        with pytest.raises(LostContact) as seen:
            call.change(session, "pause", {}, "deploys may be paused", "fab status")
        assert ended(seen.value) == (f"{why}; deploys may be paused", "fab status")
        assert seen.value.interrupted == (ending is not LOST)


def test_whoever_leaves_before_there_is_a_connection_has_changed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = Connection(monkeypatch, KeyboardInterrupt(), asked=False)
    with pytest.raises(KeyboardInterrupt):
        call.change(session, "pause", {}, "deploys may be paused", "fab status")


def test_what_a_server_says_no_to_stays_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = Connection(monkeypatch, Refused("gpu-1: no"))
    with pytest.raises(Refused, match=r"gpu-1: no$"):
        call.look(session, "status", {})
    with pytest.raises(Refused, match=r"gpu-1: no$"):
        call.change(session, "pause", {}, "deploys may be paused", "fab status")
