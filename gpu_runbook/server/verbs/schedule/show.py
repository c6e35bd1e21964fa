"""Verb: what of the scheduled check is on this server, when it last looked, what it found and what it did."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.requests import ScheduleShowRequest
from gpu_runbook.protocol.schedule import Installed, InstalledCheck, PastEvent, Remembered, Shown, Untold
from gpu_runbook.server.schedule import health_row, history
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.state import State
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.schedule_files import HISTORY, PROGRAM, SETTINGS, STATE, place
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system import crontab

NAME = "schedule"
SHOWN = 5  # of the newest actions and alerts


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a ScheduleShowRequest. The answer is a Shown."""
    asked = decode(ScheduleShowRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    block, problem = _block(store.root)
    running, timer = crontab.starter(store.root)
    installed, _ = jsonfile.load(Installed, place(store, SETTINGS))
    state, _ = states.load(place(store, STATE))
    shown = Shown(
        row=health_row.check(NAME, store, asked.key, time.time()),
        crontab=block,
        problem=problem,
        running=running,
        installed=_installed(installed) if installed else None,
        there=os.path.exists(place(store, PROGRAM)),
        state=_known(state) if state else None,
        told=tuple(_told(store)),
        timer=timer,
    )
    return encode(shown)


def _block(root: str) -> Any:
    try:
        return crontab.found(crontab.read(), root) or "", ""
    except Refusal as refusal:
        return "", refusal.message


def _installed(found: Installed) -> InstalledCheck:
    channels, every = found.settings.channels, found.settings.every
    who = (found.at, found.who, found.laptop)
    return InstalledCheck(found.version, found.program, *who, every, channels.names, bool(channels.heartbeat))


def _known(found: State) -> Remembered:
    pending = tuple(Untold(one.channel, one.why, one.since) for one in found.pending)
    rounds = (found.at, found.level, found.silent, found.rounds)
    return Remembered(*rounds, found.alarms, found.restarts, pending, found.troubles)


def _told(store: Store) -> List[PastEvent]:
    """The newest of what rounds have done and said, oldest first."""
    told: List[PastEvent] = []
    for found, _ in history.read(place(store, HISTORY), ""):
        if found:
            told += [PastEvent(found.at, "action", text) for text in found.actions]
            told += [PastEvent(found.at, "alert", text) for text in found.alerts]
            del told[:-SHOWN]
    return told
