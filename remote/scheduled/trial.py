"""Verb: sends one test alert through every channel, and calls the heartbeat, from this server."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict

from remote.checks import scheduled
from remote.codec import decode
from remote.scheduled import deliver
from remote.scheduled import state as states
from remote.scheduled.message import compose
from remote.scheduled.settings import STATE, Settings, place
from remote.scheduled.state import Pending, State
from remote.store import find_store
from remote.words import CRITICAL, Check, encode

TEXT = "This is a test: whoever reads it will be told when something is wrong with this server. Nothing is wrong now."


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: settings, who. The answer: rows, a Check for each channel and the heartbeat, and at.

    The row of a channel that holds alerts of the rounds back is critical, whatever it says of the test.
    """
    settings, now = decode(Settings, request["settings"], "settings"), time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    state, _ = states.load(place(find_store(settings.root, settings.state), STATE))
    held = scheduled.held_back(state or State(), settings.every, now)
    message = compose(settings.server, at, [], [f"a test alert, sent by {request['who']}", TEXT], test=True)
    _, rows = deliver.deliver(settings, [Pending(name, message, "", at, 0) for name in settings.channels.names])
    return {"rows": [encode(_with(row, held.get(row.name, ""))) for row in rows], "at": at}


def _with(row: Check, held: str) -> Check:
    if not held:
        return row
    return Check(row.name, CRITICAL, f"{row.sentence}; but {held}", row.figures, "the next round tries them again")
