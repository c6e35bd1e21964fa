"""What was done on a server and what happened to it: runs, engine restarts, actions and alerts of the rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpu_runbook.common import humanize
from gpu_runbook.laptop.inventory.image_tag import short
from gpu_runbook.laptop.report.values import Course, moment
from gpu_runbook.protocol.history import PastRun, ServiceChange
from gpu_runbook.protocol.values import dataclass

RESTART, ACTION, ALERT = "engine restart", "action", "alert"
DRAWN = ("deploy", "rollback", "restart", "stop")
UNCHANGED = ("refused", "cancelled", "up-to-date")  # outcomes of runs that left everything as it was
KNOWN = (*UNCHANGED, "done", "rolled-back", "needs-person")
MOST_EVENTS = 200  # that are listed
WORD = 24  # characters of what is one word unless a journal was damaged
PARTS = 300  # of the axis; of what falls into one part and is of one kind, one mark is drawn


@dataclass(frozen=True)
class Run:
    """One run as the page shows it; `percent`: where it lies on the axis. `outcome` names a class of the style."""

    at: float
    percent: float
    action: str
    who: str
    changes: tuple[str, ...]
    outcome: str
    ended: str
    down: str
    sentence: str
    changed: bool

    @property
    def shape(self) -> str:
        return self.action if self.action in DRAWN else "run"


@dataclass(frozen=True)
class Event:
    """Something that a round saw or did, at a moment in seconds since 1970."""

    at: float
    kind: str
    text: str


@dataclass(frozen=True)
class EventMark:
    """One or several events of a kind, too near to each other to be told apart."""

    percent: float
    kind: str
    text: str


def runs(pasts: Sequence[PastRun], axis: Course) -> tuple[list[Run], Run | None]:
    """The runs within the time shown, newest first, and the newest one before it."""
    told = [_run(past, at, axis) for past in pasts if (at := moment(past.at)) is not None]
    within = [one for one in told if axis.start <= one.at]
    return within, next((one for one in told if one.at < axis.start), None)


def _run(past: PastRun, at: float, axis: Course) -> Run:
    ended = past.state == "ended"
    outcome = past.outcome if ended and past.outcome in KNOWN else "other" if ended else "unended"
    return Run(
        at=at,
        percent=axis.percent(at),
        action=past.action[:WORD] or "run",
        who=f"{past.who}@{past.laptop}" if past.laptop else past.who or "nobody knows whom",
        changes=tuple(map(_change, past.changes)),
        outcome=outcome,
        ended=(past.outcome if ended else past.state)[:WORD].replace("-", " ") or "ended",
        down="" if past.outage is None else f"{past.outage:.1f} s",
        sentence=past.sentence,
        changed=outcome not in UNCHANGED,
    )


def _change(change: ServiceChange) -> str:
    return f"{change.service}: {_named(change.tag_before, change.image_before)} → {_named(change.tag, change.image)}"


def _named(tag: str, image: str) -> str:
    """The tag, or where there is none the beginning of the digest."""
    return (short(tag) if tag else "") or image.rpartition("@")[2][:19] or "nothing"


def events(axis: Course) -> list[Event]:
    """All of them, newest first."""
    found = [*_engine_restarts(axis), *_said(axis)]
    return sorted(found, key=lambda one: one.at, reverse=True)


def _engine_restarts(axis: Course) -> Iterator[Event]:
    """The engine counts anew for every container that somebody started."""
    known: dict[str, int] = {}
    for at, one in axis.rounds:
        for service, queue in one.queues.items():
            if queue.restarts is None:
                continue
            before = known.get(service, queue.restarts)
            grown = queue.restarts - before if queue.restarts >= before else queue.restarts
            known[service] = queue.restarts
            if grown > 0:
                yield Event(at, RESTART, f"the engine started {service} again, {humanize.several(grown, 'time')}")


def _said(axis: Course) -> Iterator[Event]:
    for at, one in axis.rounds:
        yield from (Event(at, ACTION, text) for text in one.actions)
        yield from (Event(at, ALERT, text) for text in one.alerts)


def marks(found: Sequence[Event], axis: Course) -> list[EventMark]:
    """Where events lie on the axis, oldest first."""
    parts: dict[tuple[int, str], list[Event]] = {}
    for one in reversed(found):
        parts.setdefault((int(axis.percent(one.at) / 100 * PARTS), one.kind), []).append(one)
    return [EventMark(axis.percent(group[0].at), kind, _together(group)) for (_, kind), group in parts.items()]


def _together(group: Sequence[Event]) -> str:
    more = f" (and {len(group) - 1} more about this time)" if len(group) > 1 else ""
    return f"{group[0].kind}: {group[0].text}{more}"
