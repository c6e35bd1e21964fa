"""Verb: what a person has to know before the next run of a batch service is started. Reads, and starts nothing."""

from __future__ import annotations

from typing import Any, Callable, Dict

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.requests import TrainingRequest
from gpu_runbook.protocol.training import NextRun
from gpu_runbook.server.checks import batch
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.containers import occupant
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.facts.snapshot import view
from gpu_runbook.server.state.store import find_store


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a TrainingRequest. The answer is a NextRun."""
    asked = decode(TrainingRequest, request, "request")
    engine = engines.find(asked.docker_host)
    guarded.prepare(asked.root, asked.docker_host)
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    entry = asked.service
    assert entry.marks is not None  # noqa: S101  a batch service's
    image = engine.image(entry.marks.local_tag) if entry.marks.local_tag else None
    named = engine.container(entry.marks.container)
    seen = {entry.service: batch.of_server(entry)}
    return encode(
        NextRun(
            look=view({}, (), engine, store, [entry], engine.containers(), [], {}, seen),
            command=image.command if image else (),
            checkpoint=batch.newest(entry.checkpoints) if entry.checkpoints else None,
            named=occupant(named) if named else None,
        )
    )
