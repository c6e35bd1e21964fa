"""What stands at the end of a deploy or a rollback, as rows with their evidence, from what its journal said. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gpu_runbook.common import humanize
from gpu_runbook.laptop.inventory.entries import DiskHealth
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.foreign_text import quoted

Line = dict[str, Any]


def rows(lines: Sequence[Line], limits: DiskHealth) -> list[Check]:
    """A row for each watched container, its log and its offset, and one for the disk; `lines` of one journal.

    A line of another version, or one that makes no sense, has no evidence and gives no row.
    """
    found: list[Check] = []
    for line in lines:
        with suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            found += _of_line(line, limits)
    return found


def _of_line(line: Line, limits: DiskHealth) -> list[Check]:
    if line.get("event") == "verdict" and "seen" in line:
        name, seen = str(line.get("service")), line["seen"]
        if not seen.get("engine", True):
            said, hint = "docker did not answer at the end of the watch", "fab status looks again"
            return [Check(f"{name} {what}", UNKNOWN, said, hint=hint) for what in ("container", "log", "offset")]
        return [_container(name, seen), _log(name, line), _offset(name, line["before"], seen)]
    if line.get("event") == "recorded" and "disk" in line:
        return [_disk(line["disk"], limits)]
    return []


def _container(name: str, seen: Line) -> Check:
    restarts = seen.get("restarts") or 0
    figures = {"restarts": restarts, "started_at": seen.get("started_at")}
    if not seen.get("running"):
        return Check(f"{name} container", CRITICAL, "it does not run", figures, f"see fab logs {name}")
    again = f", started again {humanize.several(restarts, 'time')}" if restarts else ""
    since = str(seen.get("started_at"))[:19].replace("T", " ")
    return Check(f"{name} container", WARNING if restarts else OK, f"running since {since}{again}", figures)


def _log(name: str, line: Line) -> Check:
    failures, count = line.get("failures") or [], line["lines"]
    figures = {"lines": count}
    if failures:
        sentence = f"among its last {humanize.several(count, 'line')}: {quoted(str(failures[-1]), 200)}"
        return Check(f"{name} log", WARNING, sentence, figures, f"see fab logs {name} --tail 20")
    clean = f"clean: its last {humanize.several(count, 'line')}" if count else "its log is empty"
    return Check(f"{name} log", OK, clean, figures)


def _offset(name: str, before: Any, seen: Line) -> Check:
    now, backlog = seen.get("position"), seen.get("backlog")
    figures = {"before": before, "offset": now, "backlog": backlog}
    moved = isinstance(now, int) and now > (before or 0)
    where = f"offset {now}" + (f", {now - (before or 0)} since the swap" if isinstance(now, int) and moved else "")
    if now is None:
        return Check(f"{name} offset", UNKNOWN, "it has not written down its offset yet", figures)
    if backlog is None:
        why = seen.get("broker") or "the stream was not asked"
        return Check(f"{name} offset", OK if moved else UNKNOWN, f"{where}; {why}", figures)
    if backlog and not moved:
        sentence = f"{where}, and up to {humanize.several(backlog, 'message')} to go"
        return Check(f"{name} offset", WARNING, sentence, figures, "fab status looks again")
    waits = f"up to {humanize.several(backlog, 'message')} to go" if backlog else "nothing waits"
    return Check(f"{name} offset", OK, f"{where}, {waits}", figures)


def _disk(told: Sequence[int], limits: DiskHealth) -> Check:
    """As df has it: what root alone may use is neither used nor there."""
    blocks, free, available, size = told
    share = 100 * (blocks - free) / max(blocks - free + available, 1)
    level = CRITICAL if share > limits.critical else WARNING if share > limits.warning else OK
    figures = {"percent": round(share, 1), "available": available * size}
    return Check("disk space", level, f"{share:.0f} % full, {humanize.size(available * size)} left", figures)
