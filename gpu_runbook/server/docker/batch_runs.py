"""Finds the runs of batch services among the containers that the engine lists."""

from __future__ import annotations

from typing import Any, Dict, Sequence

from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.server.docker.batch_containers import recognised
from gpu_runbook.server.docker.engine import Engine


def is_listed_run(engine: Engine, batches: Sequence[BatchMarks], entry: Dict[str, Any]) -> bool:
    """As `recognised`, at the least cost: the engine is asked for what the list does not say.

    A name that was given to another image meanwhile is not listed any more; the container itself remembers it.
    """
    if recognised(batches, entry):
        return True
    found = engine.container(entry["Id"]) if str(entry.get("Image")).startswith("sha256:") else None
    return bool(recognised(batches, found or entry, engine.image(str(entry.get("ImageID", "")))))
