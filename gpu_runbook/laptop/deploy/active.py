"""The runs of a batch service that are active, in a container or in none: one account for all who tell of them."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.snapshot import BatchState
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Active:
    """One of them. `image`: the id of that which it was started from, empty for a process of the server itself."""

    name: str
    started_at: str
    image: str


def active(state: BatchState, container: str = "") -> Iterator[Active]:
    """All that were seen; `state.unseen` says where there may be more. `container`: the name that one may have."""
    for run in state.runs:
        yield Active(named(run.name, container), run.started_at, run.image)
    for process in state.processes:
        yield Active(f"{process.name} of {named(process.user)}", process.started_at, "")
