"""Moments, as the engine and the journals write them."""

from __future__ import annotations

import calendar
import re
import time
from datetime import datetime, timezone


def moment(text: str) -> float:
    """Seconds since 1970 of a time as the engine writes it: RFC 3339, UTC, up to nanoseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or '0'}")


def utc(text: str) -> str:
    """A time of RFC 3339, as anybody may write it, to the second in UTC; nothing for what is none."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|([+-]\d\d:\d\d))", text, re.ASCII)
    try:
        at = datetime.fromisoformat(found[1] + (found[2] or "+00:00")) if found else None
        return at.astimezone(timezone.utc).isoformat()[:19] + "Z" if at else ""
    except (ValueError, OverflowError):
        return ""


def stamp(at: float) -> str:
    """RFC 3339 of so many seconds since 1970, without their fraction, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def now() -> str:
    """The server's time as RFC 3339 with milliseconds, in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
