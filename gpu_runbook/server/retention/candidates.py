"""What lies on a server and nothing needs any more. Only looks: what is found may be removed by its id, by no name.

A container goes when `server.docker.ours` judges that we have made it, and it is no run of a batch service. An image
goes by the digest that a run of ours has brought, once no kept release, no container and no training needs it.
"""

from __future__ import annotations

import os
import time
from typing import Dict, FrozenSet, Iterator, List, Sequence, Set, Tuple

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.forms import NONE, Place, has
from gpu_runbook.protocol.journal import BeginOfPlan, End, Line, Staged, told
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.protocol.prune import CONTAINER, FILE, FOLDER, IMAGE, JOURNAL, RELEASE, Thing
from gpu_runbook.protocol.record import Record, Release
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.docker import inspected, ours
from gpu_runbook.server.docker.batch_containers import recognised
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.docker.ours import Named, is_made, recorded
from gpu_runbook.server.retention import after_run
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store

OLD = 3600.0  # seconds before something that no release names counts as left behind
AT_REST = ("created", "exited", "dead")
LISTED = [{**inspected.LISTED[0], "ImageID": str, "Created": int}]  # without them it is not known what may go

Lines = List[Line]


@dataclass(frozen=True)
class Needed:
    """What the record, the journals and the engine tell, read once."""

    kept: Tuple[Release, ...]
    dropped: Tuple[Release, ...]
    staying: FrozenSet[str]  # releases and runs whose folders stay
    journals: Dict[str, Lines]
    listed: Sequence[ListedContainer]
    batches: Sequence[BatchMarks]


def find(store: Store, engine: Engine, keep: int, batches: Sequence[BatchMarks]) -> List[Thing]:
    """Everything that may go, in the order in which it is removed.

    Raises Refusal for a damaged record: what its entries need is not known.
    """
    on_record, problems = record.load(store)
    if problems:
        raise Refusal(f"{problems[0]}; nothing was removed", "what a damaged entry needs is not known: repair it first")
    if not store.exists:
        return []
    kept, dropped = after_run.split(on_record, keep)
    stale = after_run.stale(store, kept)
    lines = {run: journals.read(store.journal(run)) for run in journals.runs(store)}
    listed = engine.containers(LISTED)
    staying = frozenset(os.listdir(store.releases)) - frozenset(stale)
    known = Needed(kept, dropped, staying, lines, listed, batches)
    gone = {entry.id for entry in dropped}
    releases = [_folder(store, RELEASE, entry.id, f"beyond the newest {keep}") for entry in dropped]
    folders = [_folder(store, FOLDER, name, "of a run that is over") for name in stale if name not in gone]
    # Without a record nothing is known of what is needed.
    containers = list(_containers(engine, known)) if on_record.releases else []
    images = list(_images(engine, known, {one.id for one in containers})) if on_record.releases else []
    return [*releases, *containers, *images, *folders, *_journals(store), *_half_written(store)]


def _containers(engine: Engine, known: Needed) -> Iterator[Thing]:
    dropped, staged = recorded(Record(releases=known.dropped)), _staged(known.journals)
    for entry in known.listed:
        if not may_go(entry, known, time.time()):
            continue
        found, named = engine.container(entry.id), [*dropped.get(entry.id, ()), *staged.get(entry.id, ())]
        image = engine.image(found.image_id) if found else None
        if found and is_made(named, found, image) and not recognised(known.batches, found, image):
            why = "of a release that is no longer kept" if entry.id in dropped else "left behind by a run"
            yield Thing(CONTAINER, entry.id, f"{entry.name} ({entry.id[:12]})", _written(engine, entry.id), why)


def _written(engine: Engine, container: str) -> int:
    """The bytes that a container has written: counted by the engine, so that it is asked for them where they matter."""
    path, shape = f"/containers/{container}/json", {"SizeRw": (int, NONE)}
    return int(engine.get(path, {"size": "1"}, seconds=60.0, shape=shape).get("SizeRw") or 0)


def may_go(entry: ListedContainer, known: Needed, now: float) -> bool:
    """Whether a listed container is at rest, holds no place, and was staged by a run of this root that nobody needs.

    `now`: seconds since 1970.
    """
    if entry.state not in AT_REST or ours.is_labelled(entry, entry.name):  # it has its service's place
        return False
    if entry.id in recorded(Record(releases=known.kept)) or entry.labels.get(ours.RELEASE) in known.staying:
        return False
    if entry.id in recorded(Record(releases=known.dropped)):
        return True
    return entry.id in _staged(known.journals) and abs(now - entry.created) > OLD  # or the clock was set back


def _staged(journalled: Dict[str, Lines]) -> Dict[str, List[Named]]:
    """By id, the containers that runs have made ready."""
    found: Dict[str, List[Named]] = {}
    for run, lines in journalled.items():
        for one in told(lines, Staged):
            found.setdefault(one.container, []).append(Named(one.service, run))
    return found


def _images(engine: Engine, known: Needed, going: Set[str]) -> Iterator[Thing]:
    """`going`: ids of the containers that are to be removed."""
    kept = _named(known.kept)
    needed = {placed.image_id for entry in known.kept for placed in entry.services.values()}
    needed |= {entry.image_id for entry in known.listed if entry.id not in going}
    needed |= {_id(engine, name) for name in kept | {one.local_tag for one in known.batches if one.local_tag}}
    sizes = engine.image_sizes()
    for name in sorted((_named(known.dropped) | brought(known.journals)) - kept):
        found = engine.image(name) if "@" in name else None  # one without a digest was not brought by us
        if found and found.id not in needed:
            yield Thing(IMAGE, name, name, sizes.get(found.id, found.size), "of no release that is kept")


def _named(releases: Sequence[Release]) -> Set[str]:
    return {placed.image for entry in releases for placed in entry.services.values()}


def _id(engine: Engine, image: str) -> str:
    found = engine.image(image) if image else None
    return found.id if found else ""


def brought(journalled: Dict[str, Lines]) -> Set[str]:
    """The images that runs which have ended were to put in place, by their plans."""
    images: Set[str] = set()
    for lines in journalled.values():
        for begin in told(lines, BeginOfPlan) if lines[-1:] and lines[-1].word == End.word else ():
            images |= {step.spec.image for step in begin.plan.consumers if step.spec}
            images |= {step.image for step in begin.plan.batches}
    return images


def _folder(store: Store, kind: str, name: str, why: str) -> Thing:
    return Thing(kind, name, name, _size(store.release(name)), why)


def _journals(store: Store) -> Iterator[Thing]:
    for run in journals.runs(store)[: -after_run.KEEP_RUNS]:
        if journals.state(store, run).state == "ended":
            size = _size(store.journal(run)) + _size(store.decision(run))
            yield Thing(JOURNAL, run, run, size, f"older than the newest {after_run.KEEP_RUNS}")


def _half_written(store: Store) -> Iterator[Thing]:
    """Files that were being written when the power failed."""
    for where, _, names in os.walk(store.folder):
        for path in (os.path.join(where, name) for name in names if name.startswith(".")):
            if has(Place, path) and abs(time.time() - os.lstat(path).st_mtime) > OLD:
                yield Thing(FILE, path, path, _size(path), "half written")


def _size(path: str) -> int:
    """Bytes of a file, or of a folder with all that is in it; 0 for what is not there."""
    paths = [path, *(os.path.join(where, name) for where, _, names in os.walk(path) for name in names)]
    return sum(os.lstat(one).st_size for one in paths if os.path.lexists(one))
