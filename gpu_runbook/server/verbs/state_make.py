"""Verb: makes the folder of the state where there is none yet, on ground on which it lasts."""

from __future__ import annotations

from typing import Any, Callable, Dict

from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.requests import StateRequest
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import find_store


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a StateRequest. The answer: folder. Raises Refusal."""
    asked = decode(StateRequest, request, "request")
    store = find_store(asked.root, asked.state)
    make(store)
    return {"folder": store.folder}
