"""A plan as a person reads it before it is carried out: what changes, why, and the very commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from gpu_runbook.common.container import KEPT, create_command, labels, old_release, parked
from gpu_runbook.laptop.deploy.active import active
from gpu_runbook.laptop.deploy.plan import images_to_fetch, placed
from gpu_runbook.laptop.inventory.image_tag import short
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.forms import minute
from gpu_runbook.protocol.plan import BatchStep, ConsumerStep, Occupant, Plan, spec_hash
from gpu_runbook.protocol.record import Placed, Record
from gpu_runbook.protocol.snapshot import Snapshot


def lines(plan: Plan, look: Snapshot, with_commands: bool) -> Iterator[str]:
    """One block per service. Holds no secret: the config is named, never shown."""
    yield f"{plan.server}: {plan.action} {plan.id}" + (f", release {plan.release}" if plan.action == "rollback" else "")
    for step in plan.consumers:
        yield from _consumer(step, look.record)
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


def _consumer(step: ConsumerStep, record: Record) -> Iterator[str]:
    if step.change == "none":
        yield f"  {step.service} {short(step.tag)}: up to date, nothing is stopped"
        return
    what = {"place": "is placed", "replace": "replaces what runs"}[step.change]
    there = placed(record, step.old.release, step.service) if step.old else None
    yield f"  {step.service} {_tags(there, step.tag)} {what}: {step.reason}"
    if step.spec:
        yield f"    image  {step.spec.image}"
    if step.old:
        yield f"    stops  {_stopped(step.service, step.old, there, record)}"
    if step.config:
        kept = f"as release {step.config_from} had it" if step.config_from else "rendered here"
        yield f"    config {step.config.path}, {kept}"


def _tags(there: Placed | None, tag: str) -> str:
    """`1.0 → 1.1`; of a tag that stays, or takes the place of none that is known, the tag alone."""
    before = short(there.tag) if there and there.tag != tag else ""
    return f"{before} → {short(tag)}" if before else short(tag)


def _stopped(service: str, old: Occupant, there: Placed | None, record: Record) -> str:
    """Which service of which release is stopped, who put that there, and when."""
    if not old.ours:
        return f"{named(old.name, service)}, which this tool did not make"
    what = f"{service} {short(there.tag)}".rstrip() if there else service
    release = record.find(old.release)
    if release is None:
        return f"{what} of release {named(old.release) or 'none'}, which is not on record"
    did = "taken over" if release.outcome == "adopted" else "put there"
    return f"{what} of release {named(release.id)}, {did} by {named(release.who)} at {minute(release.at)} UTC"


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
    there = placed(look.record, look.record.current, step.service)
    known = there if state and there and there.image_id == state.next_image else None
    yield f"  {step.service} {_tags(known, step.tag)}: for the next run only{running}"
