"""A pause: for a while nothing is deployed or restarted on a server, and nothing scheduled acts there."""

from __future__ import annotations

import time
from typing import Optional, Tuple

from gpu_runbook.common.clock import moment
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.pause import RESUME, Pause, said
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files

HELD = ("deploy", "restart")  # a rollback and a stop are what somebody needs in an emergency
AHEAD = 86400.0  # seconds by which a clock may be set back without an end of the pause


def load(store: Store, now: float) -> Tuple[Optional[Pause], str]:
    """The pause that is written down, over or not, and what is wrong with it. `now`: seconds since 1970.

    One that is damaged is none, nor is one that begins far ahead: the clock was set back since, and it is not to last
    until that comes there again.
    """
    found, problem = jsonfile.load(Pause, store.pause)
    if found and moment(found.since) > now + AHEAD:
        return None, f"the pause by {found.who} begins at {found.since}, ahead of this clock, and holds nothing back"
    return found, problem


def current(store: Store, now: float) -> Optional[Pause]:
    """The pause in force at a time, in seconds since 1970; None for none, and for one that is over or damaged."""
    found, _ = load(store, now)
    return found if found and moment(found.until) > now else None


def admit(store: Store, action: str) -> None:
    """Take away a pause that is over. Raises Refusal for an action that one holds back. The caller holds the lock."""
    found, _ = load(store, time.time())
    if found and moment(found.until) <= time.time():
        files.remove(store.pause)
    elif found and action in HELD:
        raise Refusal(f"{said(found)}; nothing was changed", RESUME)
