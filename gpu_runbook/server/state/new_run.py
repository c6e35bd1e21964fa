"""How a run begins on the server itself: its id, the lock, and nothing unfinished before it."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

from gpu_runbook.common.clock import now
from gpu_runbook.common.run_id import following
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import lock
from gpu_runbook.server.state.store import Store


@dataclass(frozen=True)
class NewRun:
    """A run that may begin: the fields that every Begin has, the descriptor of the lock, and the run before it."""

    id: str
    line: Dict[str, Any]
    lock: int
    last: Optional[RunState]


def locked(store: Store, action: str, who: str, laptop: str, undone: str = "changed") -> NewRun:
    """Take the lock for a run. `undone`: what has not been done where a run that was cut off stands before it.

    Raises Refusal then, and where somebody else has the lock.
    """
    run = new_id(store)
    line: Dict[str, Any] = {"run": run, "action": action, "who": who, "laptop": laptop, "since": now()}
    held = lock.acquire(store, {**line, "pid": os.getpid()})
    last = journals.last(store)
    if last and last.state == "cut-off":
        raise Refusal(f"run {last.id} was cut off and has to be finished first; nothing was {undone}", "run it again")
    return NewRun(run, line, held, last)


def new_id(store: Store) -> str:
    """The id of a run that begins now, on the server itself."""
    return following(now(), (journals.runs(store) or [""])[-1])
