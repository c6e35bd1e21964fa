"""How a run ended, as a result or an error; and its journal, told once."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_runbook.laptop.deploy import journal_text
from gpu_runbook.laptop.deploy.run import Listener, Succeeded, conclude
from gpu_runbook.laptop.deploy.workflow import pull_teller, teller
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
from gpu_runbook.protocol.journal import (
    EVENTS,
    Command,
    JournalEvent,
    Seen,
    Swapped,
    Swapping,
    Undoing,
    Undone,
    Unfinished,
    Watching,
    encoded,
)
from gpu_runbook.protocol.swap import Swap
from tests.hostile.damage import documents
from tests.hostile.forms import RUN
from tests.unit.world import NEW, SWAP

SESSION = Session(Host(name="gpu-1", address="gpu-1.lan", root="/azaion"))


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
    assert (caught.value.hint, caught.value.details) == ("do this", {"log": ("last line",)})
    assert caught.value.as_result()["log"] == ("last line",)


def test_a_run_without_an_end_was_cut_off() -> None:
    with pytest.raises(NeedsPerson, match=f"run {RUN} was cut off"):
        conclude(SESSION, {"run": RUN, "end": None})


def test_a_run_that_could_not_be_brought_to_its_end_says_why() -> None:
    with pytest.raises(NeedsPerson, match=rf"gpu-1: run {RUN} was cut off: docker. is away$"):
        conclude(SESSION, {"run": RUN, "end": None, "why": "docker\x1b is away"})
    why = "docker is away"
    assert journal_text.sentence(Unfinished(why)) == f"not brought to its end yet: {why}"
    assert journal_text.sentence(Unfinished(why, tries=2)) == f"not brought to its end yet, tried 2 times: {why}"


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
    listener = Listener("gpu-1", told.append)
    journal = [Undoing(f"for the {n}th time") for n in range(5)]
    for upto in (2, 1, 4, 5, 5):  # lost, lost earlier, and so on
        listener.again()
        for event in journal[:upto]:
            listener({"event": "journal", "line": encoded(event)})
    assert told == journal


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Swapped("q", NEW, 7, 1.234, 0), "q: started; it was down for 1.23 s, next offset 7"),
        (Swapped("q", NEW, None), "q: started"),
        (
            Swapped("q", NEW, None, old_exit=137),
            "q: started; the old one had to be killed (137): messages may be read again",
        ),
        (Command(("docker", "stop"), 0, 0.1), None),
        (Command(("docker", "stop"), 1, 0.1, "no"), "failed: docker stop (no)"),
        (Swapping(Swap("q", "q", NEW, "q.r1", "always", grace=30)), "q: starting"),
        (Swapping(SWAP), "queue: stopping the old one (it has 30 s), then starting the new one"),
        (Watching("q", 15.0, 90.0), "q: watched for at most 90 s, until it has proven itself"),
        (Undone(()), "everything is as it was before"),
        (Undone(("q: no",)), None),
        (journal_text.Garbled("swap"), "a line (swap) that cannot be understood"),
        (journal_text.Lost("the line is dead"), "the line is dead; trying to come back to the run"),
    ],
)
def test_an_event_of_a_journal_is_a_sentence(event: journal_text.News, said: str | None) -> None:
    assert journal_text.sentence(event) == said


def test_what_is_seen_passes_by() -> None:
    assert journal_text.passing(Seen("q", True, 0, 7, 1, "")) == "q: running, offset 7, 1 message waiting"
    assert journal_text.passing(Seen("q", False, 0, 7, 1, "")) == "q: not running, offset 7, 1 message waiting"
    assert journal_text.passing(Seen("q", False, 0, None, None, "", engine=False)) == "q: docker does not answer"
    assert journal_text.passing(Undoing("it failed")) is None
    pulling = {"event": "pulling", "image": "r/q@sha256:00", "done": 1 << 20, "total": 3 << 20}
    assert journal_text.pulling(pulling) == "pulling r/q 1.0 MiB of 3.0 MiB"
    assert journal_text.pulling({"event": "fetched", "image": "r/q@sha256:00"}) is None


FIELDS = sorted({one.name for kind in EVENTS for one in dataclasses.fields(kind)})
DOCUMENTS = documents | st.just(10**400)


def heard(event: Any, screen: Screen) -> list[JournalEvent]:
    """What is noted of an event of a call that is told."""
    noted: list[JournalEvent] = []
    Listener("gpu-1", teller(screen, screen.say, noted.append))(event)
    return noted


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([kind.word for kind in EVENTS]) | st.text(),
    st.dictionaries(st.sampled_from([*FIELDS, "at", "t"]), DOCUMENTS),
)
def test_a_line_that_is_not_what_it_should_be_is_told_all_the_same(word: str, told: dict[str, Any]) -> None:
    screen = Screen()
    screen.out = io.StringIO()
    noted = heard({"event": "journal", "line": {**told, "event": word}}, screen)
    known = word in [kind.word for kind in EVENTS]
    garbled = " ".join(f"  a line ({word}) that cannot be understood".split()) in screen.out.getvalue()
    assert known == (bool(noted) or garbled)


@pytest.mark.parametrize("event", [{"event": "journal"}, {"event": "journal", "line": []}, {"event": "watching"}, {}])
def test_what_is_no_line_of_a_journal_is_a_defect(event: dict[str, Any]) -> None:
    with pytest.raises(Defect, match="gpu-1: an event is not what it should be"):
        heard(event, Screen())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["event", "image", "done", "total"]), DOCUMENTS | st.just("pulling")))
def test_an_event_of_a_pull_that_is_not_what_it_should_be_is_told_or_a_defect(event: dict[str, Any]) -> None:
    screen = Screen()
    screen.out = io.StringIO()
    try:
        pull_teller(screen.say, "gpu-1")(event)
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
