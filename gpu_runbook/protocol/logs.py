"""How far a log was heard."""

from __future__ import annotations

from typing import Optional

from gpu_runbook.protocol.forms import Count, Time
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class LogMark:
    """The newest line of a container's log that was said: the engine's stamp, and how many lines have that one."""

    at: Time
    count: Count = 0


def newer(known: Optional[LogMark], stamp: str) -> LogMark:
    """The mark after one more line."""
    if known is None or stamp > known.at:
        return LogMark(stamp, 1)
    return LogMark(known.at, known.count + 1) if stamp == known.at else known
