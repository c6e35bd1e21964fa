"""A pause of all deploys, and a consumer that was stopped on purpose."""

from __future__ import annotations

from gpu_runbook.protocol.forms import Time, minute
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Pause:
    """Nothing is deployed or restarted, and nothing scheduled acts, until then. RFC 3339, by the server's clock."""

    who: str  # who paused
    laptop: str  # from which computer
    since: Time  # when it began, by the server's clock
    until: Time  # when it ends by itself
    reason: str = ""  # why, empty where nobody said


@dataclass(frozen=True)
class IntendedStop:
    """Somebody stopped a consumer, and it is to stay so."""

    who: str  # who stopped it
    at: Time  # when, by the server's clock
    reason: str = ""  # why, empty where nobody said


RESUME = "fab resume ends the pause"


def said(pause: Pause) -> str:
    """A pause as a person reads it."""
    return f"deploys are paused {until(pause)}"


def until(pause: Pause) -> str:
    """Its end, who wanted it, and why."""
    why = f" ({pause.reason})" if pause.reason else ""
    return f"until {minute(pause.until)} UTC by {pause.who}{why}"
