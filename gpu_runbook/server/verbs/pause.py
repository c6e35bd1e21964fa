"""Verb: holds deploys back for a while, or lets them go again."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict

from gpu_runbook.common.clock import now
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.pause import Pause
from gpu_runbook.protocol.requests import PauseRequest
from gpu_runbook.server.checks.state import refuse_astray
from gpu_runbook.server.state import jsonfile, lock, pause
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import find_store
from gpu_runbook.server.system import files


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a PauseRequest. The answer has pause and before: each a Pause, or None where there is none.

    Raises Refusal while a run is under way, and when it cannot be written down.
    """
    asked = decode(PauseRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    refuse_astray(store, asked.docker_host)
    make(store)
    who, laptop, begun = asked.who, asked.laptop, datetime.now(timezone.utc)
    handle = lock.acquire(store, {"action": "pause", "who": who, "laptop": laptop, "since": now()})
    try:
        before, found = pause.current(store, begun.timestamp()), None
        if asked.seconds:
            since, until = (_written(at) for at in (begun, begun + timedelta(seconds=asked.seconds)))
            found = Pause(who, laptop, since, until, asked.reason)
            jsonfile.save(store.pause, found)
        else:
            files.remove(store.pause)
    except Refusal as error:
        raise Refusal(f"{error.message}; nothing was changed", error.hint) from error
    finally:
        os.close(handle)
    return {"pause": found and encode(found), "before": before and encode(before)}


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
