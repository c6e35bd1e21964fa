"""Verb: lists what nothing needs any more, and removes what was listed, in a process of its own and under the lock.

It makes room on a disk that takes nothing more: the room kept aside makes way for the record and the journal, what is
of no release on record goes even if the record cannot be written, and it does without a journal where there can be
none. A removal that is cut off leaves nothing to finish: the next `fab prune` finds what is left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from gpu_runbook.common.humanize import several, size
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.deadlines import QUICK, REMOVED
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import BeginOfPrune, End, EndDetails
from gpu_runbook.protocol.prune import CONTAINER, FILE, IMAGE, JOURNAL, RELEASE, DiskLeft, Pruned, Thing
from gpu_runbook.protocol.record import Record
from gpu_runbook.protocol.requests import PruneRequest
from gpu_runbook.server.checks import disk as disk_check
from gpu_runbook.server.checks.state import refuse_astray
from gpu_runbook.server.docker import disk
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.commands import Docker, StepFailed
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.ours import recorded
from gpu_runbook.server.retention import after_run, candidates
from gpu_runbook.server.rpc.detach import Say, detached
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import new_run, record
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.state.unwritten import Unkept, begun
from gpu_runbook.server.system import files


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a PruneRequest.

    Without agreed, the answer has things (Thing each) and run, the last RunState or None; with it, it is a Pruned.
    Raises Refusal for a damaged record, while a run is under way, after one that was cut off, and where nothing can
    be removed.
    """
    asked = decode(PruneRequest, request, "request")
    engine, store = engines.find(asked.docker_host), find_store(asked.root, asked.state, emit)
    store.check_owner()
    if asked.agreed is not None:
        refuse_astray(store, asked.docker_host)
        return detached(partial(_live, asked, store, engine))
    last = journals.last(store)
    things = _find(asked, store, engine)
    return {"things": [encode(thing) for thing in things], "run": encode(last) if last else None}


def _find(asked: PruneRequest, store: Store, engine: Engine) -> List[Thing]:
    return candidates.find(store, engine, asked.keep, asked.batches)


def _live(asked: PruneRequest, store: Store, engine: Engine, say: Say) -> None:
    new = new_run.locked(store, "prune", asked.who, asked.laptop, undone="removed")
    run = new.id
    agreed = {*(asked.agreed or ())}
    things = [thing for thing in _find(asked, store, engine) if (thing.kind, thing.id) in agreed]
    if not things:  # somebody was faster
        say(encode(Pruned()))
        return
    begin = BeginOfPrune(**new.line, things=tuple(map(encode, things)))
    releases = {thing.id for thing in things if thing.kind == RELEASE}
    bound = _bound(store, releases, things)
    journal, why = begun(store.journal(run), begin), _forget(store, releases)
    if why or isinstance(journal, Unkept):  # the record comes first: it gives back what it takes
        with contextlib.suppress(OSError):
            os.unlink(store.spare)
        why = _forget(store, releases)
        journal = begun(store.journal(run), begin) if isinstance(journal, Unkept) else journal
    docker = Docker(engine, journal, new.lock, asked.batches)
    done = _remove_all(store, docker, [thing for thing in things if not (why and thing in bound)])
    if why:
        why = _forget(store, releases)  # there may be room now
        stays = tuple(f"{thing.name} stays: {why}" for thing in bound)
        rest = Pruned(notes=stays) if why else _remove_all(store, docker, bound)
        done = Pruned("", done.removed + rest.removed, done.freed + rest.freed, done.notes + rest.notes)
    if not done.removed and (why or isinstance(journal, Unkept)):
        said = f"{done.notes[0]}; nothing was removed"
        journal.write(End("refused", said))
        raise Refusal(said, files.SEE)
    gone = f"removed {len(done.removed)} of {several(len(things), 'thing')} that nothing needs"
    sentence = f"{gone}; {size(done.freed)} are free again"
    journal.write(End("done", sentence, details=EndDetails(notes=done.notes)))
    if isinstance(journal, Unkept):
        run, untold = "", f"fab history does not tell of it: {journal.why}"
        done = dataclasses.replace(done, notes=(*done.notes, untold))
    say(encode(dataclasses.replace(done, run=run, disk=_left(engine))))


def _left(engine: Engine) -> Optional[DiskLeft]:
    found = disk_check.look(disk.roots(engine)[-1])
    return DiskLeft(found.path, found.share, found.available) if isinstance(found, disk_check.Room) else None


def _bound(store: Store, releases: Set[str], things: List[Thing]) -> List[Thing]:
    """The things that stay as long as these releases stand in the record: it names none that cannot be gone to."""
    dropped = Record(releases=tuple(entry for entry in record.load(store)[0].releases if entry.id in releases))
    images = {placed.image for entry in dropped.releases for placed in entry.services.values()}
    return [thing for thing in things if thing.id in {*releases, *recorded(dropped), *images}]


def _forget(store: Store, releases: Set[str]) -> str:
    """Take releases out of the record before anything of theirs is gone; why that could not be, usually nothing."""
    known, _ = record.load(store)
    left = tuple(entry for entry in known.releases if entry.id not in releases)
    try:
        if len(left) < len(known.releases):
            record.save(store, dataclasses.replace(known, releases=left))
    except Refusal as error:
        return error.message
    return ""


def _remove_all(store: Store, docker: Docker, things: List[Thing]) -> Pruned:
    root = disk.roots(docker.engine)[-1]
    removed: List[Tuple[str, ...]] = []
    notes: List[str] = []
    freed = 0
    names_are_due = True  # before the images: what then becomes free is theirs; and after the containers
    for thing in things:
        if thing.kind == IMAGE and names_are_due:
            notes += _take_names(store, docker)
            names_are_due = False
        before = _room(root)
        try:
            _remove(store, docker, thing)
        except (Refusal, StepFailed, OSError) as error:
            notes.append(f"{thing.name} stays: {error.strerror if isinstance(error, OSError) else error}")
            continue
        removed.append((thing.kind, thing.id))
        # Of an image only the layers go that no other one has; what else is written meanwhile must not count.
        freed += min(max(_room(root) - before, 0), thing.size) if thing.kind == IMAGE else thing.size
    notes += _take_names(store, docker) if names_are_due else []
    return Pruned("", tuple(removed), freed, tuple(notes))


def _take_names(store: Store, docker: Docker) -> List[str]:
    """From images that no release on record needs, those by which we keep them; what could not be."""
    notes, names = after_run.held(store, docker, record.load(store)[0].releases)
    if names:
        docker.change(["docker", "rmi", *names], QUICK)
    return notes


def _remove(store: Store, docker: Docker, thing: Thing) -> None:
    if thing.kind == CONTAINER:
        docker.ensure_gone(thing.id)
    elif thing.kind == IMAGE:
        ended = docker.change(["docker", "rmi", thing.id], REMOVED)  # without force: what is in use stays
        if not ended.ok:
            raise StepFailed(ended.complaint)
    elif thing.kind == JOURNAL:
        files.remove(store.journal(thing.id))
        files.remove(store.decision(thing.id))
    elif thing.kind == FILE:
        files.remove(thing.id)
    elif os.path.exists(store.release(thing.id)):
        shutil.rmtree(store.release(thing.id))


def _room(path: str) -> int:
    """As `files.room`, 0 where this login may not look."""
    try:
        return files.room(path)
    except OSError:
        return 0
