"""Decides what a rollback will do, from what the record holds and what the look saw. Pure, as that of a deploy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gpu_runbook.common.run_id import following
from gpu_runbook.laptop.deploy.plan import Order, frame, occupant, step_today
from gpu_runbook.laptop.deploy.snapshot import config_file
from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.model import Batch, Consumer, Inventory, Service
from gpu_runbook.laptop.inventory.problems import nearest
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.plan import BatchStep, ConfigFile, ConsumerStep, Occupant, Plan
from gpu_runbook.protocol.record import Placed, Release
from gpu_runbook.protocol.snapshot import Snapshot


def rollback_plan(
    inventory: Inventory, resolved: Resolved, services: Sequence[Service], look: Snapshot, order: Order
) -> Plan:
    """The plan of a rollback: images, specs and configs as the record has them. Raises Refused or BadInput."""
    target = _target(resolved, services, look, order)
    placed = [(one, target.services[one.name]) for one in services if one.image and one.name in target.services]
    return dataclasses.replace(
        frame(inventory, resolved, look, order, following(look.at, look.newest)),
        action="rollback",
        release=target.id,
        consumers=tuple(
            _back_step(resolved, service, look, target, then, order.replay)
            for service, then in placed
            if isinstance(service, Consumer)
        ),
        batches=tuple(_back_batch(look, service, then) for service, then in placed if isinstance(service, Batch)),
    )


def _target(resolved: Resolved, services: Sequence[Service], look: Snapshot, order: Order) -> Release:
    """The release to go back to: the one named, or the newest good one before what is in force."""
    server, record = resolved.host.name, look.record
    if order.to:
        found = record.find(order.to)
        if found is None:
            known = ", ".join(entry.id for entry in record.releases) or "none"
            likely = nearest(order.to, [entry.id for entry in record.releases])
            raise BadInput(f"{server} has no release {order.to}{likely}", f"known: {known}")
        return found
    occupants = [occupant for service in services for occupant in look.occupants.get(service.name, ())]
    strayed = any(occupant.ours and occupant.release not in ("", record.current) for occupant in occupants)
    current = record.find(record.current)
    if strayed and current and not _in_force(look, services, current):
        return current  # what runs was never recorded as good: the record's newest is the one before it
    earlier = record.releases[record.releases.index(current) + 1 :] if current else record.releases
    target = next((entry for entry in earlier if not entry.left), None)
    if target is None:
        raise Refused(
            f"{server} has no earlier release to go back to",
            "fab status names what there is; a release that was rolled back from is only taken with --to",
        )
    return target


def _in_force(look: Snapshot, services: Sequence[Service], release: Release) -> bool:
    """Whether the containers of a release are those that hold the places."""
    for service in services:
        placed = release.services.get(service.name)
        holders = [entry.container for entry in look.occupants.get(service.name, ())]
        if placed and placed.kind == "consumer" and placed.container not in holders:
            return False
    return True


def _back_step(
    resolved: Resolved, service: Consumer, look: Snapshot, target: Release, placed: Placed, replay: bool
) -> ConsumerStep:
    old = occupant(resolved, service, look)
    if old and not old.ours:
        raise Refused(
            f"{resolved.host.name}: the place of {service.name} is held by a container this tool did not make "
            f"({named(old.name, service.name)}, {old.container[:12]})",
            "deploy with --adopt first, which keeps it as a release",
        )
    there = placed.container in look.containers
    spec = placed.spec
    if not there and spec and look.images.get(placed.image_id) and not look.images.get(placed.image):
        spec = dataclasses.replace(spec, image=placed.image_id)  # the image is there, its digest's name is not
    if not there and spec is None:
        raise Refused(
            f"{resolved.host.name}: the adopted container {placed.container[:12]} of {service.name} was removed, "
            "and nothing is known of how it was created",
            "go to another release with --to, or deploy",
        )
    same = old is not None and old.running and old.container == placed.container
    change = "none" if same else "replace" if old else "place"
    return dataclasses.replace(
        step_today(resolved, service, change, placed.tag, old),
        spec=spec,
        config=_config(service, placed),
        config_from=target.id if placed.config else "",
        container=placed.container if there else "",
        restart=placed.restart or service.restart,
        reason=f"back to release {target.id}",
        replay=replay and change != "none" and _can_replay(resolved, service, old),
    )


def _config(service: Consumer, placed: Placed) -> ConfigFile | None:
    """Where the release's config goes; one from before hosts.yaml named the model's key takes a model all the same."""
    today = config_file(service)
    if placed.config is None or placed.config.model_key or today is None:
        return placed.config
    return dataclasses.replace(placed.config, model_key=today.model_key)


def _can_replay(resolved: Resolved, service: Consumer, old: Occupant | None) -> bool:
    """Raises Refused for a consumer of which nobody knows from where it would have to read again."""
    if service.offset is None or service.stream is None:
        return False  # it keeps no position that could be put back
    if old is None or old.took_over is None:
        raise Refused(
            f"{resolved.host.name}: it is not known at which offset the release of {service.name} in force took over",
            "roll back without --replay; fab history and the broker say what there was",
        )
    return True


def _back_batch(look: Snapshot, service: Batch, placed: Placed) -> BatchStep:
    state = look.batches.get(service.name)
    change = "none" if state and state.next_image == placed.image_id else "tag"
    image = placed.image_id if look.images.get(placed.image_id) else placed.image
    return BatchStep(service.name, change, placed.tag, image, placed.local_tag)
