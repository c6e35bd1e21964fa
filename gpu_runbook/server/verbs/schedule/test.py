"""Verb: sends one test alert through every channel, and calls the heartbeat, from this server."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict

from gpu_runbook.common.clock import stamp
from gpu_runbook.protocol.check import CRITICAL, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.requests import TestAlertRequest
from gpu_runbook.server.schedule import delivery, health_row
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.notify.message import compose
from gpu_runbook.server.schedule.state import Pending, State
from gpu_runbook.server.state.schedule_files import STATE, place
from gpu_runbook.server.state.store import find_store

TEXT = "This is a test: whoever reads it will be told when something is wrong with this server. Nothing is wrong now."


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a TestAlertRequest. The answer: rows, a Check for each channel and the heartbeat, and at.

    The row of a channel that holds alerts of the rounds back is critical, whatever it says of the test.
    """
    asked, now = decode(TestAlertRequest, request, "request"), time.time()
    settings = asked.settings
    at = stamp(now)
    state, _ = states.load(place(find_store(settings.root, settings.state), STATE))
    held = health_row.held_back(state or State(), settings.every, now)
    message = compose(settings.server, at, [], [f"a test alert, sent by {asked.who}", TEXT], test=True)
    _, rows = delivery.deliver(settings, [Pending(name, message, "", at, 0) for name in settings.channels.names])
    return {"rows": [encode(_with(row, held.get(row.name, ""))) for row in rows], "at": at}


def _with(row: Check, held: str) -> Check:
    if not held:
        return row
    return Check(row.name, CRITICAL, f"{row.sentence}; but {held}", row.figures, "the next round tries them again")
