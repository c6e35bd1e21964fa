"""A server whose clock is a year off, either way, for a while: what was made then and what is made now go together."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.deploy.laptop import QUEUE, finished
from tests.faults import shim, whole, witness
from tests.faults.deaths import cut_off
from tests.faults.helpers import COMMAND, HELPERS, look_after, make_round, not_judged
from tests.faults.kept import Outcome
from tests.faults.servers import Case, Track
from tests.faults.shim import Point
from tests.faults.story import Stage
from tests.real import published

YEAR = 365.0 * 86400  # seconds
SHIFTS = {"a year ahead": YEAR, "a year behind": -YEAR}
LOAD = 40  # messages after each step
RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
BETWEEN_STOP_AND_START = Point("after", 5)
ROUND = ("a round",)
FORCED = ("deploy", "--service", QUEUE, "--force", "--tag", "{tag}")

Words = tuple[str, ...]

# What is done while the clock is off, and what afterwards, when it is right again.
STORIES: dict[str, tuple[tuple[Words, ...], tuple[Words, ...]]] = {
    "deployed then, rolled back now": ((FORCED,), (("rollback",), FORCED, ROUND)),
    "deployed, rolled back and restarted then": ((FORCED, ("rollback",), ("restart", QUEUE), ROUND), (FORCED, ROUND)),
    "stopped then, started now": ((ROUND, ("stop", QUEUE), ROUND), (ROUND, ("restart", QUEUE), FORCED, ROUND)),
    "paused then": ((("pause", "--for", "1h"), ROUND), (("resume",), ROUND, FORCED)),
}


@dataclass
class Told:
    """What a case has found out: sentences, and the runs in the order in which they were made."""

    wrong: list[str]
    runs: list[str]


def tracks(seed: int) -> list[Track]:
    cases = [story(name, shift) for shift in SHIFTS for name in STORIES]
    cases += [_cut_off(shift, helper, first) for shift in SHIFTS for helper in HELPERS for first in ("then", "now")]
    return [Track([case]) for case in cases]


def story(name: str, shift: str) -> Case:
    """One of the stories, with one of the shifts."""
    off, right = STORIES[name]

    def play(stage: Stage, told: Told) -> None:
        shim.set_clock(stage.sandbox, SHIFTS[shift])
        for words in off:
            _step(stage, told, words)
        shim.set_clock(stage.sandbox)
        for words in right:
            _step(stage, told, words)

    stops = any(words[0] == "stop" for words in off)
    return _case(f"{name}, the clock {shift}", f"the clock is {shift}", play, stops)


def _cut_off(shift: str, helper: str, first: str) -> Case:
    """A deploy that is cut off under one clock, and helped under the other."""
    clocks = (SHIFTS[shift], 0.0) if first == "then" else (0.0, SHIFTS[shift])

    def play(stage: Stage, told: Told) -> None:
        shim.set_clock(stage.sandbox, clocks[0])
        shim.arm(stage.sandbox, BETWEEN_STOP_AND_START)
        with stage.laptop.start(*_filled(stage, FORCED)) as laptop:
            came = shim.wait_for_point(stage.sandbox, BETWEEN_STOP_AND_START, lambda: laptop.poll() is not None)
            if came:
                cut_off(stage.sandbox)
            shim.let_go(stage.sandbox)
            told.wrong += [] if came else [f"the deploy ended before it was cut off: {finished(laptop).all}"]
            finished(laptop)
        _note_run(stage, told)
        shim.set_clock(stage.sandbox, clocks[1])
        _step(stage, told, FORCED if helper == COMMAND else ROUND)
        shim.set_clock(stage.sandbox)
        _step(stage, told, FORCED)

    name = f"a deploy cut off {first}, helped by a {helper} {'now' if first == 'then' else 'then'}"
    return _case(f"{name}, the clock {shift}", f"the clock is {shift}", play)


def _case(name: str, row: str, play: Callable[[Stage, Told], None], stops: bool = False) -> Case:
    """`stops`: a run finds the consumer stopped on purpose."""

    def played(stage: Stage) -> Outcome:
        look_after(stage.laptop)
        before, told = whole.before(stage), Told([], [])
        known = set(before.seen.journals)
        ready, stage.ready = stage.ready, ""
        try:
            play(stage, told)
        finally:
            shim.set_clock(stage.sandbox)
        told.wrong += whole.wrong(stage, before, stopped_by_engine=stops)
        told.wrong += _ids(stage, told, known)
        stage.ready = "" if told.wrong else ready
        return Outcome(name, row, tuple(told.wrong))

    return Case(name, row, played)


def _step(stage: Stage, told: Told, words: Words) -> None:
    if words == ROUND:
        told.wrong += not_judged(make_round(stage.sandbox))
    else:
        said = stage.laptop.fab(*_filled(stage, words))
        if said.status != 0 or "Traceback" in said.all:
            told.wrong.append(f"{words[0]} ended with {said.status}: {said.err.strip()}")
    _note_run(stage, told)
    published(stage.sandbox, LOAD, first=stage.published + 1)
    stage.published += LOAD


def _filled(stage: Stage, words: Words) -> list[str]:
    return [stage.next_tag() if word == "{tag}" else word for word in words]


def _note_run(stage: Stage, told: Told) -> None:
    """The runs are known by what is new among the journals, and not by their order: that is what is tried here."""
    seen = {run for run in witness.look(stage.sandbox, time.time()).journals if run not in told.runs}
    told.runs += sorted(seen)


def _ids(stage: Stage, told: Told, known: set[str]) -> list[str]:
    """Ids have one length for ever, and sort as they were made; so does the history."""
    made = [run for run in told.runs if run not in known]
    wrong = [f"{run} is not the id of a run" for run in made if not RUN.fullmatch(run)]
    if made != sorted(made):
        wrong.append(f"the runs were made in the order {', '.join(made)}, which is not that of their ids")
    listed = [run["run"] for run in stage.laptop.fab("history", "--json").json["servers"][0]["runs"]]
    if listed[: len(made)] != made[::-1]:
        wrong.append(f"fab history tells them as {', '.join(listed[: len(made)])}, newest first")
    return wrong
