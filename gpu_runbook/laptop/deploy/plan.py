"""Decides what a run will do, from what hosts.yaml wants and what the look saw. Pure: values in, a Plan out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from gpu_runbook import __version__
from gpu_runbook.common.run_id import following
from gpu_runbook.laptop.deploy.snapshot import config_file
from gpu_runbook.laptop.errors import Refused
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.model import Batch, Consumer, Inventory, Service, local_tag
from gpu_runbook.laptop.rpc.requests import batch_marks, log_rules, offset_file
from gpu_runbook.protocol.foreign_text import named, quoted
from gpu_runbook.protocol.plan import BatchStep, ConsumerStep, HealthCheck, Occupant, Plan, Spec, spec_hash
from gpu_runbook.protocol.plan import Watch as WatchTerms
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.protocol.snapshot import Snapshot
from gpu_runbook.protocol.values import dataclass, field

_DEFAULTS = vars(HealthCheck(""))


@dataclass(frozen=True)
class Order:
    """What a person asked for on the command line."""

    who: str
    laptop: str
    tags: Mapping[str, str]  # service -> tag
    force: bool = False
    adopt: bool = False
    undo_on_failure: bool = True
    to: str = ""  # rollback: the release to go to
    supersede: str = ""  # deploy: a run that was cut off, and is closed without being brought to its end
    replay: bool = False  # rollback: read again what the release that is left has handled
    skips: Mapping[str, str] = field(default_factory=dict)  # row of the preflight -> why it is gone past


def deploy_plan(
    inventory: Inventory, resolved: Resolved, services: Sequence[Service], look: Snapshot, order: Order
) -> Plan:
    """The plan of a deploy. Raises Refused for a place that somebody else's container holds."""
    run = following(look.at, look.newest)
    consumers = [
        _consumer_step(inventory, resolved, service, look, order)
        for service in services
        if isinstance(service, Consumer)
    ]
    of_images = [service for service in services if isinstance(service, Batch) and service.image]
    batches = [_batch_step(inventory, service, look, order) for service in of_images]
    return dataclasses.replace(
        frame(inventory, resolved, look, order, run),
        action="deploy",
        release=run,
        consumers=tuple(consumers),
        batches=tuple(batches),
        undo_on_failure=order.undo_on_failure,
    )


def nothing_to_do(plan: Plan) -> bool:
    changes = [step.change for step in plan.consumers] + [step.change for step in plan.batches]
    return all(change == "none" for change in changes)


def images_to_fetch(plan: Plan, look: Snapshot) -> list[str]:
    """What has to be pulled before the run: images by digest that the server does not hold yet."""
    wanted = [step.spec.image for step in plan.consumers if step.spec and step.change != "none" and not step.container]
    wanted += [step.image for step in plan.batches if step.change != "none"]
    return [image for image in dict.fromkeys(wanted) if "@" in image and not look.images.get(image)]


def make_spec(service: Consumer, image: str) -> Spec:
    """What a consumer's container is created from."""
    return Spec(
        image=image,
        command=service.arguments,
        user=service.user,
        environment=dict(service.environment),
        mounts=service.mounts,
        network=service.network,
        gpus=service.gpus,
        memory=service.memory,
        restart=service.restart,
        stop_signal=service.stop_signal,
        stop_grace=service.stop_grace,
        log_size=service.log.size,
        log_files=service.log.files,
        healthcheck=HealthCheck(**vars(service.healthcheck)) if service.healthcheck else None,
        options=service.words((service.log.size, service.log.files)),
    )


def frame(inventory: Inventory, resolved: Resolved, look: Snapshot, order: Order, run: str) -> Plan:
    return Plan(
        id=run,
        action="",
        server=resolved.host.name,
        root=resolved.host.root,
        state=resolved.host.place[1],
        release="",
        who=order.who,
        laptop=order.laptop,
        version=__version__,
        leaves=look.record.current,
        docker_host=resolved.host.docker_host or "",
        keep_releases=inventory.keep_releases,
        left_alone=batch_marks(inventory),
    )


def _consumer_step(
    inventory: Inventory, resolved: Resolved, service: Consumer, look: Snapshot, order: Order
) -> ConsumerStep:
    old = occupant(resolved, service, look)
    if old and not old.ours and not order.adopt:
        raise Refused(
            f"{resolved.host.name}: the place of {service.name} is held by a container this tool did not make "
            f"({named(old.name, service.name)}, {old.container[:12]}, image {old.image[:19]}, "
            f"{'running' if old.running else 'stopped'})",
            "deploy with --adopt to replace it and keep it as the previous release, or rename it",
        )
    spec = make_spec(service, look.digests[service.name])
    reasons = _differences(service, spec, old, look)
    if order.force and not reasons:
        reasons = ["--force"]
    change = "place" if old is None else "replace" if reasons else "none"
    tag = order.tags[service.name]
    return dataclasses.replace(
        step_today(resolved, service, change, tag, old),
        spec=spec,
        reason="; ".join(reasons),
        given=tag != service.tag,
    )


