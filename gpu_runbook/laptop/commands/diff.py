"""What a deploy would change now, and what is not as the record has it. Pure: values in, a Comparison out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gpu_runbook.laptop.answers.look import Drift, Effect, Version
from gpu_runbook.laptop.commands.status import named_image
from gpu_runbook.laptop.deploy import preflight
from gpu_runbook.laptop.deploy.plan import Order, deploy_plan
from gpu_runbook.laptop.errors import Refused
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory import image_tag
from gpu_runbook.laptop.inventory.model import Batch, Inventory, Service
from gpu_runbook.protocol.check import WARNING
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import named, quoted
from gpu_runbook.protocol.forms import minute
from gpu_runbook.protocol.plan import Occupant
from gpu_runbook.protocol.record import Placed, Release
from gpu_runbook.protocol.snapshot import BatchState, Snapshot
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.look import DiffAnswer

UNSEEN = ("record", "notes", "model")  # rows that say what could not be read, and so was not compared


@dataclass(frozen=True)
class Comparison:
    """What one server is compared with: hosts.yaml and .env (`changes`, `variables`), and the record (`drift`)."""

    server: str
    at: str
    release: str
    changes: tuple[Effect, ...]
    variables: tuple[str, ...]  # a sentence for each that is not as in the release in force
    drift: tuple[Drift, ...]
    notes: tuple[str, ...] = ()  # what makes the comparison uncertain

    @property
    def same(self) -> bool:
        return not self.drift and not self.variables and all(change.change == "none" for change in self.changes)


def compare(
    inventory: Inventory, resolved: Resolved, services: Sequence[Service], look: Snapshot, order: Order
) -> Comparison:
    """Hold a look that asked the registry against what is wanted, and against what is recorded."""
    release = look.record.find(look.record.current)
    row = preflight.env_row(resolved, look)
    return Comparison(
        server=resolved.host.name,
        at=look.at,
        release=look.record.current,
        changes=tuple(_change(inventory, resolved, service, look, order) for service in services if service.image),
        variables=tuple(row.sentence.split("; ")) if row.level == WARNING else (),
        drift=tuple(_drift(inventory, services, look, release)) if release else (),
        notes=tuple(_notes(look)),
    )


def _notes(look: Snapshot) -> Iterator[str]:
    yield from (row.sentence for row in look.rows if row.name in UNSEEN and row.level != "ok")
    if look.run and look.run.state != "ended":
        state = {"under-way": "is under way", "cut-off": "was cut off"}[look.run.state]
        yield f"{look.run.action} {look.run.id} by {look.run.who} {state}: what is seen here may be half done"


def _change(inventory: Inventory, resolved: Resolved, service: Service, look: Snapshot, order: Order) -> Effect:
    release = look.record.find(look.record.current)
    placed = release.services.get(service.name) if release else None
    before = Version(placed.tag, placed.image) if placed else None
    image = look.digests.get(service.name)
    if image is None:
        row = next((row for row in look.rows if row.name == f"{service.name} image"), None)
        return Effect(service.name, "unknown", row.sentence if row else "its image is not known", before, None)
    after = Version(order.tags[service.name], image)
    if resolved.missing and getattr(service, "config", None):
        return Effect(service.name, "unknown", "; ".join(resolved.missing), before, after)
    try:
        plan = deploy_plan(inventory, resolved, [service], look, order)
    except Refused as error:
        return Effect(service.name, "refused", error.message.removeprefix(f"{resolved.host.name}: "), before, after)
    moved = before is not None and image_tag.has_moved(before.tag, before.image, after.tag, after.image)
    for step in plan.consumers:
        return Effect(service.name, step.change, step.reason, before, after, moved)
    (batch,) = plan.batches
    reason = "its next run starts from another image" if batch.change == "tag" else ""
    return Effect(service.name, batch.change, reason, before, after, moved)


def _drift(inventory: Inventory, services: Sequence[Service], look: Snapshot, release: Release) -> Iterator[Drift]:
    for service in services:
        placed = release.services.get(service.name)
        if placed is None or not service.image:
            continue
        if isinstance(service, Batch):
            yield from _of_a_batch(service.name, placed, look)
        else:
            yield from _of_a_consumer(service.name, placed, look)
            yield from _of_a_config(service, placed, look)
    for service in services:
        yield from _of_images(service.name, look)
    if len(services) == len(inventory.services):
        for name in sorted(set(release.services) - set(inventory.services)):
            yield Drift(name, "unlisted", f"it is part of release {release.id}, and hosts.yaml does not name it")


def _of_a_consumer(name: str, placed: Placed, look: Snapshot) -> Iterator[Drift]:
    found = look.occupants.get(name, ())
    own = next((one for one in found if one.container == placed.container), None)
    for one in found:
        if one is not own:
            hint = f"fab status says more; fab deploy{'' if one.ours else ' --adopt'} replaces it"
            yield Drift(name, "stray", f"{_stray(name, one)} holds its place", hint)
    if own is None:
        yield _absent(name, placed, look)
        return
    if own.name != name:
        yield Drift(name, "renamed", f"its container is named {quoted(own.name)}", "fab deploy puts it in order")
    if not own.running:
        yield _stopped(name, look)
    if placed.restart and own.restart != placed.restart:
        said = f"its restart policy is {own.restart}, and was {placed.restart}"
        hint = shlex.join(["docker", "update", "--restart", placed.restart, name])
        yield Drift(name, "restart-policy", said, hint)


def _stray(service: str, one: Occupant) -> str:
    made = f"made by release {named(one.release)}" if one.ours else "not made by this tool"
    return f"{named(one.name, service)} ({one.container[:12]}, {made})"


def _absent(name: str, placed: Placed, look: Snapshot) -> Drift:
    which = f"its container {placed.container[:12]}"
    if placed.container in look.containers:
        return Drift(name, "renamed", f"{which} was renamed, and does not run", "fab deploy puts it in order")
    return Drift(name, "gone", f"{which} is gone", "fab deploy makes it anew")


def _stopped(name: str, look: Snapshot) -> Drift:
    stop = look.stopped.get(name)
    if stop is None:
        return Drift(name, "stopped", "its container does not run", f"fab restart {name} starts it")
    why = f" ({stop.reason})" if stop.reason else ""
    said = f"{stop.who} stopped it on purpose at {minute(stop.at)}{why}"
    return Drift(name, "stopped", said, f"fab restart {name} starts it")


def _of_a_config(service: Service, placed: Placed, look: Snapshot) -> Iterator[Drift]:
    today = getattr(service, "config", None)
    if placed.config is None or not placed.config_hash or today is None or today.path != placed.config.path:
        return  # an adopted one, or one whose place is another now: a deploy says so
    present = look.configs.get(service.name)
    if present is None:
        yield Drift(service.name, "config", f"{today.path} is gone, or cannot be read", "fab deploy puts it there")
    elif present != placed.config_hash:
        said = f"{today.path} is not as its release has put it: somebody has edited it"
        yield Drift(service.name, "config", said, "fab deploy puts it in order, or keep the change in the template")


def _of_a_batch(name: str, placed: Placed, look: Snapshot) -> Iterator[Drift]:
    state = look.batches.get(name, BatchState())
    if not state.next_image:
        said = f"{placed.local_tag} names no image any more, so that no run can be started from it"
        yield Drift(name, "local-tag", said, "fab deploy puts it there")
    elif state.next_image != placed.image_id:
        now = named_image(name, look, state.next_image)
        said = f"{placed.local_tag} is {now}, and the release put {named_image(name, look, placed.image_id)} there"
        yield Drift(name, "local-tag", said, shlex.join(["docker", "tag", placed.image, placed.local_tag]))


def _of_images(name: str, look: Snapshot) -> Iterator[Drift]:
    """The releases that a rollback may go to and whose image would have to be pulled for it."""
    for release in look.record.releases:
        placed = release.services.get(name)
        if placed and not release.left and not look.images.get(placed.image) and not look.images.get(placed.image_id):
            which = f"release {release.id} ({image_tag.short(placed.tag)})"
            yield Drift(name, "image-gone", f"the image of {which} is gone: a rollback would have to pull it")


def lines(found: Comparison) -> Iterator[tuple[str, str]]:
    """(text, style) of each line."""
    yield f"{found.server}: {f'release {found.release} is in force' if found.release else 'no release yet'}", "bold"
    yield from ((f"  {note}", "yellow") for note in found.notes)
    changes = [change for change in found.changes if change.change != "none"]
    if not changes:
        yield "  a deploy would change nothing", "green"
    for change in changes:
        yield f"  {change.service}: {_says(change)}", "yellow"
        if change.after and change.before != change.after:
            yield f"      {_named(change.before)} → {_named(change.after)}", ""
        if change.moved and change.before and change.after:
            yield f"      {_moved(change.before, change.after)}", "yellow"
    yield from ((f"  .env: {sentence}", "yellow") for sentence in found.variables)
    if found.release and not found.drift:
        yield "  everything is as the record has it", "green"
    for drift in found.drift:
        yield f"  {drift.service}: {drift.sentence}", "yellow"
        if drift.hint:
            yield f"      {drift.hint}", "dim"


def _says(change: Effect) -> str:
    says = {
        "place": "a deploy places it",
        "replace": "a deploy replaces what runs",
        "tag": "a deploy moves its local tag",
        "refused": "a deploy would be refused",
        "unknown": "what a deploy would change is not known",
    }
    return f"{says[change.change]}: {change.reason}"


def _moved(before: Version, after: Version) -> str:
    """That nobody asked for another image: whoever pushed it did."""
    then, now = (version.image.rpartition("@")[2][: image_tag.SHOWN] for version in (before, after))
    return f"the tag {image_tag.short(after.tag)} has moved since its deploy: {then} is deployed, {now} is pushed"


def _named(version: Version | None) -> str:
    return image_tag.version(version.tag, version.image) if version else "nothing"


def as_result(found: Comparison) -> DiffAnswer:
    """The same for scripts."""
    return {
        "server": found.server,
        "at": found.at,
        "release": found.release,
        "changes": [encode(change) for change in found.changes],
        "variables": list(found.variables),
        "drift": [encode(drift) for drift in found.drift],
        "notes": list(found.notes),
        "same": found.same,
    }
