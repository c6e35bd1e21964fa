"""Verb: what of the scheduled check is on this server, when it last looked, what it found and what it did."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple

from gpu_runbook.protocol.check import Check, Refusal, encode
from gpu_runbook.protocol.forms import Count, KeptLevel, ServiceName, Time
from gpu_runbook.server.checks import schedule
from gpu_runbook.server.schedule import crontab, history
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.notify.policy import Alarm
from gpu_runbook.server.schedule.settings import HISTORY, PROGRAM, SETTINGS, STATE, Installed, place
from gpu_runbook.server.schedule.state import State
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.store import Store, find_store

NAME = "schedule"
SHOWN = 5  # of the newest actions and alerts


@dataclass(frozen=True)
class InstalledCheck:
    """What was left there, by whom and when; `every` is in seconds, `channels` are names."""

    version: str
    program: str  # the hash of its sources
    at: Time
    who: str
    laptop: str
    every: Count
    channels: Tuple[str, ...]
    heartbeat: bool


@dataclass(frozen=True)
class Untold:
    """An alert that a channel has not taken yet, and why."""

    channel: str
    why: str
    since: Time


@dataclass(frozen=True)
class Remembered:
    """What the rounds remember, as `state.State` has it."""

    at: Time = ""
    level: KeptLevel = ""
    silent: str = ""
    rounds: Count = 0
    alarms: Dict[str, Alarm] = field(default_factory=dict)
    restarts: Dict[ServiceName, Tuple[Time, ...]] = field(default_factory=dict)
    pending: Tuple[Untold, ...] = ()
    troubles: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PastEvent:
    """An action, or the title of an alert."""

    at: Time
    what: str
    text: str


@dataclass(frozen=True)
class Shown:
    """All that is known of the check on a server. Nothing in it is a secret."""

    row: Check
    crontab: str  # our block, empty without one
    problem: str  # why the crontab cannot be read
    running: Optional[bool]  # whether cron does, None when that cannot be seen
    installed: Optional[InstalledCheck]
    there: bool  # whether the program is
    state: Optional[Remembered]
    told: Tuple[PastEvent, ...]  # the newest actions and alerts, oldest first


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: root, state, key (with it the settings are hashed, for the laptop to compare; empty where it is not).

    The answer is a Shown.
    """
    store = find_store(request["root"], request["state"], emit)
    store.check_owner()
    block, problem = _block(store.root)
    installed, _ = jsonfile.load(Installed, place(store, SETTINGS))
    state, _ = states.load(place(store, STATE))
    shown = Shown(
        row=schedule.check(NAME, store, request["key"], time.time()),
        crontab=block,
        problem=problem,
        running=crontab.is_running(),
        installed=_installed(installed) if installed else None,
        there=os.path.exists(place(store, PROGRAM)),
        state=_known(state) if state else None,
        told=tuple(_told(store)),
    )
    answer: Dict[str, Any] = encode(shown)
    return answer


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
