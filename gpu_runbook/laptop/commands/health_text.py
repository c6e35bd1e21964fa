"""Health reports: rows and a summary for people, JSON for scripts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gpu_runbook.laptop.commands.health import HealthReport
from gpu_runbook.laptop.terminal.screen import LEVEL_STYLES, Screen
from gpu_runbook.protocol.check import LEVELS
from gpu_runbook.protocol.codec import encode

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.look import HealthOfServer


def show_report(report: HealthReport, screen: Screen) -> None:
    """A row per check and a line that sums them up."""
    screen.rows(report.checks)
    screen.say(summary(report), LEVEL_STYLES[report.level])


def summary(report: HealthReport) -> str:
    """`gpu-1 is critical: 1 critical, 4 ok (2026-04-20T10:11:12Z)`."""
    counts = Counter(check.level for check in report.checks)
    parts = ", ".join(f"{counts[level]} {level}" for level in sorted(counts, key=_severity))
    return f"{report.server} is {report.level}: {parts or 'nothing was asked'} ({report.at})"


def as_result(report: HealthReport) -> HealthOfServer:
    """The same for scripts."""
    checks = [encode(check) for check in report.checks]
    return {"server": report.server, "at": report.at, "level": report.level, "checks": checks}


def _severity(level: str) -> int:
    return ("critical", "unknown", "warning", *LEVELS).index(level)
