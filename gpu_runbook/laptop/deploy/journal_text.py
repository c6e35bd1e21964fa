"""Turns the events of a journal, and those of a pull, into sentences. Pure; an event without news is None."""

from __future__ import annotations

import shlex
from typing import Any

from gpu_runbook.common import humanize
from gpu_runbook.common.container import KILLED
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.journal import (
    Command,
    JournalEvent,
    Judged,
    Line,
    Pointed,
    Recorded,
    Recovering,
    Restarted,
    Restarting,
    Seen,
    Staged,
    Started,
    Stopping,
    Swapped,
    Swapping,
    Undoing,
    Undone,
    Unfinished,
    Unplaced,
    Unrecorded,
    Watching,
)
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Lost:
    """The connection over which a run was followed is gone."""

    why: str


@dataclass(frozen=True)
class Garbled:
    """A line that does not fit its event."""

    word: str  # of the event


News = JournalEvent | Garbled | Lost


def meaning(line: Line) -> JournalEvent | Garbled | None:
    """What a line tells, None where that is not known here."""
    try:
        return line.event
    except Malformed:
        return Garbled(line.word)


def sentence(event: News) -> str | None:
    """What stays on the screen: one line."""
    said = _sentence(event)
    return one_line(said, LONGEST) if said else None


def _sentence(event: News) -> str | None:
    match event:
        case Recovering():
            return "a run that was cut off is brought to an end first"
        case Staged(service):
            return f"{service}: container and config are ready"
        case Command(argv, status) if status != 0:
            return f"failed: {shlex.join(argv)} ({event.said or ''})"
        case Unplaced(service):
            return f"{service}: its config has no place for the chosen model, and keeps its own"
        case Pointed(service, path, before, after):
            return f"{service}: {path} pointed at {before}, and now at {after}"
        case Swapping(swap):
            return _swap(swap)
        case Swapped():
            killed = "; the old one had to be killed (137): messages may be read again"
            return _started(event) + (killed if event.old_exit == KILLED else "")
        case Restarting(service, grace=grace) if grace:
            return f"{service}: stopping it (it has {grace} s), then starting it"
        case Stopping(service, grace=grace) if grace:
            return f"{service}: stopping it (it has {grace} s)"
        case Restarted():
            return _started(event)  # the end tells of a kill
        case Watching(service, window=window):
            return f"{service}: watched for at most {window:.0f} s, until it has proven itself"
        case Judged(service, verdict, reason):
            return f"{service}: {verdict}: {reason}"
        case Undoing(reason):
            return f"going back: {reason}"
        case Undone(trouble):
            return "everything is as it was before" if not trouble else None
        case Unfinished(why):
            times = f", tried {humanize.several(event.tries, 'time')}" if event.tries else ""
            return f"not brought to its end yet{times}: {why}"
        case Recorded(release):
            return f"recorded as release {release}"
        case Unrecorded(why):
            return f"the new release is in force, but {why}"
        case Garbled(word):
            return f"a line ({word}) that cannot be understood"
        case Lost(why):
            return f"{why}; trying to come back to the run"
    return None


def passing(event: News) -> str | None:
    """What may be overwritten by the next news: one line."""
    return one_line(_seen(event)) if isinstance(event, Seen) else None


def _swap(swap: Swap) -> str:
    if not swap.old:
        return f"{swap.service}: starting"
    return f"{swap.service}: stopping the old one (it has {swap.grace} s), then starting the new one"


def _started(event: Started) -> str:
    down = f"; it was down for {event.outage:.2f} s" if event.outage is not None else ""
    offset = f", next offset {event.offset}" if event.offset is not None else ""
    return f"{event.service}: started{down}{offset}"


def _seen(seen: Seen) -> str:
    state = "docker does not answer" if not seen.engine else "running" if seen.running else "not running"
    parts = [f"{seen.service}: {state}"]
    if seen.offset is not None:
        parts.append(f"offset {seen.offset}")
    if seen.backlog is not None:
        parts.append(f"{humanize.several(seen.backlog, 'message')} waiting")
    if seen.broker:
        parts.append(seen.broker)
    return ", ".join(parts)


def pulling(event: dict[str, Any]) -> str | None:
    """The progress of a pull, which may be overwritten by the next news: one line. Raises for what is none."""
    if event.get("event") != "pulling":
        return None
    image, total = str(event.get("image", "")).split("@")[0], event.get("total") or 0
    share = f" {humanize.size(event.get('done', 0))} of {humanize.size(total)}" if total else ""
    return one_line(f"pulling {image}{share}")
