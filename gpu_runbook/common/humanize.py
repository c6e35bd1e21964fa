"""Figures as people read them."""

from __future__ import annotations

SLACK = 60.0  # seconds ahead that are taken for none


def span(seconds: float) -> str:
    """A length of time in its largest fitting unit: `40 s`, `12 min`, `3 h`, `5 days`.

    What began ahead of the clock, before that was set back, has lasted nobody knows how long.
    """
    if seconds < -SLACK:
        return "an unknown time"
    for unit, length, up_to in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < up_to:
            return f"{max(seconds, 0) / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def size(count: float) -> str:
    """A number of bytes: `512 B`, `3.4 GiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:.1f} {units[0]}" if count < 100 and units[0] != "B" else f"{count:.0f} {units[0]}"


def several(count: int, one: str) -> str:
    """`1 message`, `3 messages`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"
