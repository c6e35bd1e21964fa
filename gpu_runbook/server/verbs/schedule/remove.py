"""Verb: takes the scheduled check away from this server; its history stays."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, Dict, List

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.requests import StateRequest
from gpu_runbook.protocol.schedule import Removed
from gpu_runbook.server.schedule.state import SPARE
from gpu_runbook.server.state.schedule_files import HISTORY, LOCK, PROGRAM, SETTINGS, STATE, keep_rounds_away, place
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system import crontab, files

PATIENCE = 30.0  # seconds for a round that is under way


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a StateRequest. The answer is a Removed.

    Raises Refusal with nothing changed when our block of the crontab is not whole.
    """
    asked = decode(StateRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    removed = []
    before = crontab.read(needed=False)
    after = crontab.with_block(before, store.root, "")
    if after != before:
        timer = crontab.starter(store.root)[1]
        crontab.write(after)
        removed.append("timer" if timer else "crontab")
    if os.path.isdir(os.path.dirname(place(store, LOCK))):
        keep_rounds_away(store, PATIENCE)
        removed += _remove_files(store, bool(removed))
    history = place(store, HISTORY)
    if not os.path.exists(history):
        history = ""
        with contextlib.suppress(OSError):  # something else lies in it
            os.rmdir(os.path.dirname(place(store, HISTORY)))
    return encode(Removed(tuple(removed), history))


def _remove_files(store: Store, was_installed: bool) -> List[str]:
    """The names of those that were there. Raises Refusal, of kind person where nothing is started any more."""
    try:
        return [name for name in (PROGRAM, SETTINGS, STATE, SPARE, LOCK) if files.remove(place(store, name))]
    except Refusal as refusal:
        if not was_installed:
            raise
        said = f"nothing starts a check any more, but {refusal.message}"
        raise Refusal(said, "run it again once the disk takes changes", "person") from refusal
