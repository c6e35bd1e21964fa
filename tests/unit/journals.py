"""Journals as runs leave them on a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpu_runbook.protocol.journal import Begin, BeginOfPlan, JournalEvent
from gpu_runbook.protocol.plan import Plan
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store

AT = "2026-04-20T10:11:12.000Z"


def begin(run: str, action: str = "deploy") -> Begin:
    """How a run begins, whatever it does."""
    return Begin(run, action, "ann", "laptop", AT)


def begin_of(plan: Plan) -> BeginOfPlan:
    """How the run of a plan begins."""
    return BeginOfPlan(plan.id, plan.action, plan.who, plan.laptop, AT, plan, {})


def left(store: Store, run: str, *events: JournalEvent) -> Path:
    """The journal of a run that is over or was cut off, with some events more."""
    book = Journal(store.journal(run))
    for event in events:
        book.write(event)
    book.close()
    return Path(store.journal(run))


def add(store: Store, run: str, *lines: dict[str, Any]) -> Path:
    """The same with lines as they stand, such as no version of ours would write them."""
    path = Path(store.journal(run))
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return path
