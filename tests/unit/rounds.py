"""Rounds of a server in the hour before a report, for the tests of what is drawn from them."""

from __future__ import annotations

import dataclasses
from typing import Any

from gpu_runbook.laptop.report import clock
from gpu_runbook.laptop.report.values import ServerReport, moment
from gpu_runbook.protocol.rounds import Round

AT = "2026-04-20T10:00:00Z"
END = moment(AT) or 0.0
HOUR = 3600
CHECK = "disk space"


def at(minutes: float) -> str:
    """RFC 3339 of so many minutes before the report."""
    return clock.iso(END - minutes * 60)


def report(*rounds: Round, every: int = 300, since: int = HOUR, **more: Any) -> ServerReport:
    return dataclasses.replace(ServerReport("gpu-1", AT, (), rounds, (), every, since, 0), **more)


def levels(*rounds: tuple[float, str]) -> tuple[Round, ...]:
    return tuple(Round(at(minutes), levels={CHECK: level}) for minutes, level in rounds)


def steady(count: int, level: str = "ok", apart: float = 5) -> tuple[Round, ...]:
    """Rounds up to the report, five minutes apart."""
    return levels(*((apart * (count - index), level) for index in range(count)))
