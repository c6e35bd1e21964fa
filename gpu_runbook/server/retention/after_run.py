"""Removes what no kept release needs any more: our own containers by their ids, images without force, old journals."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from typing import List, Sequence, Set, Tuple

from gpu_runbook.common.container import KEPT
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.deadlines import QUICK
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.forms import NONE, ReleaseId, has
from gpu_runbook.protocol.journal import HandledOffsets
from gpu_runbook.protocol.record import Record, Release
from gpu_runbook.server.docker.commands import Docker, StepFailed
from gpu_runbook.server.docker.containers import lives
from gpu_runbook.server.docker.ours import Named, is_made, recorded
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import record as records
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files

Releases = Tuple[Release, ...]

KEEP_RUNS = 200
KEEP_FAILED = 2


def tidy(store: Store, docker: Docker, keep: int) -> List[str]:
    """Keep what `split` keeps; a sentence for each thing that would not go.

    Batch services lose images that nothing uses, never a container: the engine refuses to remove an image in use.
    """
    known, damaged = records.load(store)
    kept, dropped = split(known, keep)
    notes, images = held(store, docker, kept)
    if dropped:
        records.save(store, dataclasses.replace(known, releases=kept))
        named = recorded(Record(releases=dropped))
        for container in sorted(set(named) - set(recorded(Record(releases=kept)))):
            notes += _remove_container(docker, container, named[container])
        images += sorted(_images(dropped) - _images(kept))
    if images and not damaged:  # what a damaged entry needs is not known
        docker.change(["docker", "rmi", *images], QUICK)  # without force: what is in use stays
    for folder in stale(store, kept):
        notes += _drop_folder(store, docker, folder)
    sweep(store)
    for run in journals.runs(store)[:-KEEP_RUNS]:
        files.remove(store.journal(run))
        files.remove(store.decision(run))
    return notes


def sweep(store: Store) -> None:
    """Remove files that were being written when the power failed. The caller holds the lock."""
    for where, folders, names in os.walk(store.folder):
        if where == store.folder and "health" in folders:
            folders.remove("health")  # a round of the scheduled check may be writing there at this moment
        for name in names:
            if name.startswith("."):
                files.remove(os.path.join(where, name))


def split(known: Record, keep: int) -> Tuple[Releases, Releases]:
    """The releases to keep and those to drop, both newest first.

    Kept are the newest ones, the one in force, and the one that a rollback would go to from there.
    """
    current = known.find(known.current)
    earlier = known.releases[known.releases.index(current) + 1 :] if current else known.releases
    back = next((entry for entry in earlier if not entry.left), None)
    kept = tuple(entry for at, entry in enumerate(known.releases) if at < keep or entry in (current, back))
    return kept, tuple(entry for entry in known.releases if entry not in kept)


def held(store: Store, docker: Docker, kept: Releases) -> Tuple[List[str], List[str]]:
    """Give the images of kept releases a name of ours: without one, any `docker system prune` takes them.

    A sentence for each that gets none; and the names that no kept release needs, also those that a run which died has
    left. Each state has names of its own: another one on this server may need the same image.
    """
    mark, wanted, notes = store.keyed_hash(""), set(), []
    try:
        for image in sorted({placed.image_id for entry in kept for placed in entry.services.values()} - {""}):
            found = docker.image(image)
            if found:
                name = f"{KEPT}:{found.id[7:]}-{mark}"
                wanted.add(name)
                if name not in found.names:
                    ended = docker.change(["docker", "tag", found.id, name], QUICK)
                    notes += [] if ended.ok else [f"{image[:19]} has no name that keeps it: {ended.complaint}"]
        listed = docker.engine.get("/images/json", shape=[{"RepoTags": ([str], NONE)}]) if wanted else ()
        names = {name for one in listed for name in one["RepoTags"] or ()}
    except (StepFailed, Refusal) as error:
        return [str(error)], []
    return notes, sorted(name for name in names - wanted if name.startswith(KEPT) and name.endswith(mark))


def _images(releases: Releases) -> Set[str]:
    return {placed.image for entry in releases for placed in entry.services.values() if placed.image}


def _remove_container(docker: Docker, container: str, named: Sequence[Named]) -> List[str]:
    """Only one that we have made, and only while it is still."""
    try:
        found = docker.inspect(container)
        if found and not lives(found) and is_made(named, found, docker.image(found.image_id)):
            docker.ensure_gone(container)
    except StepFailed as error:
        return [f"{container[:12]} could not be removed: {error}"]
    return []


def stale(store: Store, kept: Releases) -> List[str]:
    """Folders of releases that are neither kept nor among the newest failed ones, nor of a run that has not ended."""
    ids = {entry.id for entry in kept}
    names = [name for name in os.listdir(store.releases) if has(ReleaseId, name)]
    others = sorted((name for name in names if name not in ids), reverse=True)
    failed = [name for name in others if os.path.exists(os.path.join(store.release(name), "failed.json"))]
    return [name for name in others if name not in failed[:KEEP_FAILED] and _is_over(store, name)]


def _is_over(store: Store, run: str) -> bool:
    """What has no journal is an adopted release, or that of a run so old that its journal is gone."""
    return not os.path.exists(store.journal(run)) or journals.state(store, run).state == "ended"


def _drop_folder(store: Store, docker: Docker, name: str) -> List[str]:
    note = files.read(os.path.join(store.release(name), "failed.json"))
    notes: List[str] = []
    try:
        handled = [decode(HandledOffsets, one, "it") for one in (json.loads(note)["handled"] if note else [])]
    except (ValueError, LookupError, TypeError, RecursionError):
        handled, notes = [], [f"the note of release {name} is damaged; its containers are left to a person"]
    for one in handled:
        notes += _remove_container(docker, one.container, [Named(one.service, name)])
    shutil.rmtree(store.release(name), ignore_errors=True)
    return notes
