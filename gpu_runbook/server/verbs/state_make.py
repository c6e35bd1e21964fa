"""Verb: makes the folder of the state where there is none yet, on ground on which it lasts."""

from __future__ import annotations

from typing import Any, Callable, Dict

from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import find_store


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: root, state. The answer: folder. Raises Refusal."""
    store = find_store(request["root"], request["state"])
    make(store)
    return {"folder": store.folder}
