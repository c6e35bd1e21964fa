"""What a server is like at one moment: the record, the last run, who holds which place, which images are there."""

from __future__ import annotations

import dataclasses
import os
import pwd
import socket
import time
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from gpu_runbook.common.clock import now
from gpu_runbook.protocol.check import CRITICAL, WARNING, Check
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.plan import BatchMarks, Occupant
from gpu_runbook.protocol.processes import ProcessRuns
from gpu_runbook.protocol.record import Record
from gpu_runbook.protocol.snapshot import BatchState, ImageIdentity, Snapshot, Wanted
from gpu_runbook.server.checks import batch
from gpu_runbook.server.docker import registry
from gpu_runbook.server.docker.batch_containers import recognised
from gpu_runbook.server.docker.containers import AT_WORK, occupants
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.docker.ours import MadeByUs, is_labelled
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.models.apply import chosen, with_chosen
from gpu_runbook.server.queue import offset
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import pause, record
from gpu_runbook.server.state import stopped as stops
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import processes

MOST_PIDS = 5  # of a container that are named
FORGOTTEN = (
    "two would read the queue: let docker have its former data-root and image store again, let hosts.yaml lead to the "
    "engine that knows it (docker_host), or end it by hand"
)


def view(
    variables: Dict[str, str],
    batches: Sequence[BatchMarks],
    engine: Engine,
    store: Store,
    wanted: Sequence[Wanted],
    listed: Sequence[ListedContainer],
    rows: List[Check],
    digests: Dict[str, str],
    seen: Dict[str, ProcessRuns],
) -> Snapshot:
    """Everything but the rows, which were asked before. `variables`: to be hashed. `listed`: by the engine. `seen`: of
    batch services, their runs that are no containers."""
    known, damaged = record.load(store)
    rows += [Check("record", WARNING, sentence, hint="the rest of it still serves") for sentence in damaged]
    stopped, problem = stops.load(store)
    rows += [Check("notes", WARNING, said) for said in (problem, pause.load(store, time.time())[1]) if said]
    model = chosen(store)
    rows += [_unreadable(store)] if model is None else []
    named, consumers = MadeByUs(store, known), [entry for entry in wanted if entry.kind == "consumer"]
    held = {one.service: _holders(store, engine, one, named, listed, batches) for one in consumers}
    rows += [row for service, found in held.items() for row in (*_crowded(service, found), *_runs(service, found))]
    rows += [row for one in consumers for row in _strays(one.service, named, listed, batches)]
    rows += _forgotten({one.service for one in consumers}, known, {entry.id for entry in listed})
    images, identities = _images(engine, known, digests)
    rows += _lost(known, images)
    return Snapshot(
        hostname=socket.gethostname(),
        at=now(),
        user=pwd.getpwuid(os.geteuid()).pw_name,
        rows=tuple(rows),
        record=known,
        run=journals.last(store),
        newest=(journals.runs(store) or [""])[-1],
        occupants=held,
        containers=tuple(entry.id for entry in listed),
        digests=digests,
        images=images,
        identities=identities,
        same_config={entry.service: _same_config(store, entry) for entry in wanted if entry.config and entry.text},
        configs={entry.service: hashed for entry in wanted for hashed in _in_place(store, entry)},
        model=model or "",
        batches={entry.service: _batch(engine, entry, listed, seen) for entry in wanted if entry.kind == "batch"},
        variables={name: store.keyed_hash(value) for name, value in variables.items()},
        pause=pause.current(store, time.time()),
        stopped=stopped,
    )


def _holders(
    store: Store,
    engine: Engine,
    entry: Wanted,
    named: MadeByUs,
    listed: Sequence[ListedContainer],
    batches: Sequence[BatchMarks],
) -> Tuple[Occupant, ...]:
    """Who holds a consumer's place, and at which offset each took over: its release keeps a copy of that moment."""
    found = occupants(engine, named, entry.service, listed, batches)
    if entry.offset is None:
        return found
    kept = {one.release: os.path.join(store.release(one.release, entry.service), "offset.yaml") for one in found}
    return tuple(
        dataclasses.replace(one, took_over=offset.position(entry.offset, kept[one.release]) if one.release else None)
        for one in found
    )


def _crowded(service: str, found: Tuple[Occupant, ...]) -> List[Check]:
    if len(found) < 2 or any(one.batch for one in found):  # nobody is to be told to stop a training run
        return []
    names = " and ".join(named(entry.name, service) for entry in found)
    hint = "stop and rename the one that is not to be there; two would write the same offset file"
    return [Check(service, CRITICAL, f"several containers hold the place of {service}: {names}", hint=hint)]


