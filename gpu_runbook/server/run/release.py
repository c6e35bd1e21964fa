"""Turns a run that went well into an entry of the record, and one that failed into a note for whoever investigates."""

from __future__ import annotations

import json
import os
from typing import Dict, List, Sequence, Tuple

from gpu_runbook.common.clock import now
from gpu_runbook.common.container import ADOPTED
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.deadlines import QUICK
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import HandledOffsets
from gpu_runbook.protocol.plan import BatchStep, ConfigFile, ConsumerStep, Plan
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.server.docker.commands import Docker
from gpu_runbook.server.queue import offset
from gpu_runbook.server.state import record, stopped
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files


def enter(
    store: Store, docker: Docker, plan: Plan, swaps: Sequence[Swap], outcome: str, variables: Dict[str, str]
) -> None:
    """Write the outcome of a run into the record."""
    known, _ = record.load(store)
    if plan.action == "rollback":
        containers = {swap.service: swap.new for swap in swaps}
        known = record.rolled_back(known, plan.release, plan.leaves, plan.id, containers)
    else:
        adopted = {
            step.service: _adopted(docker, swap) for step, swap in pairs(plan, swaps) if step.old and not step.old.ours
        }
        if adopted:
            known = record.with_release(known, _before(plan, adopted, known))
        known = record.with_release(known, _deployed(store, docker, plan, swaps, outcome, variables, known))
    record.save(store, known)
    stopped.forget(store, [swap.service for swap in swaps])
    naming = {step.service: step.config for step in plan.consumers if step.config and step.config.model_key}
    if plan.action == "rollback" and naming:  # what it put back has the model that is chosen now
        from gpu_runbook.server.models.apply import point  # it travels only with a config that names a model

        point(store, plan.id, naming)


def _deployed(
    store: Store,
    docker: Docker,
    plan: Plan,
    swaps: Sequence[Swap],
    outcome: str,
    variables: Dict[str, str],
    known: Record,
) -> Release:
    current = known.find(plan.leaves)
    services = dict(current.services) if current else {}  # what this run leaves alone stays part of what is in force
    for step, swap in pairs(plan, swaps):
        services[step.service] = _placed(store, docker, plan, step, swap)
    for service in services:
        _take_config_along(store, plan, service)
    for batch in plan.batches:
        services[batch.service] = _placed_batch(docker, batch)
    values = {**(current.variables if current else {}), **variables}
    return Release(plan.id, now(), plan.who, outcome, services, values)


def _placed(store: Store, docker: Docker, plan: Plan, step: ConsumerStep, swap: Swap) -> Placed:
    found = docker.inspect(swap.new)
    config = files.read(os.path.join(store.release(plan.id, step.service), "config.yaml"))
    return Placed(
        kind="consumer",
        tag=step.tag,
        image=step.spec.image if step.spec else "",
        image_id=found.image_id if found else "",
        container=swap.new,
        spec=step.spec,
        config=step.config,
        config_hash=store.keyed_hash(config.decode()) if config is not None else "",
        restart=step.restart,
        offset_at_swap=offset.position(step.offset, swap.offset_kept),
        given=step.given,
    )


def _take_config_along(store: Store, plan: Plan, service: str) -> None:
    """A release's folder is whole: the config of a service that this run left alone is in it too."""
    path = os.path.join(store.release(plan.id, service), "config.yaml")
    kept = files.read(os.path.join(store.release(plan.leaves, service), "config.yaml"))
    if kept is not None and not os.path.exists(path):
        files.make_folder(os.path.dirname(path))
        files.write(path, kept)


def _placed_batch(docker: Docker, step: BatchStep) -> Placed:
    image = docker.engine.image(step.image)
    found = image.id if image else ""
    return Placed("batch", step.tag, step.image, found, local_tag=step.local_tag, given=step.given)


def _before(plan: Plan, adopted: Dict[str, Placed], known: Record) -> Release:
    """What was in force before this run, with the containers that it found there."""
    current = known.find(plan.leaves)
    services = {**(current.services if current else {}), **adopted}
    return Release(ADOPTED + plan.id, now(), plan.who, "adopted", services)


def _adopted(docker: Docker, swap: Swap) -> Placed:
    """The container that was there before us: rollback can start it again, but not recreate it."""
    found = docker.inspect(swap.old)
    before = swap.config if swap.config and swap.config.before else None
    return Placed(
        kind="consumer",
        tag=found.image if found else "",
        image=found.image_id if found else "",
        image_id=found.image_id if found else "",
        container=swap.old,
        config=ConfigFile(before.path, f"{before.uid}:{before.gid}", before.mode) if before else None,
        restart=swap.old_restart,
    )


def pairs(plan: Plan, swaps: Sequence[Swap]) -> List[Tuple[ConsumerStep, Swap]]:
    """Each swap with the step it carries out."""
    steps = {step.service: step for step in plan.consumers}
    return [(steps[swap.service], swap) for swap in swaps]


def move_tags(docker: Docker, plan: Plan) -> List[str]:
    """Move the local tags that the next training runs are started from; a sentence for each that could not be."""
    problems = []
    for step in plan.batches:
        if step.change == "tag":
            ended = docker.change(["docker", "tag", step.image, step.local_tag], QUICK)
            if not ended.ok:
                problems.append(f"{step.local_tag} could not be moved to {step.image}: {ended.complaint}")
    return problems


def keep_failed(store: Store, plan: Plan, swaps: Sequence[Swap], reason: str) -> Tuple[HandledOffsets, ...]:
    """Note a failed release beside its config: why, its containers, and the range of offsets each one handled."""
    handled = tuple(
        HandledOffsets(
            swap.service,
            swap.new,
            offset.position(step.offset, swap.offset_kept),
            offset.position(step.offset, swap.offset_left),
        )
        for step, swap in pairs(plan, swaps)
    )
    note = {"release": plan.id, "at": now(), "reason": reason, "handled": [encode(one) for one in handled]}
    try:
        files.write(os.path.join(store.release(plan.id), "failed.json"), json.dumps(note, indent=2).encode())
    except Refusal:
        return handled  # a full disk: the journal's end says the same
    return handled
