"""How a run ended, as a result or an error; and its journal, told once."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_runbook.laptop.deploy import journal_text
from gpu_runbook.laptop.deploy.run import Listener, Succeeded, conclude
from gpu_runbook.laptop.deploy.workflow import teller
from gpu_runbook.laptop.errors import (
    BadInput,
    Cancelled,
    CannotConnect,
    Defect,
    LostContact,
    NeedsPerson,
    Refused,
    RolledBack,
    RunbookError,
)
from gpu_runbook.laptop.inventory.model import Host
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.screen import Screen
from tests.hostile.damage import documents

SESSION = Session(Host(name="gpu-1", address="gpu-1.lan", root="/azaion"))
RUN = "20260420-101112-abcd"


def concluded(**end: Any) -> Succeeded:
    return conclude(SESSION, {"run": RUN, "end": {"event": "end", "sentence": "so it was", **end}})


def test_a_run_that_went_well_is_a_result() -> None:
    details = {"release": RUN, "notes": ["a note"]}
    assert concluded(outcome="done", verdict="proven", details=details) == Succeeded(
        RUN, RUN, "gpu-1: so it was", "proven", ("a note",)
    )


@pytest.mark.parametrize(
    ("outcome", "error"),
    [("refused", Refused), ("rolled-back", RolledBack), ("needs-person", NeedsPerson), ("cancelled", Cancelled)],
)
def test_a_run_that_did_not_is_the_error_it_stands_for(outcome: str, error: type[RunbookError]) -> None:
    with pytest.raises(error, match="gpu-1: so it was") as caught:
        concluded(outcome=outcome, hint="do this", details={"log": ["last line"]})
    assert (caught.value.hint, caught.value.details) == ("do this", {"log": ["last line"]})
    assert caught.value.as_result()["log"] == ["last line"]


def test_a_run_without_an_end_was_cut_off() -> None:
    with pytest.raises(NeedsPerson, match=f"run {RUN} was cut off"):
        conclude(SESSION, {"run": RUN, "end": None})


def test_a_run_that_could_not_be_brought_to_its_end_says_why() -> None:
    with pytest.raises(NeedsPerson, match=rf"gpu-1: run {RUN} was cut off: docker. is away$"):
        conclude(SESSION, {"run": RUN, "end": None, "why": "docker\x1b is away"})
    told = {"event": "unfinished", "why": "docker is away"}
    assert journal_text.sentence(told) == "not brought to its end yet: docker is away"
    assert journal_text.sentence({**told, "tries": 2}) == "not brought to its end yet, tried 2 times: docker is away"


@pytest.mark.parametrize(
    "end",
    [
        {},
        {"outcome": "fine"},
        {"outcome": ["done"]},
        {"outcome": "done", "details": []},
        {"outcome": "done", "details": {"notes": 7}},
        {"outcome": "needs-person", "details": "none"},
        {"outcome": "needs-person", "details": {"log": 7}},
    ],
)
def test_an_end_that_is_not_what_it_should_be_is_a_defect(end: dict[str, Any]) -> None:
    with pytest.raises(Defect, match=f"gpu-1: the end of run {RUN} is not what it should be"):
        concluded(**end)


def test_each_line_of_a_journal_is_told_once_however_often_it_is_read() -> None:
    told: list[Any] = []
    listener = Listener(told.append)
    journal = [{"n": n} for n in range(5)]
    for upto in (2, 1, 4, 5, 5):  # lost, lost earlier, and so on
        listener.again()
        for event in journal[:upto]:
            listener(event)
    assert told == journal


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            {"event": "swapped", "service": "q", "outage": 1.234, "offset": 7},
            "q: started; it was down for 1.23 s, next offset 7",
        ),
        (
            {"event": "swapped", "service": "q", "old_exit": 137},
            "q: started; the old one had to be killed (137): messages may be read again",
        ),
        ({"event": "command", "argv": ["docker", "stop"], "status": 0}, None),
        ({"event": "command", "argv": ["docker", "stop"], "status": 1, "said": "no"}, "failed: docker stop (no)"),
        ({"event": "swap", "swap": {"service": "q", "grace": 30}}, "q: starting"),
        (
            {"event": "swap", "swap": {"service": "q", "grace": 30, "old": "c"}},
            "q: stopping the old one (it has 30 s), then starting the new one",
        ),
        (
            {"event": "watching", "service": "q", "window": 90.0},
            "q: watched for at most 90 s, until it has proven itself",
        ),
        ({"event": "undone", "trouble": []}, "everything is as it was before"),
        ({"event": "undone", "trouble": ["q: no"]}, None),
        ({"event": "a later version says this"}, None),
    ],
)
def test_a_line_of_a_journal_is_a_sentence(line: dict[str, Any], said: str | None) -> None:
    assert journal_text.sentence(line) == said


def test_what_is_seen_passes_by() -> None:
    seen = {"event": "seen", "service": "q", "running": True, "offset": 7, "backlog": 1, "broker": ""}
    assert journal_text.passing(seen) == "q: running, offset 7, 1 message waiting"
    assert journal_text.passing({**seen, "running": False}) == "q: not running, offset 7, 1 message waiting"
    silent = {"event": "seen", "service": "q", "engine": False, "running": False, "offset": None, "backlog": None}
    assert journal_text.passing(silent) == "q: docker does not answer"
    pulling = {"event": "pulling", "image": "r/q@sha256:00", "done": 1 << 20, "total": 3 << 20}
    assert journal_text.passing(pulling) == "pulling r/q 1.0 MiB of 3.0 MiB"
    assert journal_text.passing({"event": "begin"}) is None


EVENTS = [
    *("recovering", "staged", "command", "swap", "swapped", "watching", "verdict", "undoing", "undone"),
    *("recorded", "lost", "seen", "pulling", "end"),
]
FIELDS = [
    *("service", "argv", "said", "status", "swap", "window", "outage", "offset", "old_exit", "verdict"),
    *("reason", "trouble", "release", "why", "running", "backlog", "broker", "image", "done", "total"),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(EVENTS), st.dictionaries(st.sampled_from(FIELDS), documents | st.just(10**400)))
def test_a_line_that_is_not_what_it_should_be_is_told_or_a_defect(event: str, fields: dict[str, Any]) -> None:
    screen = Screen()
    screen.out = io.StringIO()
    tell = teller(screen, screen.say, "gpu-1")
    try:
        tell({"event": "journal", "line": {"event": event, **fields}})
    except Defect as error:
        assert str(error) == "gpu-1: an event is not what it should be"


def test_every_error_has_an_exit_status_of_its_own_beyond_those_of_checks() -> None:
    errors = [BadInput, CannotConnect, Refused, RolledBack, NeedsPerson, Cancelled, LostContact, Defect]
    assert [error.exit_code for error in errors] == list(range(10, 18))
    assert NeedsPerson("so it was", "do this").as_result() == {
        "outcome": "needs-person",
        "exit_status": 14,
        "sentence": "so it was",
        "hint": "do this",
    }
    assert CannotConnect("no").as_result()["outcome"] == "cannot-connect"
