"""The ids of runs: the time at which each begins, so that ids sort, and four digits, so that no two are alike."""

from __future__ import annotations

import os
from datetime import datetime, timedelta


def following(at: str, last: str) -> str:
    """The id of a run that begins at a time (RFC 3339, by the server's clock), and sorts behind the id `last`.

    While the clock lies behind that one, as after it was set back, each run takes the second after the one before it:
    an id has one length for ever. When a run was, its journal says.
    """
    digits = os.urandom(2).hex()
    run = f"{_stamp(at)}-{digits}"
    if run > last:
        return run
    try:
        after = datetime.strptime(last[:15], "%Y%m%d-%H%M%S") + timedelta(seconds=1)
    except (ValueError, OverflowError):  # no clock ever said that
        return run
    return f"{_stamp(after.isoformat())}-{digits}"


def _stamp(at: str) -> str:
    return at[:19].replace("-", "").replace(":", "").replace("T", "-")
