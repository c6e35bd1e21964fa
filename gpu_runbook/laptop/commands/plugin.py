"""What `fab health --plugin` prints, as monitoring plugins do: for Nagios, Icinga, Checkmk and their like.

https://www.monitoring-plugins.org/doc/guidelines.html: one line of text, behind a `|` the figures, then lines of
details. No word of a server's ends a line, begins figures or is markup.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_runbook.laptop.commands.health import WORST_FIRST, HealthReport, worst
from gpu_runbook.laptop.inventory.entries import Health
from gpu_runbook.protocol.check import OK, SKIPPED, UNKNOWN, Check
from gpu_runbook.protocol.foreign_text import one_line

NAME = "GPU-RUNBOOK"
DISK, GPUS, ALIVE, OFFSET = "disk space", "GPU available", " alive", "offset advancing"  # rows, as servers call them
LABEL, TEXT, DETAIL, FIGURES = 100, 400, 600, 4000  # characters of a label, of the text, of a further line, of figures
LARGEST = 1 << 63  # no figure is as large
_PLAIN = str.maketrans({"|": "¦", "│": "¦", "<": "‹", ">": "›"})  # in a terminal's ASCII a │ would be a | again


@dataclass(frozen=True)
class Figure:
    """A value with its unit, thresholds and bounds; of these None is what nobody knows."""

    label: str
    value: Any
    unit: str = ""
    warning: float | None = None
    critical: float | None = None
    least: float | None = None
    most: Any = None

    def __str__(self) -> str:
        rest = ";".join(map(_number, (self.warning, self.critical, self.least, self.most)))
        return f"'{self.label}'={_number(self.value)}{self.unit};{rest}".rstrip(";")


def lines(reports: Sequence[HealthReport], limits: Health, said: Sequence[str] = ()) -> list[str]:
    """The line of all servers, below it each row, the worst first, and what else was `said` on the way."""
    rows = [(report.server, check) for report in reports for check in report.checks]
    rows.sort(key=lambda row: WORST_FIRST.index(_level(row[1])))
    text = "; ".join(_told(server, check) for server, check in rows if _level(check) != OK)
    details: list[str] = []
    if len(rows) != 1 or not text:
        text = f"{_counted(check for _, check in rows)}{': ' if text else ''}{text}"
        details = [f"{check.level}: {_told(server, check)}{_hint(check)}" for server, check in rows]
    first = _line(worst(check.level for _, check in rows), text)
    figures = _figures(reports, limits)
    return [f"{first} | {figures}" if figures else first, *(_plain(one, DETAIL) for one in (*details, *said))]


def unanswered(sentence: str) -> str:
    """The line where nothing can be said of any server."""
    return _line(UNKNOWN, sentence)


def _line(level: str, text: str) -> str:
    return f"{NAME} {level.upper()} - {_plain(text, TEXT)}"


def _plain(text: str, most: int) -> str:
    return one_line(text, most).translate(_PLAIN)


def _level(check: Check) -> str:
    """What was skipped is no trouble."""
    return OK if check.level == SKIPPED else check.level


def _counted(checks: Iterator[Check]) -> str:
    counts = Counter(check.level for check in checks)
    return ", ".join(f"{counts[level]} {level}" for level in (*WORST_FIRST, SKIPPED) if counts[level]) or "no rows"


def _told(server: str, check: Check) -> str:
    return f"{server}: {check.name}: {check.sentence.removeprefix(f'{server}: ')}"


def _hint(check: Check) -> str:
    return f" ({check.hint})" if check.hint and _level(check) != OK else ""


def _figures(reports: Sequence[HealthReport], limits: Health) -> str:
    """As many as there is room for, each label once."""
    every: dict[str, Figure] = {}
    for report in reports:
        for one in _of_server(report, limits):
            if _number(one.value):
                every.setdefault(one.label, one)
    text = " ".join(map(str, every.values()))
    return text if len(text) <= FIGURES else text[: text.rindex(" ", 0, FIGURES)]


def _of_server(report: HealthReport, limits: Health) -> Iterator[Figure]:
    """What a round writes for Prometheus, too, under the names that it has there."""
    rows = {check.name: check.figures for check in report.checks}

    def label(metric: str, of: object) -> str:
        return re.sub(r"[^\w./:@+ -]", "_", f"{report.server} {metric} {of}", flags=re.ASCII)[:LABEL]

    for path, room in rows.get(DISK, {}).items():
        used = _of(room, "percent")
        yield Figure(label("disk_used", path), used, "%", limits.disk.warning, limits.disk.critical, 0, 100)
    gpus = rows.get(GPUS, {}).get("gpus")
    for place, gpu in enumerate(gpus if isinstance(gpus, list) else ()):
        number = _number(_of(gpu, "index")) or place
        memory = _of(gpu, "memory_used"), "B", None, None, 0, _of(gpu, "memory_total")
        yield Figure(label("gpu_utilization", number), _of(gpu, "utilisation_percent"), "%", None, None, 0, 100)
        yield Figure(label("gpu_memory_used", number), *memory)
        heat = _of(gpu, "temperature_celsius")
        yield Figure(label("gpu_temperature", number), heat, "", limits.gpu.warning, limits.gpu.critical)
    services = [name.removesuffix(ALIVE) for name in rows if name.endswith(ALIVE)]
    for service in services:
        progress = rows.get(OFFSET if len(services) == 1 else f"{OFFSET} ({service})", {})
        for metric, key in (("offset", "offset"), ("stream_last_offset", "last"), ("backlog_messages", "backlog")):
            yield Figure(label(metric, service), progress.get(key))
        yield Figure(label("container_restarts", service), rows[service + ALIVE].get("restarts"), least=0)


def _of(figures: Any, key: str) -> Any:
    return figures.get(key) if isinstance(figures, Mapping) else None


def _number(value: Any) -> str:
    """Without an exponent; nothing for what is no number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < LARGEST or math.isnan(value):
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
