"""Asks a server for what its page is drawn from: how it is now, what its rounds saw, and its runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from remote.checks.asked import Request
from runbook import health
from runbook.door import Door
from runbook.errors import BadInput, CannotConnect
from runbook.report.values import ServerReport
from runbook.schedule import asking

MOST_RUNS = 200  # all that a server keeps


def of_server(door: Door, place: dict[str, str], request: Request, since: int) -> ServerReport:
    """Two questions over one connection; `since` in seconds. One that cannot be reached is a report that says so."""
    found = health.of_server(door, request)
    try:
        seen = asking.seen(door, place, since, MOST_RUNS)
    except CannotConnect as error:
        return ServerReport(
            door.host.name, found.at, found.checks, (), (), 0, since, 0, f"{error.message}. {error.hint}"
        )
    return ServerReport(door.host.name, seen.at, found.checks, seen.rounds, seen.runs, seen.every, since, seen.damaged)


def write(path: Path, servers: Sequence[ServerReport]) -> None:
    """Write the page, whole for whoever has it open. Raises BadInput where that cannot be."""
    from runbook.report.page import page

    made_at = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(page(servers, made_at), encoding="utf-8", newline="\n")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise BadInput(f"{path} cannot be written: {error.strerror}", "say another file with --out") from error


def writable(path: Path) -> None:
    """Raises BadInput before anything is asked for a file that cannot be."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInput(f"{path} cannot be written", "--out names a file in a folder that is there")
