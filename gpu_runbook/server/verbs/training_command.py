"""Verb: what a person has to know before the next run of a batch service is started. Reads, and starts nothing."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any, Callable, Dict

from gpu_runbook.common.parallel import Question, ask_all
from gpu_runbook.protocol.check import GPU_SUPPORT, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.models import WHOLE
from gpu_runbook.protocol.requests import TrainingRequest
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.protocol.training import Checkpoint, NextRun, is_plain
from gpu_runbook.server.checks import batch
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.containers import occupant
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.facts.snapshot import view
from gpu_runbook.server.state.store import find_store

MOST = 20  # checkpoints that are looked into


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
    rows = ask_all([Question(GPU_SUPPORT, partial(_given, wanted=asked.gpus, engine=engine))] if asked.gpus else [])
    return encode(
        NextRun(
            look=view({}, (), engine, store, [entry], engine.containers(), rows, {}, seen),
            command=image.command if image else (),
            checkpoint=_checkpoint(entry) if entry.checkpoints else None,
            named=occupant(named) if named else None,
        )
    )


def _given(name: str, wanted: str, engine: Engine) -> Check:
    """Whether docker will take the words of the command that ask for GPUs."""
    from gpu_runbook.server.checks import docker_gpus  # it travels only where some are asked for

    return docker_gpus.check(name, [wanted], engine)


def _checkpoint(entry: Wanted) -> Checkpoint:
    """The newest one; where its path is to stand in the command, the newest that is whole."""
    folder = entry.checkpoints
    if not entry.checkpoint:
        return batch.newest(folder)
    from gpu_runbook.server.models import model_files

    try:
        found = sorted(batch.saved(folder, entry.checkpoint), reverse=True)[:MOST]
    except OSError as error:
        return Checkpoint(trouble=str(error.strerror))
    writers, passed = model_files.open_for_writing([path for _, path in found]), ""
    for modified, path in found:
        (seen,) = model_files.still([model_files.looked_at(path, "", writers, folder)], writers)
        name, trouble = os.path.relpath(path, folder), "" if seen.state == WHOLE else seen.sentence
        if not is_plain(name):
            trouble = "its name fits on no command line"
        if not trouble:
            return Checkpoint(name, round(time.time() - modified, 1), leads=guarded.leads(folder), passed=passed)
        passed = passed or f"{quoted(name)} is passed over: {trouble}"
    return Checkpoint(leads=guarded.leads(folder), passed=passed)
