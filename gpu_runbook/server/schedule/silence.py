"""When a round tells nobody and does nothing: while somebody works on the server, or has asked for quiet."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from gpu_runbook.common import humanize
from gpu_runbook.common.clock import moment
from gpu_runbook.protocol.check import WARNING, Check
from gpu_runbook.protocol.pause import said
from gpu_runbook.server.state import lock, pause
from gpu_runbook.server.state.store import Store

LONGEST = 3600.0  # seconds of a run for which that holds; what takes longer is itself worth telling

RUN = "run"


def silence(store: Store, now: float) -> Tuple[str, Optional[Check]]:
    """Why this round is to be silent, empty when it is not; and a row for a run that does not come to its end.

    `now`: seconds since 1970.
    """
    paused = pause.current(store, now)
    if paused:
        return said(paused), None
    holder = lock.holder(store)
    if holder is None:
        return "", None
    action, who = holder.get("action", "a run"), holder.get("who", "somebody")
    taken = _taken(holder, now)
    if taken < LONGEST:
        return f"{action} by {who} is under way", None
    sentence = f"{action} by {who} has held the lock of this server for {humanize.span(taken)}"
    return "", Check(RUN, WARNING, sentence, {"seconds": round(taken)}, "see fab status; fab follow shows what it does")


def _taken(holder: Dict[str, str], now: float) -> float:
    """For how many seconds somebody has held the lock; an older version says it by a clock that may be set."""
    try:
        return lock.up() - float(holder["up"]) if "up" in holder else now - moment(holder.get("since", ""))
    except ValueError:  # who holds it has not said yet
        return 0.0
