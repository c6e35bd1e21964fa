"""Verb: what of the scheduled check is on this server, when it last looked, what it found and what it did."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, Optional

from remote import notes
from remote.checks import scheduled
from remote.scheduled import crontab, history
from remote.scheduled import state as states
from remote.scheduled.settings import HISTORY, PROGRAM, SETTINGS, STATE, Installed, place
from remote.scheduled.state import State
from remote.store import Store, find_store
from remote.words import Refusal, encode

NAME = "schedule"
SHOWN = 5  # of the newest actions and alerts


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: root, state, key (with it the settings are hashed, for the laptop to compare; empty where it is not).

    The answer: row (a Check), crontab (our block, empty without one), problem (why the crontab cannot be read), running
    (whether cron does, None when that cannot be seen), installed (version, program, at, who, laptop, every, channels;
    None without), there (whether the program is), state (State without what it wants to tell), told (the newest actions
    and alerts, each with at). Nothing in it is a secret.
    """
    store = find_store(request["root"], request["state"], emit)
    store.check_owner()
    block, problem = _block(store.root)
    installed, _ = notes.load(Installed, place(store, SETTINGS))
    state, _ = states.load(place(store, STATE))
    return {
        "row": encode(scheduled.check(NAME, store, request["key"], time.time())),
        "crontab": block,
        "problem": problem,
        "running": crontab.is_running(),
        "installed": _installed(installed),
        "there": os.path.exists(place(store, PROGRAM)),
        "state": _state(state),
        "told": _told(store),
    }


def _block(root: str) -> Any:
    try:
        return crontab.found(crontab.read(), root) or "", ""
    except Refusal as refusal:
        return "", refusal.message


def _installed(found: Optional[Installed]) -> Optional[Dict[str, Any]]:
    if found is None:
        return None
    return {
        "version": found.version,
        "program": found.program,
        "at": found.at,
        "who": found.who,
        "laptop": found.laptop,
        "every": found.settings.every,
        "channels": list(found.settings.channels.names),
        "heartbeat": bool(found.settings.channels.heartbeat),
    }


def _state(found: Optional[State]) -> Optional[Dict[str, Any]]:
    if found is None:
        return None
    told = encode(found)
    told["pending"] = [{"channel": one.channel, "why": one.why, "since": one.since} for one in found.pending]
    return {
        name: told[name] for name in ("at", "level", "silent", "rounds", "alarms", "restarts", "pending", "troubles")
    }


def _told(store: Store) -> Any:
    """The newest of what rounds have done and said, oldest first."""
    told = []
    for found, _ in history.read(place(store, HISTORY), ""):
        if found:
            told += [{"at": found.at, "what": "action", "text": text} for text in found.actions]
            told += [{"at": found.at, "what": "alert", "text": text} for text in found.alerts]
            del told[:-SHOWN]
    return told
