"""Verb: the rounds since a moment, and the runs among them: what a timeline and a report are drawn from."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict

from gpu_runbook.common.clock import stamp
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.requests import ScheduleHistoryRequest
from gpu_runbook.protocol.schedule import Installed
from gpu_runbook.server.schedule import history
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.schedule_files import HISTORY, SETTINGS, place
from gpu_runbook.server.state.store import find_store
from gpu_runbook.server.verbs import history as runs

BLOCK = 500  # rounds in one message


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a ScheduleHistoryRequest.

    Rounds come as events, oldest first, up to 500 in each. The answer: at (now), every (seconds between two rounds,
    0 when nothing is installed), damaged (lines that cannot be read), runs (a PastRun each, newest first).
    """
    asked = decode(ScheduleHistoryRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    now = time.time()
    installed, _ = jsonfile.load(Installed, place(store, SETTINGS))
    damaged, block = 0, []
    for found, line in history.read(place(store, HISTORY), _stamp(now - asked.seconds)):
        if found is None:
            damaged += 1
            continue
        block.append(line)
        if len(block) == BLOCK:
            emit({"event": "rounds", "rounds": block})
            block = []
    if block:
        emit({"event": "rounds", "rounds": block})
    return {
        "at": _stamp(now),
        "every": installed.settings.every if installed else 0,
        "damaged": damaged,
        "runs": [encode(past) for past in runs.newest(store, asked.runs)],
    }


def _stamp(at: float) -> str:
    """Of the beginning of all times, too, for whoever asks for a hundred years."""
    return stamp(max(at, 0))
