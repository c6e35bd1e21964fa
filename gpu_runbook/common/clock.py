"""Moments, as the engine and the journals write them."""

from __future__ import annotations

import calendar
import time
from datetime import datetime, timezone


def moment(text: str) -> float:
    """Seconds since 1970 of a time as the engine writes it: RFC 3339, UTC, up to nanoseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or '0'}")


def stamp(at: float) -> str:
    """RFC 3339 of so many seconds since 1970, without their fraction, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def now() -> str:
    """The server's time as RFC 3339 with milliseconds, in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
