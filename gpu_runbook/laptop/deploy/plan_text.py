"""A plan as a person reads it before it is carried out: what changes, why, and the very commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from gpu_runbook.common.container import KEPT, create_command, labels, old_release, parked
from gpu_runbook.laptop.deploy.active import active
from gpu_runbook.laptop.deploy.plan import images_to_fetch
from gpu_runbook.laptop.inventory.image_tag import short
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.plan import BatchStep, ConsumerStep, Plan, spec_hash
from gpu_runbook.protocol.snapshot import Snapshot


def lines(plan: Plan, look: Snapshot, with_commands: bool) -> Iterator[str]:
    """One block per service. Holds no secret: the config is named, never shown."""
    yield f"{plan.server}: {plan.action} {plan.id}" + (f", release {plan.release}" if plan.action == "rollback" else "")
    for step in plan.consumers:
        yield from _consumer(step)
        yield from _handled(plan, step, look)
        if with_commands and step.change != "none":
            yield from (f"    $ {command}" for command in commands(plan, step))
    for batch in plan.batches:
        yield from _batch(batch, look)
        if with_commands and batch.change != "none":
            yield f"    $ {shlex.join(['docker', 'tag', batch.image, batch.local_tag])}"
    if with_commands:
        yield from (
            f"    $ docker tag {shlex.quote(image)} {KEPT}:(its id)-(the state's mark)"
            for image in images_to_fetch(plan, look)
        )


def commands(plan: Plan, step: ConsumerStep) -> Iterator[str]:
    """What will be run for one consumer, in order, with names where ids are not known yet."""
    new = parked(step.service, plan.release)
    if not step.container and step.spec:
        marks = labels(step.service, plan.release, spec_hash(step.spec), "…", "…")
        yield shlex.join(create_command(step.spec, new, step.spec.image, marks))
    if step.old:
        old = parked(step.service, old_release(step, plan.id))
        yield shlex.join(["docker", "update", "--restart", "no", step.old.name])
        yield shlex.join(["docker", "rename", step.old.name, old])
    yield shlex.join(["docker", "rename", new, step.service])
    if step.old:
        yield shlex.join(["docker", "stop", "-t", str(step.stop_grace), old])
    if step.replay and step.offset:
        yield f"mv (the staged offset file) {shlex.quote(step.offset.path)}"
    if step.config:
        yield f"mv (the staged config) {shlex.quote(step.config.path)}"
    yield shlex.join(["docker", "start", step.service])
    yield shlex.join(["docker", "update", "--restart", step.restart, step.service])


def _consumer(step: ConsumerStep) -> Iterator[str]:
    if step.change == "none":
        yield f"  {step.service} {short(step.tag)}: up to date, nothing is stopped"
        return
    what = {"place": "is placed", "replace": "replaces what runs"}[step.change]
    yield f"  {step.service} {short(step.tag)} {what}: {step.reason}"
    if step.spec:
        yield f"    image  {step.spec.image}"
    if step.old:
        old, release = named(step.old.name, step.service), named(step.old.release) or "none"
        yield f"    stops  {old} ({step.old.container[:12]}, release {release})"
    if step.config:
        kept = f"as release {step.config_from} had it" if step.config_from else "rendered here"
        yield f"    config {step.config.path}, {kept}"


def _handled(plan: Plan, step: ConsumerStep, look: Snapshot) -> Iterator[str]:
    """Which messages the release that a rollback leaves has had its hands on, as far as is known by now."""
    row = next((row for row in look.rows if row.name == f"{step.service} offset"), None)
    reached = row.figures.get("offset") if row else None
    begin = step.old.took_over if step.old and step.change != "none" else None
    if plan.action != "rollback" or step.old is None or begin is None or not isinstance(reached, int):
        return
    if reached <= begin:
        if step.replay:
            yield f"    offset release {step.old.release} has handled nothing yet, and goes on until it is stopped"
        return
    yield f"    offset release {step.old.release} has handled {begin} to {reached - 1}, and goes on until it is stopped"
    if step.replay:
        yield f"           from {begin} on all is read again; what was written from it already is written twice"
    else:
        yield "           they are not read again; --replay would, and what was written already is then written twice"


def _batch(step: BatchStep, look: Snapshot) -> Iterator[str]:
    state = look.batches.get(step.service)
    runs = " and ".join(run.name for run in active(state)) if state else ""
    running = f"; {runs} runs on untouched" if runs else ""
    if step.change == "none":
        yield f"  {step.service} {short(step.tag)}: up to date{running}"
        return
    yield f"  {step.service} {short(step.tag)}: for the next run only{running}"
