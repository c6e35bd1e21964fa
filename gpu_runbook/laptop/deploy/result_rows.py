"""What stands at the end of a deploy or a rollback, as rows with their evidence, from what its journal said. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_runbook.common import fullness, humanize
from gpu_runbook.common.container import health_told
from gpu_runbook.laptop.inventory.entries import DiskHealth
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.journal import JournalEvent, Judged, Observation, Recorded


def rows(events: Sequence[JournalEvent], root: str, limits: DiskHealth) -> list[Check]:
    """A row for each watched container, its log and its offset, and one for the disk; `events` of one journal.

    `root`: of the server's data, whose disk it is.
    """
    return [row for event in events for row in _of_event(event, root, limits)]


def _of_event(event: JournalEvent, root: str, limits: DiskHealth) -> list[Check]:
    match event:
        case Judged(name, seen=seen) if not seen.engine:
            said, hint = "docker did not answer at the end of the watch", "fab status looks again"
            return [Check(f"{name} {what}", UNKNOWN, said, hint=hint) for what in ("container", "log", "offset")]
        case Judged(name, seen=seen, before=before):
            return [_container(name, seen), _log(event), _offset(name, before, seen)]
        case Recorded(disk=(blocks, free, available, size)):
            return [_disk(root, blocks - free, available, size, limits)]
    return []


def _container(name: str, seen: Observation) -> Check:
    restarts = seen.restarts
    figures = {"restarts": restarts, "started_at": seen.started_at}
    if not seen.running:
        return Check(f"{name} container", CRITICAL, "it does not run", figures, f"see fab logs {name}")
    if seen.sick:
        return Check(f"{name} container", CRITICAL, seen.sick, figures, f"see fab logs {name}")
    again = f", started again {humanize.several(restarts, 'time')}" if restarts else ""
    since = seen.started_at[:19].replace("T", " ")
    return Check(
        f"{name} container",
        WARNING if restarts else OK,
        f"running since {since}{again}{health_told(seen.health)}",
        figures,
    )


def _log(event: Judged) -> Check:
    name, count = event.service, event.lines
    figures = {"lines": count}
    if count is None or event.seen.unread:
        why = f": {quoted(event.seen.unread, 200)}" if event.seen.unread else ""
        return Check(f"{name} log", UNKNOWN, f"it could not be read{why}", figures, "the other rows speak without it")
    silence = f"; {event.silence}" if event.silence else ""
    if event.failures:
        sentence = f"among its last {humanize.several(count, 'line')}: {quoted(event.failures[-1], 200)}"
        return Check(f"{name} log", WARNING, sentence, figures, f"see fab logs {name} --tail 20")
    clean = f"clean: its last {humanize.several(count, 'line')}" if count else "its log is empty"
    return Check(f"{name} log", OK, f"{clean}{silence}", figures)


def _offset(name: str, before: int | None, seen: Observation) -> Check:
    now, backlog = seen.position, seen.backlog
    figures = {"before": before, "offset": now, "backlog": backlog}
    if now is None:
        return Check(f"{name} offset", UNKNOWN, "it has not written down its offset yet", figures)
    moved = now > (before or 0)
    where = f"offset {now}" + (f", {now - (before or 0)} since the swap" if moved else "")
    if backlog is None:
        why = seen.broker or "the stream was not asked"
        return Check(f"{name} offset", OK if moved else UNKNOWN, f"{where}; {why}", figures)
    if backlog and not moved:
        sentence = f"{where}, and up to {humanize.several(backlog, 'message')} to go"
        return Check(f"{name} offset", WARNING, sentence, figures, "fab status looks again")
    waits = f"up to {humanize.several(backlog, 'message')} to go" if backlog else "nothing waits"
    return Check(f"{name} offset", OK, f"{where}, {waits}", figures)


def _disk(root: str, used: int, available: int, size: int, limits: DiskHealth) -> Check:
    """As df has it, which rounds up: what root alone may use is neither used nor there. `size`: bytes of a block."""
    share = -(-100 * used // max(used + available, 1))
    level = CRITICAL if share > limits.critical else WARNING if share > limits.warning else OK
    figures = {"percent": share, "available": available * size}
    if level == OK:
        return Check("disk space", level, fullness.enough(root, share, available * size), figures)
    return Check("disk space", level, fullness.scarce(root, share, available * size), figures, fullness.REMEDY)
