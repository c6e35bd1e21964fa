"""What was done on a server: asked of its journals, as lines for people and as JSON types for scripts."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gpu_runbook.common import humanize
from gpu_runbook.laptop.deploy import journal_text
from gpu_runbook.laptop.errors import Defect
from gpu_runbook.laptop.rpc.call import entry, look
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import LONGEST, named, one_line
from gpu_runbook.protocol.history import PastRun, ServiceChange
from gpu_runbook.protocol.requests import HistoryRequest

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.past import HistoryAnswer

STYLES = {"done": "", "up-to-date": "dim", "cancelled": "dim", "refused": "dim"}  # of outcomes; others are a warning


def of_server(session: Session, place: tuple[str, str], limit: int) -> tuple[PastRun, ...]:
    """The newest runs, newest first; one exchange. Raises what `call.ask` raises."""
    return _ask(session, HistoryRequest(*place, limit=limit), None)


def of_run(session: Session, place: tuple[str, str], run: str) -> tuple[PastRun, list[dict[str, Any]]]:
    """One run, the newest without a name, and the lines of its journal. Raises what `call.ask` raises."""
    journal: list[dict[str, Any]] = []

    def hear(event: dict[str, Any]) -> None:
        line = event.get("line")
        if isinstance(line, dict):
            journal.append(line)

    pasts = _ask(session, HistoryRequest(*place, show=run), hear)
    if len(pasts) != 1:
        raise Defect(f"{session.host.name}: the history is not what it should be (runs: {len(pasts)} instead of 1)")
    return pasts[0], journal


def _ask(
    session: Session, request: HistoryRequest, hear: Callable[[dict[str, Any]], None] | None
) -> tuple[PastRun, ...]:
    answer = look(session, "history", request, on_event=hear)
    return entry(session.host.name, answer, "runs", tuple[PastRun, ...])


def lines(server: str, pasts: Sequence[PastRun]) -> Iterator[tuple[str, str]]:
    """(text, style) of each line."""
    yield f"{server}: {humanize.several(len(pasts), 'run') if pasts else 'there has been no run yet'}", "bold"
    for past in pasts:
        yield from _run(past)


def _run(past: PastRun) -> Iterator[tuple[str, str]]:
    style = STYLES.get(past.outcome, "yellow") if past.state == "ended" else "yellow"
    yield f"  {past.at[:19].replace('T', ' ')}  {past.action or 'run'} {past.run}  by {_by(past)}", style
    yield f"      {one_line(_end(past), LONGEST)}", style
    yield from ((f"      {_change(change)}", "dim") for change in past.changes)
    yield from ((f"      went past {one_line(row)}: {one_line(why)}", "yellow") for row, why in past.skipped.items())
    if past.damaged:
        damage = f"{humanize.several(past.damaged, 'line')} of its journal cannot be read"
        yield f"      {damage}: runs/{past.run}.jsonl in the state", "yellow"


def shown(past: PastRun, journal: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """(text, style) of each line of one run."""
    yield from _run(past)
    for line in journal:
        text = told(line)
        if text:
            yield f"  {text}", "dim" if line.get("event") == "seen" else ""


def as_result(server: str, pasts: Sequence[PastRun]) -> HistoryAnswer:
    """The same for scripts."""
    return {"server": server, "runs": [encode(past) for past in pasts]}


def _by(past: PastRun) -> str:
    return f"{past.who}@{past.laptop}" if past.laptop else past.who or "nobody knows whom"


def _end(past: PastRun) -> str:
    if past.state == "under-way":
        return f"under way: fab follow --run {past.run}"
    if past.state == "cut-off":
        return "cut off: the next fab deploy or fab rollback finishes or undoes it"
    took = f" in {past.seconds:.1f} s" if past.seconds is not None else ""
    down = f", down for {past.outage:.2f} s" if past.outage is not None else ""
    return f"{past.outcome}{took}{down}: {past.sentence}"


def _change(change: ServiceChange) -> str:
    before = _named(change.tag_before, change.image_before) if change.tag_before or change.image_before else "nothing"
    return f"{change.service}: {before} → {_named(change.tag, change.image)}"


def _named(tag: str, image: str) -> str:
    digest = image.rpartition("@")[2][:19]
    return f"{named(tag)} ({named(digest)})".lstrip() if digest else named(tag)


def told(line: dict[str, Any]) -> str | None:
    """A line of a journal as `fab show` prints it, with its time; None for one that says nothing to a person."""
    since = line.get("t")
    try:
        text = _text(line)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        text = f"a line ({line.get('event')}) that cannot be understood"
    return f"{since:9.3f} s  {text}" if text and isinstance(since, int | float) else text or None


def _text(line: dict[str, Any]) -> str:
    event = line.get("event")
    if event == "begin":
        return f"{line.get('action')} {line.get('run')} by {line.get('who')}@{line.get('laptop')}, {line.get('at')}"
    if event == "command":
        return f"$ {shlex.join(map(str, line.get('argv', ())))}{_status(line)}"
    if event == "end":
        return one_line(f"{line.get('outcome')}: {line.get('sentence')}", LONGEST)
    return journal_text.sentence(line) or journal_text.passing(line) or ""


def _status(line: dict[str, Any]) -> str:
    return "" if line.get("status") == 0 else f"  → {line.get('status')}: {line.get('said', '')}"