def step_today(resolved: Resolved, service: Consumer, change: str, tag: str, old: Occupant | None) -> ConsumerStep:
    """What a deploy and a rollback have in common: how the service is stopped, measured and watched today."""
    watch = service.watch
    return ConsumerStep(
        service=service.name,
        change=change,
        tag=tag,
        watch=WatchTerms(watch.settle, watch.window, watch.failure_text, log_rules(service)),
        config=config_file(service),
        offset=offset_file(service),
        stream=resolved.stream(service),
        old=old,
        restart=service.restart,
        stop_grace=service.stop_grace,
    )


def occupant(resolved: Resolved, service: Service, look: Snapshot) -> Occupant | None:
    """Who holds the service's place, None for nobody. Raises Refused for several, and for a run of a batch service."""
    found = look.occupants.get(service.name, ())
    run = next((one for one in found if one.batch), None)
    if run:
        raise Refused(
            f"{resolved.host.name}: the container {run.name} is {run.batch}: it is left alone; nothing was changed",
            f"it is in the place of {service.name}: rename it, or correct the batch service in hosts.yaml",
        )
    if len(found) > 1:
        names = " and ".join(named(entry.name, service.name) for entry in found)
        raise Refused(
            f"{resolved.host.name}: several containers hold the place of {service.name}: {names}",
            "stop and rename the one that is not to be there; two would write the same offset file",
        )
    return found[0] if found else None


def _differences(service: Consumer, spec: Spec, old: Occupant | None, look: Snapshot) -> list[str]:
    """Why the container that is there is not the one that is wanted; nothing when it is."""
    if old is None:
        return ["nothing is there yet"]
    if not old.ours:
        return ["it was not made by this tool"]
    reasons = []
    if not old.running:
        reasons.append("it does not run")
    if old.name != service.name:
        reasons.append(f"it is named {quoted(old.name)}")
    there = placed(look.record, look.record.current, service.name)
    if there is None or there.container != old.container:
        reasons.append("it is not what the release on record put there")
        there = placed(look.record, old.release, service.name)
    if old.spec != spec_hash(spec):
        reasons.append(_spec_changes(there, spec))
    if not look.same_config.get(service.name, True):
        reasons.append(_config_change(look))
    return reasons


def placed(record: Record, release: str, service: str) -> Placed | None:
    """A service as a release has it; None where the record has no such release, or it has no such service."""
    found = record.find(release)
    return found.services.get(service) if found else None


def _spec_changes(there: Placed | None, spec: Spec) -> str:
    """Which entries of the spec differ. A spec holds no secret, so values may be shown."""
    if there is None or there.spec is None:
        return "its spec differs"
    changes = []
    for entry in dataclasses.fields(Spec):
        before, after = getattr(there.spec, entry.name), getattr(spec, entry.name)
        if before != after:
            changes.append(_options(before, after) if entry.name == "options" else _change(entry.name, before, after))
    return f"its spec differs ({', '.join(changes)})"


def _change(name: str, before: object, after: object) -> str:
    return name if name == "image" else f"{name} {_shown(before)} -> {_shown(after)}"


def _options(before: Sequence[str], after: Sequence[str]) -> str:
    """Those alone that one of both has, as docker is given them."""
    gone = [word for word in before if word not in after]
    new = [word for word in after if word not in before]
    return f"options {' '.join(gone) or 'none'} -> {' '.join(new) or 'none'}"


def _shown(value: object) -> str:
    """A value of a spec, as hosts.yaml might have it."""
    if isinstance(value, HealthCheck):
        given = {name: text for name, text in vars(value).items() if name == "command" or text != _DEFAULTS[name]}
        return "{" + ", ".join(f"{name}: {text!r}" for name, text in given.items()) + "}"
    return "the image's own" if value is None else repr(value)


def _config_change(look: Snapshot) -> str:
    named = changed_variables(look, look.record.find(look.record.current))
    return f"its config differs ({', '.join(named)})" if named else "its config differs"


def changed_variables(look: Snapshot, release: Release | None) -> list[str]:
    """The variables of .env that are not what they were when a release was made, by keyed hash: `NAME differs`."""
    before = release.variables if release else {}
    return [
        f"{name} {'differs' if name in before else 'is new'}"
        for name, hashed in look.variables.items()
        if before and before.get(name) != hashed
    ]


def _batch_step(inventory: Inventory, service: Batch, look: Snapshot, order: Order) -> BatchStep:
    image = look.digests[service.name]
    held = look.images.get(image, "")
    state = look.batches.get(service.name)
    change = "none" if held and state and state.next_image == held else "tag"
    tag = order.tags[service.name]
    return BatchStep(service.name, change, tag, image, local_tag(inventory, service), given=tag != service.tag)
