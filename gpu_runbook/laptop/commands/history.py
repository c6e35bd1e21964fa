"""What was done on a server: asked of its journals, as lines for people and as JSON types for scripts."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpu_runbook.common import humanize
from gpu_runbook.laptop.deploy import journal_text
from gpu_runbook.laptop.errors import Defect
from gpu_runbook.laptop.inventory.image_tag import version
from gpu_runbook.laptop.rpc.call import entry, look
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.history import PastRun, ServiceChange
from gpu_runbook.protocol.journal import Begin, Command, End, Line, Seen, as_line
from gpu_runbook.protocol.requests import HistoryRequest

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.past import HistoryAnswer

STYLES = {"done": "", "up-to-date": "dim", "cancelled": "dim", "refused": "dim"}  # of outcomes; others are a warning


def of_server(session: Session, place: tuple[str, str], limit: int) -> tuple[PastRun, ...]:
    """The newest runs, newest first; one exchange. Raises what `call.ask` raises."""
    return _ask(session, HistoryRequest(*place, limit=limit), None)


def of_run(session: Session, place: tuple[str, str], run: str) -> tuple[PastRun, list[Line]]:
    """One run, the newest without a name, and the lines of its journal. Raises what `call.ask` raises."""
    journal: list[Line] = []

    def hear(event: dict[str, Any]) -> None:
        with suppress(Malformed):
            journal.append(as_line(event.get("line")))

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


def shown(past: PastRun, journal: Sequence[Line]) -> Iterator[tuple[str, str]]:
    """(text, style) of each line of one run."""
    yield from _run(past)
    for line in journal:
        text = told(line)
        if text:
            yield f"  {text}", "dim" if line.word == Seen.word else ""


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
    before = version(change.tag_before, change.image_before) if change.tag_before or change.image_before else "nothing"
    return f"{change.service}: {before} → {version(change.tag, change.image)}"


def told(line: Line) -> str | None:
    """A line of a journal as `fab show` prints it, with its time; None for one that says nothing to a person."""
    text = _text(line)
    return f"{line.t:9.3f} s  {text}" if text and line.t is not None else text or None


def _text(line: Line) -> str:
    match journal_text.meaning(line):
        case Begin(run, action, who, laptop):
            return f"{action} {run} by {who}@{laptop}, {line.at}"
        case Command(argv) as command:
            return f"$ {shlex.join(argv)}{_status(command)}"
        case End(outcome, sentence):
            return one_line(f"{outcome}: {sentence}", LONGEST)
        case None:
            return ""
        case event:
            return journal_text.sentence(event) or journal_text.passing(event) or ""


def _status(command: Command) -> str:
    return "" if command.status == 0 else f"  → {command.status}: {command.said or ''}"
