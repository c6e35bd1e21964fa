"""What the journal of a run tells: each event is one value, and what is not known of a line is passed over."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import pytest

from docs.shapes import Shape, entries
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.journal import (
    EVENTS,
    Begin,
    Command,
    End,
    EndDetails,
    EndOutcome,
    HandledOffsets,
    JournalEvent,
    Judged,
    Observation,
    Recorded,
    Restarted,
    Staged,
    Started,
    Swapped,
    Undoing,
    Unended,
    Unfinished,
    as_line,
    encoded,
    told,
)
from tests.hostile.forms import ONE, RUN

WORDS = (
    *("begin", "staging", "unplaced", "staged", "command", "swap", "swapped", "restart", "restarted", "stop"),
    *("watching", "seen", "verdict", "undoing", "undone", "recorded", "unrecorded", "unstaging", "closing", "pointed"),
    *("recovering", "unfinished", "end"),
)
STAGED = {"event": "staged", "service": "queue", "container": ONE}


def below(kind: type[JournalEvent]) -> set[type[JournalEvent]]:
    return {kind}.union(*map(below, kind.__subclasses__()))


def test_the_words_are_those_that_stand_in_the_journals_of_servers() -> None:
    assert tuple(dict.fromkeys(kind.word for kind in EVENTS)) == WORDS


def test_every_event_is_listed_and_says_what_it_is_and_what_each_field_means() -> None:
    assert {*EVENTS} == below(JournalEvent) - {JournalEvent, Started, EndOutcome, Unended}
    for kind in EVENTS:
        assert inspect.getdoc(kind) not in (None, inspect.getdoc(JournalEvent)), kind
        assert [one.name for one in entries(Shape((kind,))) if not one.means] == [], kind


@pytest.mark.parametrize(
    ("event", "written"),
    [
        (Swapped("queue", ONE), {"service": "queue", "container": ONE}),
        (
            Swapped("queue", ONE, 7, 0.5, 0),
            {"service": "queue", "container": ONE, "offset": 7, "outage": 0.5, "old_exit": 0},
        ),
        (Restarted("queue", ONE), {"service": "queue", "container": ONE}),
        (Command(("docker", "ps"), None, 0.1), {"argv": ("docker", "ps"), "status": None, "seconds": 0.1}),
        (Recorded(RUN), {"release": RUN}),
        (Unfinished("docker is away"), {"why": "docker is away"}),
    ],
)
def test_what_need_not_be_there_is_left_out_where_there_is_none_of_it(event: JournalEvent, written: Any) -> None:
    assert encoded(event) == {"event": event.word, **written}
    assert as_line(json.loads(json.dumps(encoded(event)))).event == event


def test_a_line_of_another_version_is_read_as_far_as_it_is_known() -> None:
    line = as_line({"at": "2026-04-20T10:11:12.000Z", "t": 1.5, **STAGED, "color": "blue"})
    assert (line.at, line.t, line.event) == ("2026-04-20T10:11:12.000Z", 1.5, Staged("queue", ONE))
    assert as_line({"event": "tidied", "at": "now", "t": "late"}).event is None
    odd = as_line({"event": "tidied", "at": "now", "t": "late"})
    assert (odd.at, odd.t) == ("", None)


@pytest.mark.parametrize("change", [{"container": "--all"}, {"service": None}, {"container": [ONE]}])
def test_a_line_that_does_not_fit_its_event_tells_nothing_and_is_named_to_whoever_needs_it(change: Any) -> None:
    line = as_line(STAGED | change)
    assert told([line, as_line(STAGED)], Staged) == [Staged("queue", ONE)]
    (name,) = change
    with pytest.raises(Malformed, match=rf"^staged\.{name}: "):
        assert line.event
    with pytest.raises(Malformed, match=rf"^{RUN}\.{name}: "):
        decode(Staged, line.written, RUN)


@pytest.mark.parametrize("written", [None, [], "begin", {}, {"event": 7}, {"event": None}])
def test_what_is_no_line(written: Any) -> None:
    with pytest.raises(Malformed):
        as_line(written)


def test_events_of_several_kinds_come_as_they_stand() -> None:
    lines = [as_line(encoded(event)) for event in (Undoing("one"), Recorded(RUN), Undoing("two"), Unfinished("three"))]
    assert told(lines, Unfinished, Undoing) == [Undoing("one"), Undoing("two"), Unfinished("three")]
    assert told(lines, Begin) == []


def test_an_event_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Undoing("it failed").reason = "it did not"  # type: ignore[misc]


def test_what_another_version_adds_within_an_end_or_an_observation_is_passed_over() -> None:
    handled = {"service": "queue", "container": ONE, "first": 1, "end": 7}
    end = {"event": "end", "outcome": "rolled-back", "sentence": "it failed", "details": {"handled": [handled]}}
    known = as_line(end).event
    assert known == End("rolled-back", "it failed", details=EndDetails(handled=(HandledOffsets("queue", ONE, 1, 7),)))
    handled["more"] = True
    assert as_line(end).event == known
    seen = {**encode(Observation(1.0)), "more": True}
    more: dict[str, Any] = {"before": 0, "lines": 0, "failures": []}
    judged = {"service": "queue", "verdict": "failed", "reason": "", "seen": seen, **more}
    assert isinstance(as_line({"event": "verdict", **judged}).event, Judged)


def test_how_it_ended_is_known_also_where_more_of_the_end_does_not_fit() -> None:
    line = as_line({"event": "end", "outcome": "refused", "sentence": "no", "details": {"notes": 7}})
    assert told([line], End) == []
    assert told([line], EndOutcome) == [EndOutcome("refused", "no")]
