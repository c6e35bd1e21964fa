"""Times and lengths of time as the page spells them: UTC, short, and always the same way."""

from __future__ import annotations

import math
import time

from gpu_runbook.laptop.report.values import Course, moment

DAY = 86400
STEPS = (300, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 30 * DAY)  # between ticks
MOST_TICKS = 7
EDGE = 3.0  # percent of the axis at its ends that have no room for a label


def iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def brief(at: float) -> str:
    """`20 Apr 10:11`."""
    return f"{day(at)} {time.strftime('%H:%M', time.gmtime(at))}"


def day(at: float) -> str:
    return time.strftime("%d %b", time.gmtime(at)).lstrip("0")


def full(text: str) -> str:
    """`2026-04-20 10:11:12` of an RFC 3339 time; the text itself where it is none."""
    at = moment(text)
    return text[:40] if at is None else iso(at)[:-1].replace("T", " ")


def length(seconds: float) -> str:
    """`45 s`, `35 min`, `3 h 20 min`, `2 days 4 h`: two units at most, since a length is read beside its two ends."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def ticks(axis: Course) -> list[tuple[float, str]]:
    """(percent, label) of the marks of the axis, at whole hours and days of UTC."""
    width = axis.end - axis.start
    step = next((step for step in STEPS if width / step <= MOST_TICKS), math.ceil(width / MOST_TICKS / DAY) * DAY)
    first = int(axis.start // step + 1) * step
    moments = range(first, int(axis.end) + 1, step)
    placed = [(axis.percent(at), day(at) if at % DAY == 0 else brief(at)[-5:]) for at in moments]
    return [(percent, label) for percent, label in placed if EDGE <= percent <= 100 - EDGE]
