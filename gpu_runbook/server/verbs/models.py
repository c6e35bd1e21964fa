"""Verb: the trained models on a server, whether they are whole, and which one its configs point at."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from gpu_runbook.common.clock import now
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.models import ALL, PREVIOUS, WHOLE, Choices, ModelFile, Models
from gpu_runbook.protocol.requests import ModelsRequest
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.models import choices as modelchoice
from gpu_runbook.server.models import model_files
from gpu_runbook.server.models.model_files import ARCHIVES
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import lock, record
from gpu_runbook.server.state.store import Store, find_store

NICE = 10  # a training is not to feel that gigabytes are read beside it
PAUSE = 0.2  # seconds between two words of progress
MOST_OTHERS = 100  # directories whose names are no dates that are told

Emit = Callable[[Dict[str, Any]], None]


def answer(request: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """`request`: a ModelsRequest. The answer is a Models. Raises Refusal when the folder cannot be read."""
    asked = decode(ModelsRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    guarded.prepare(asked.root, ours=record.containers(store))
    known, damaged = _choices(store)
    verify, folder, file = asked.verify, asked.folder, asked.file
    writers = model_files.open_for_writing(file)
    try:
        dates, others = model_files.directories(folder)
    except OSError as error:
        hint = guarded.hint(error, "models.folder in hosts.yaml says where they are")
        raise Refusal(f"{folder} cannot be read: {error.strerror}", hint) from error
    models = [model_files.seen(folder, date, file, writers) for date in dates]
    target = next((model for model in models if model.date == verify), None)
    before = modelchoice.previous(known) if verify == PREVIOUS else None
    if before:
        listed = (model for model in models if model.path == before.path)
        target = next(listed, None) or model_files.looked_at(before.path, before.date, writers)
    read = _read(models if verify == ALL else [target] if target else [], known, emit)
    if verify == ALL:  # of one alone its choice takes note
        _note(store, list(read.values()))
    points = {service: modelchoice.named(config, folder) for service, config in asked.configs.items()}
    found = Models(
        models=tuple(read.get(model.path) or modelchoice.compared(known, model) for model in models),
        others=tuple(map(one_line, others[:MOST_OTHERS])),
        choices=known,
        damaged=damaged,
        points=points,
        target=read.get(target.path, target) if target else None,
        run=journals.last(store),
        leads=guarded.leads(folder),
    )
    return encode(found)


def _choices(store: Store) -> Tuple[Choices, str]:
    """What was chosen; nothing, and why, where that cannot be understood: the models can be listed all the same."""
    try:
        return modelchoice.load(store), ""
    except Refusal as refusal:
        return Choices(), refusal.message


def _read(models: Sequence[ModelFile], known: Choices, emit: Emit) -> Dict[str, ModelFile]:
    """Read every byte of the models that look whole, by their path; what does not is as good as read."""
    whole = [model for model in models if model.state == WHOLE]
    total = sum(model.size * (2 if model.path.endswith(ARCHIVES) else 1) for model in whole)
    done, said = 0, 0.0
    path = ""

    def reading(count: int) -> None:
        nonlocal done, said
        done += count
        if time.monotonic() - said > PAUSE:
            said = time.monotonic()
            emit({"event": "reading", "path": path, "done": done, "total": total})

    found = {}
    if whole:
        os.nice(NICE)
    for model in whole:
        path = model.path
        found[path] = _dated(modelchoice.compared(known, model_files.read(model, reading)))
    return found


def _dated(model: ModelFile) -> ModelFile:
    return dataclasses.replace(model, verified=now()) if model.state == WHOLE else model


def _note(store: Store, read: List[ModelFile]) -> None:
    """Write down the checksums of what was found to be right; another time if somebody is at it."""
    good = [model for model in read if model.state == WHOLE]
    if not good or not store.exists:
        return
    handle: Optional[int] = None
    try:
        handle = lock.acquire(store, {"action": "models --verify", "since": now()})
        known = modelchoice.load(store)
        for model in good:
            known = modelchoice.with_verified(known, model)
        modelchoice.save(store, known)
    except (Refusal, OSError):  # the checksums are told all the same
        return
    finally:
        if handle is not None:
            os.close(handle)
