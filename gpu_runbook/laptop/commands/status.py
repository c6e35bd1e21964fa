"""What `fab status` says of a server, taken from one look: as lines for people, as JSON types for scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gpu_runbook.common import humanize
from gpu_runbook.common.clock import moment
from gpu_runbook.common.remedies import ways_out
from gpu_runbook.laptop.deploy.active import Active, active
from gpu_runbook.laptop.deploy.holds import on_purpose
from gpu_runbook.laptop.inventory.image_tag import short, version
from gpu_runbook.laptop.inventory.model import Batch, Service
from gpu_runbook.protocol.check import WARNING, Check
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import LONGEST, named, one_line
from gpu_runbook.protocol.pause import RESUME, said
from gpu_runbook.protocol.plan import Occupant
from gpu_runbook.protocol.record import Placed, Release, RunState
from gpu_runbook.protocol.snapshot import BatchState, Snapshot

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.look import BatchObject, BatchStatus, ConsumerStatus, PlacedImage, StatusAnswer

NO_IMAGE = "no image for the next run yet"


def lines(server: str, look: Snapshot, services: Sequence[Service]) -> Iterator[tuple[str, str]]:
    """(text, style) of each line."""
    release = look.record.find(look.record.current)
    yield f"{server}: {_release(release)}", "bold"
    if look.pause:
        yield f"  {said(look.pause)}: {RESUME}", "yellow"
    for service in services:
        if isinstance(service, Batch):
            yield f"  {service.name}: {_batch(service, look, look.batches.get(service.name, BatchState()))}", ""
        else:
            yield from _consumer(service.name, look, release)
    if look.model:
        yield f"  model: {named(look.model)} was chosen", ""
    if look.run is not None:
        yield f"  last run: {_run(look.run)}", "yellow" if look.run.state != "ended" else ""
    for entry in look.record.releases:
        mark = "*" if entry.id == look.record.current else " "
        yield f"  {mark} {entry.id}  {_outcome(entry):8}  {_contents(entry)}  by {entry.who}", "dim"


def rows(look: Snapshot) -> list[Check]:
    """The rows of a look; that a consumer does not run which was stopped on purpose is no fault."""
    stop = {f"{name} container": name for name in look.stopped if not _runs(name, look)}
    return [_stopped_row(row, stop[row.name], look) if row.name in stop else row for row in look.rows]


def _runs(service: str, look: Snapshot) -> bool:
    return any(entry.running for entry in look.occupants.get(service, ()))


def _stopped_row(row: Check, service: str, look: Snapshot) -> Check:
    said, hint = on_purpose(look.stopped[service]), f"fab restart {service} starts it"
    return dataclasses.replace(row, level=WARNING, sentence=said, hint=hint)


def as_result(server: str, look: Snapshot, services: Sequence[Service]) -> StatusAnswer:
    """The same for scripts."""
    return {
        "server": server,
        "at": look.at,
        "release": look.record.current,
        "services": {
            service.name: _batch_result(service.name, look)
            if isinstance(service, Batch)
            else _consumer_result(service.name, look)
            for service in services
        },
        "model": look.model,
        "run": encode(look.run) if look.run else None,
        "pause": encode(look.pause) if look.pause else None,
        "releases": [
            {
                "id": entry.id,
                "at": entry.at,
                "who": entry.who,
                "outcome": entry.outcome,
                "left": entry.left,
                "services": {name: _identity(placed) for name, placed in entry.services.items()},
            }
            for entry in look.record.releases
        ],
        "rows": [encode(row) for row in rows(look)],
    }


def _consumer_result(service: str, look: Snapshot) -> ConsumerStatus:
    stop = None if _runs(service, look) else look.stopped.get(service)
    return {
        "containers": [encode(entry) for entry in look.occupants.get(service, ())],
        "stopped": encode(stop) if stop else None,
    }


def _batch_result(service: str, look: Snapshot) -> BatchObject:
    state = look.batches.get(service, BatchState())
    known = {image: _origin(service, look, image) for image in (state.next_image, *(run.image for run in state.runs))}
    origins: BatchStatus = {
        "images": {image: {"tag": placed.tag, "image": placed.image} for image, placed in known.items() if placed}
    }
    return {**encode(state), **origins}


def _identity(placed: Placed) -> PlacedImage:
    return {"tag": placed.tag, "image": placed.image, "container": placed.container}


def _release(release: Release | None) -> str:
    return f"release {release.id}, {release.outcome}, by {release.who} at {release.at}" if release else "no release yet"


def _consumer(name: str, look: Snapshot, release: Release | None) -> Iterator[tuple[str, str]]:
    found = look.occupants.get(name, ())
    if not found:
        yield f"  {name}: no container", "yellow"
    for entry in found:
        placed = release.services.get(name) if release else None
        known = placed is not None and placed.container == entry.container
        what = _version(placed) if placed and known else _stray(name, entry)
        good = entry.running and known
        stop = None if entry.running else look.stopped.get(name)
        state = on_purpose(stop) if stop else _state(entry, look.at)
        yield f"  {name}: {what}, {state}, container {entry.container[:12]}", "" if good else "yellow"


def _stray(service: str, entry: Occupant) -> str:
    name = named(entry.name, service)
    if entry.batch:
        return f"{name}, {entry.batch}"
    if not entry.ours:
        return f"{name}, not made by this tool"
    return f"{name} of release {named(entry.release)}, which is not the one on record"


def _state(entry: Occupant, at: str) -> str:
    return f"running for {humanize.span(moment(at) - moment(entry.started_at))}" if entry.running else "not running"


def _batch(service: Batch, look: Snapshot, state: BatchState) -> str:
    runs = [_active(run, service, look) for run in active(state, service.container)]
    which = "what else" if state.processes else "whether one"
    unseen = [f"{which} runs in no container is not known: {one_line(state.unseen)}"] if state.unseen else []
    image = named_image(service.name, look, state.next_image) if state.next_image else ""
    after = [f"the next run starts from {image}" if image else NO_IMAGE] if service.image else []
    return "; ".join([*(runs or unseen or ["no run is active"]), *(unseen if runs else []), *after])


def _active(run: Active, service: Batch, look: Snapshot) -> str:
    since = humanize.span(moment(look.at) - moment(run.started_at))
    image = f" from {named_image(service.name, look, run.image)}" if run.image else ""
    return f"{run.name} running for {since}{image}"


def named_image(service: str, look: Snapshot, image_id: str) -> str:
    """An image as people know it: the tag and digest under which a release brought it, else its local id."""
    placed = _origin(service, look, image_id)
    if placed is None:
        return f"image {named(image_id[:19])}, of no release on record"
    return _version(placed)


def _version(placed: Placed) -> str:
    return version(placed.tag, placed.image)


def _origin(service: str, look: Snapshot, image_id: str) -> Placed | None:
    """The newest release's entry that brought an image."""
    entries = (release.services.get(service) for release in look.record.releases)
    return next((placed for placed in entries if placed and placed.image_id == image_id), None)


def _run(run: RunState) -> str:
    head = f"{run.action} {run.id} by {run.who}"
    if run.state == "under-way":
        return f"{head} is under way since {run.since}, at step {run.step}: fab follow --run {run.id}"
    if run.state == "cut-off":
        if run.sentence:
            return one_line(f"{head} was cut off at step {run.step}: {run.sentence}; {ways_out(run.id)}", LONGEST)
        return f"{head} was cut off at step {run.step}: the next fab deploy or fab rollback finishes or undoes it"
    return one_line(f"{head}: {run.outcome}: {run.sentence}", LONGEST)


def _outcome(release: Release) -> str:
    return "left" if release.left else release.outcome


def _contents(release: Release) -> str:
    return ", ".join(f"{name} {short(placed.tag)}" for name, placed in sorted(release.services.items()))
