"""Verb: the journal of a run, from its first line to its last, while it is being written."""

from __future__ import annotations

from typing import Any, Dict

from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.requests import OfRunRequest
from gpu_runbook.server.run.follow import Emit, follow
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import find_store


def answer(request: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """`request`: an OfRunRequest. The answer has run and end.

    Where there is no end the run was cut off, or could not be brought to one: then `why` is there as well.
    """
    asked = decode(OfRunRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    return follow(store, journals.chosen(store, asked.run), emit)
