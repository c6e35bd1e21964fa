"""Verb: the trained models on a server, whether they are whole, and which one its configs point at."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from gpu_runbook.common.clock import now
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.journal import BeginOfChoice, End
from gpu_runbook.protocol.models import ALL, CONFIG, PREVIOUS, WHOLE, Choices, InForce, ModelFile, Models
from gpu_runbook.protocol.requests import ModelsRequest
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.models import choices as modelchoice
from gpu_runbook.server.models import in_force as inforce
from gpu_runbook.server.models import model_files
from gpu_runbook.server.models.model_files import ARCHIVES, Emit
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import lock, new_run, record
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store, find_store

MOST_OTHERS = 100  # directories whose names are no dates that are told


def answer(request: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """`request`: a ModelsRequest. The answer is a Models. Raises Refusal when the folder cannot be read."""
    asked = decode(ModelsRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    guarded.prepare(asked.root, ours=record.containers(store))
    known, damaged = _choices(store, asked.way)
    verify, folder = asked.verify, asked.folder
    writers = model_files.open_for_writing([*asked.files, *filter(None, [asked.place])])
    try:
        dates, others = model_files.directories(folder, asked.name)
    except OSError as error:
        hint = guarded.hint(error, "models.folder in hosts.yaml says where they are")
        raise Refusal(f"{folder} cannot be read: {error.strerror}", hint) from error
    models = model_files.still([model_files.seen(folder, date, asked.files, writers) for date in dates], writers)
    in_force = None
    if asked.way != CONFIG:
        in_force, known = _in_force(asked, store, models, writers, known, damaged, emit)
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
        in_force=in_force,
    )
    return encode(found)


def _choices(store: Store, way: str) -> Tuple[Choices, str]:
    """What was chosen; nothing, and why, where that cannot be understood: the models can be listed all the same."""
    try:
        return modelchoice.load(store, way), ""
    except Refusal as refusal:
        return Choices(), refusal.message


def _in_force(
    asked: ModelsRequest,
    store: Store,
    models: Sequence[ModelFile],
    writers: Set[model_files.Identity],
    known: Choices,
    damaged: str,
    emit: Emit,
) -> Tuple[InForce, Choices]:
    """The copy or link that is in force, and what was chosen with that as it is now; both are written down."""

    def read(model: ModelFile) -> ModelFile:
        noted = Choices() if model.path == asked.place else known  # another one may well be there by now
        return _read([model], noted, emit, inforce.below(model.path, asked.folder))[model.path]

    found = inforce.look(asked.folder, asked.place, writers)
    found = inforce.with_exports(found)
    found, learnt = inforce.identified(found, models, known, read, asked.verify == ALL, asked.folder)
    after = inforce.seen(learnt, found)
    ours = known.pending.choice.path if known.pending else ""  # of a run that was cut off when it was in place
    if known.path and after.path not in (known.path, ours):
        found = dataclasses.replace(found, was=known.path)
    if damaged:
        return found, after
    if after != known:
        _write_down(asked, store, known, after, found)
    return found, after


def _write_down(asked: ModelsRequest, store: Store, known: Choices, after: Choices, found: InForce) -> None:
    """What was seen, once: the next look need not read it, and history tells what was done by nobody here."""
    if not store.exists:
        return
    handle: Optional[int] = None
    try:
        run = new_run.locked(store, "model", asked.who, asked.laptop)
        handle = run.lock
        kept = modelchoice.load(store)
        if dataclasses.replace(kept, path=kept.source) != known:  # somebody was faster
            return
        if found.was:
            journal = Journal(store.journal(run.id))
            journal.begin(BeginOfChoice(**run.line, configs={}, model=after.path))
            journal.write(End("done", inforce.noticed(found)))
            journal.close()
        modelchoice.save(store, dataclasses.replace(after, path=kept.path, source=after.path))
    except (Refusal, OSError):  # it is told all the same, and by the next look again
        return
    finally:
        if handle is not None:
            os.close(handle)


def _read(models: Sequence[ModelFile], known: Choices, emit: Emit, folder: str = "") -> Dict[str, ModelFile]:
    """Read every byte of the models that look whole, by their path; what does not is as good as read."""
    whole = [model for model in models if model.state == WHOLE]
    total = sum(model.size * (2 if model.path.endswith(ARCHIVES) else 1) for model in whole)
    reading = model_files.Progress(emit, "reading", total)
    found = {}
    if whole:
        model_files.stand_back()
    for model in whole:
        reading.path = model.path
        done = model_files.read(model, reading, "" if model.date else folder)
        found[model.path] = _dated(modelchoice.compared(known, done))
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