def _runs(service: str, found: Tuple[Occupant, ...]) -> Iterator[Check]:
    """A run of a batch service that holds a consumer's place is as sacred as any other."""
    hint = "rename it; or correct container:, label: or image: of the batch service in hosts.yaml"
    for one in found:
        if one.batch:
            yield Check(service, CRITICAL, f"the container {one.name} is {one.batch}: it is left alone", hint=hint)


def _strays(
    service: str, named: MadeByUs, listed: Sequence[ListedContainer], batches: Sequence[BatchMarks]
) -> Iterator[Check]:
    """An image hands its labels down; or it is a second consumer, which somebody has started by hand."""
    hint = "stop it by hand if it reads the same stream: two would write the same offset file"
    for entry in listed:
        if entry.state not in AT_WORK or not is_labelled(entry, service) or service in entry.names:
            continue
        if not named.names(entry, service) and not recognised(batches, entry):
            said = f"{entry.name} runs with our label for {service}, and neither record nor journals know it"
            yield Check(service, WARNING, f"{said}: it is left alone", hint=hint)


def _forgotten(services: Set[str], known: Record, listed: Set[str]) -> List[Check]:
    """Containers on record that the engine does not know and that are at work all the same: they outlive an engine that
    is given another data-root or image store while live-restore is on.
    """
    placed = [(name, one.container) for entry in known.releases for name, one in entry.services.items()]
    lost = {container: name for name, container in placed if name in services and container and container not in listed}
    rows = []
    for container, pids in sorted((processes.of_containers(set(lost)) if lost else {}).items()):
        told = ", ".join(map(str, sorted(pids)[:MOST_PIDS]))
        said = f"docker does not know the container {container[:12]} of {lost[container]} any more, and it is at work"
        figures = {"forgotten": container, "processes": sorted(pids)[:MOST_PIDS]}
        rows.append(Check(lost[container], CRITICAL, f"{said} (process {told})", figures, FORGOTTEN))
    return rows


def _lost(known: Record, ids: Dict[str, str]) -> Iterator[Check]:
    """Kept releases whose image somebody has removed. `ids`: by image, its local id, empty when it is gone."""
    lost: Dict[Tuple[str, str], List[str]] = {}
    for entry in known.releases:
        for service, placed in entry.services.items():
            if placed.image_id and not ids[placed.image_id] and not ids.get(placed.image):
                lost.setdefault((service, placed.tag), []).append(entry.id)
    for (service, tag), releases in lost.items():
        said = f"the image of {service} {named(tag)} is gone, which release {' and '.join(releases)} is made of"
        hint = "a rollback pulls it again, while the registry has it; docker system prune --all takes what does not run"
        yield Check("kept images", WARNING, said, hint=hint)


def _images(engine: Engine, known: Record, digests: Dict[str, str]) -> Tuple[Dict[str, str], Dict[str, ImageIdentity]]:
    """By image: its local id, empty when it is gone or of another platform. And what tells those of `digests` apart."""
    asked = {placed.image for entry in known.releases for placed in entry.services.values()}
    asked |= {placed.image_id for entry in known.releases for placed in entry.services.values()}
    asked |= set(digests.values())
    found = {image: engine.image(image) for image in sorted(asked - {""})}
    here = {image: one for image, one in found.items() if one and registry.runs_here(one)}
    ids = {image: here[image].id if image in here else "" for image in found}
    return ids, {image: registry.identity(here[image]) for image in digests.values() if image in here}


def _in_place(store: Store, entry: Wanted) -> List[str]:
    present = _present(entry)
    return [] if present is None else [store.keyed_hash(present.decode("utf-8", "replace"))]


def _same_config(store: Store, entry: Wanted) -> bool:
    assert entry.config is not None  # noqa: S101  the caller asked
    return _present(entry) == (with_chosen(store, entry.config, entry.text) or entry.text).encode()


def _present(entry: Wanted) -> Optional[bytes]:
    """The config in place, None where none is, or none that can be read."""
    try:
        found = guarded.read(entry.config.path) if entry.config else None
    except OSError:
        return None
    return found[0] if found else None


def _unreadable(store: Store) -> Check:
    hint = "move it away, then choose again: fab models.use"
    return Check("model", CRITICAL, f"{store.model} is damaged: which model was chosen is not known", hint=hint)


def _batch(
    engine: Engine, entry: Wanted, listed: Sequence[ListedContainer], seen: Dict[str, ProcessRuns]
) -> BatchState:
    image = engine.image(entry.marks.local_tag) if entry.marks and entry.marks.local_tag else None
    late = ProcessRuns(unseen="they could not be looked at in time" if entry.process else "")
    outside = seen.get(entry.service, late)
    return BatchState(image.id if image else "", batch.runs(entry, engine, listed), outside.runs, outside.unseen)
