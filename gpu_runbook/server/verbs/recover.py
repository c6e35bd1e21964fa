"""Verb: brings a run that was cut off to an end, forward or back, in a process that no dropped connection can end."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, Callable, Dict, Tuple

from gpu_runbook.common.clock import now
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.protocol.requests import RecoverRequest
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.rpc.detach import Say, detached
from gpu_runbook.server.run import recovery
from gpu_runbook.server.state import lock
from gpu_runbook.server.state.store import Store, find_store


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a RecoverRequest. The answer has a sentence for each run. Raises Refusal (kind person)."""
    asked = decode(RecoverRequest, request, "request")
    engine = engines.find(asked.docker_host)
    guarded.prepare(asked.root, asked.docker_host)
    store = find_store(asked.root, asked.state, emit)
    store.create()
    return detached(partial(_live, asked.who, store, engine, asked.batches))


def _live(who: str, store: Store, engine: engines.Engine, batches: Tuple[BatchMarks, ...], say: Say) -> None:
    """Half an undoing is worse than none: who asked may be gone before it is done."""
    held = lock.acquire(store, {"action": "recover", "who": who, "since": now(), "pid": os.getpid()})
    say({"recovered": recovery.cut_off_runs(store, engine, held, batches)})
