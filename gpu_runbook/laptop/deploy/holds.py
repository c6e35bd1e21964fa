"""What holds a deploy back on purpose, as rows and words: a pause, a consumer that was stopped."""

from __future__ import annotations

from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.forms import minute
from gpu_runbook.protocol.pause import RESUME, IntendedStop, said
from gpu_runbook.protocol.snapshot import Snapshot


def rows(look: Snapshot, level: str) -> list[Check]:
    """A row for a pause in force."""
    return [Check("pause", level, said(look.pause), {"until": look.pause.until}, RESUME)] if look.pause else []


def on_purpose(stop: IntendedStop) -> str:
    """Who stopped a consumer so that it stays so, when and why."""
    why = f" ({one_line(stop.reason)})" if stop.reason else ""
    return f"stopped by {one_line(stop.who)} at {minute(stop.at)} UTC, on purpose{why}"
