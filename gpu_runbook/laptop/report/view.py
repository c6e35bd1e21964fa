"""One server as the template shows it: everything is decided here, and nothing is left to the template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gpu_runbook.common import humanize
from gpu_runbook.laptop.commands.health import worst
from gpu_runbook.laptop.report import clock, timeline
from gpu_runbook.laptop.report import events as happened
from gpu_runbook.laptop.report.events import MOST_EVENTS, Event, EventMark, Run
from gpu_runbook.laptop.report.plots import as_json, figures
from gpu_runbook.laptop.report.timeline import Stretch, Strip
from gpu_runbook.laptop.report.values import Course, ServerReport, course, level
from gpu_runbook.protocol.check import CRITICAL, LEVELS, OK, SKIPPED, Check
from gpu_runbook.protocol.values import dataclass

FIRST = 8  # rows of a list that are seen at once
MOST_ROWS = 200  # of a list, unfolded


@dataclass(frozen=True)
class Listed:
    """A list for people: what is seen at once, what unfolds, and how many more there are."""

    first: list[Any]
    more: list[Any]
    left_out: int


@dataclass(frozen=True)
class Now:
    """How a server is: its level, one sentence, and a row per check."""

    level: str
    sentence: str
    counts: str
    rows: list[Check]


@dataclass(frozen=True)
class Retrospect:
    """How a server was. `empty` says why there is nothing to draw; `notes` what is to be known of the history."""

    axis: Course
    length: str
    empty: str
    notes: list[str]
    strips: list[Strip]
    trouble: Listed
    ticks: list[tuple[float, str]]
    runs: Listed
    drawn: list[Run]
    before: Run | None
    events: Listed
    marks: list[EventMark]
    data: dict[str, Any]


@dataclass(frozen=True)
class View:
    """One server: `past` is None where it could not be reached."""

    anchor: str
    server: str
    at: str
    error: str
    now: Now
    past: Retrospect | None


def view(report: ServerReport, number: int) -> View:
    return View(
        anchor=f"server-{number}",
        server=report.server,
        at=report.at,
        error=report.error,
        now=_now(report),
        past=None if report.error else _past(report, course(report)),
    )


def _now(report: ServerReport) -> Now:
    if report.error:
        return Now(CRITICAL, report.error, "", [])
    rows = [replace(one, level=level(one.level), figures={}) for one in report.checks]
    found = worst(row.level for row in rows)
    counts = Counter(row.level for row in rows)
    summed = ", ".join(f"{counts[one]} {one}" for one in timeline.WORST_FIRST if counts[one])
    return Now(found, _sentence(rows, found), summed, rows)


def _sentence(rows: list[Check], found: str) -> str:
    if not rows:
        return "nothing was asked"
    if found == OK:
        return f"nothing is wrong with {humanize.several(sum(row.level != SKIPPED for row in rows), 'check')}"
    row = next(row for row in rows if row.level == found)
    return f"{row.name}: {row.sentence}"


def _past(report: ServerReport, axis: Course) -> Retrospect:
    strips, trouble, left_out = timeline.strips(report, axis)
    runs, before = happened.runs(report.runs, axis)
    drawn, events = [run for run in runs if axis.holds(run.at)], happened.events(axis)
    found = figures(axis)
    return Retrospect(
        axis=axis,
        length=clock.length(axis.end - axis.start),
        empty=_empty(report, axis),
        notes=[*_notes(report, axis), *_left_out(left_out, [(plot.title, plot.left_out) for plot in found.plots])],
        strips=strips,
        trouble=listed(trouble),
        ticks=clock.ticks(axis),
        runs=listed(runs),
        drawn=drawn[:MOST_ROWS],
        before=before,
        events=listed(events, MOST_EVENTS),
        marks=happened.marks(events, axis),
        data={"start": axis.start, "end": axis.end, "runs": _drawn(drawn), **as_json(found)},
    )


def listed(rows: list[Any], most: int = MOST_ROWS) -> Listed:
    return Listed(rows[:FIRST], rows[FIRST:most], max(len(rows) - most, 0))


def _drawn(runs: list[Run]) -> list[dict[str, Any]]:
    """What the plots show of runs: where, and in which style; those that changed nothing are no part of a figure."""
    return [{"at": round(run.at), "style": f"{run.shape} {run.outcome}"} for run in runs[:MOST_ROWS] if run.changed]


def _empty(report: ServerReport, axis: Course) -> str:
    if axis.rounds:
        return ""
    if not report.every:
        return "no round yet: fab schedule.install starts them"
    due, shown = clock.length(report.every), clock.length(axis.end - axis.start)
    return f"no round in these {shown}, although one is due every {due}: fab schedule.show says what is known"


def _notes(report: ServerReport, axis: Course) -> Iterable[str]:
    if axis.rounds and not axis.follows(axis.rounds[-1][0], axis.end):
        yield f"the last round was {clock.length(axis.end - axis.rounds[-1][0])} before this report"
    unreadable = report.damaged + axis.untimed
    if unreadable:
        yield f"{humanize.several(unreadable, 'line')} of the history cannot be read"
    if axis.outside:
        verb = "is" if axis.outside == 1 else "are"
        yield f"{humanize.several(axis.outside, 'round')} of another time {verb} not shown"


def _left_out(strips: int, plots: list[tuple[str, int]]) -> Iterable[str]:
    if strips:
        yield f"{humanize.several(strips, 'check')} more in the history are not drawn"
    yield from (f"{title}: {humanize.several(count, 'line')} more are not drawn" for title, count in plots if count)


def used(past: Retrospect) -> dict[str, list[str]]:
    """What a legend has to explain, and no more: only what is drawn."""
    stretches: list[Stretch] = [one for strip in past.strips for one in strip.stretches]
    events: list[Event] = [*past.events.first, *past.events.more]
    return {
        "levels": [one for one in (*LEVELS, timeline.GAP) if any(stretch.level == one for stretch in stretches)],
        "silent": ["silent"] if any(stretch.silent for stretch in stretches) else [],
        "shapes": sorted({run.shape for run in past.drawn}),
        "outcomes": sorted({run.outcome for run in past.drawn}),
        "events": sorted({event.kind for event in events}),
    }
