"""Verb: one question – can this run still be stopped? – with one answer."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict

from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.forms import RunId
from gpu_runbook.protocol.requests import OfRunRequest
from gpu_runbook.server.run.outcome import claim
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import find_store

PATIENCE = 15.0  # seconds a cancelled run has to put its things away


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: an OfRunRequest. The answer has cancelled: whether the run ends without having changed anything."""
    asked = decode(OfRunRequest, request, "request")
    store, run = find_store(asked.root, asked.state, emit), decode(RunId, asked.run, "run")
    store.create()
    cancelled = claim(store.decision(run), "cancelled")
    until = time.monotonic() + PATIENCE
    while cancelled and journals.alive(store.journal(run)) and time.monotonic() < until:
        time.sleep(0.1)
    return {"cancelled": cancelled}
