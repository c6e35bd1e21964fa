"""The id of a run that begins on the server itself."""

from __future__ import annotations

from gpu_runbook.common.clock import now
from gpu_runbook.common.run_id import following
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store


def new_id(store: Store) -> str:
    """The id of a run that begins now, on the server itself."""
    return following(now(), (journals.runs(store) or [""])[-1])
