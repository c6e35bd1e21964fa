"""Verb: lists what nothing needs any more, and removes what was listed, in a process of its own and under the lock."""

from __future__ import annotations

import dataclasses
import os
import shutil
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, List, Set, Tuple

from remote import engine as engines
from remote import files, lock, record, surplus
from remote import journal as journals
from remote.checks.say import size
from remote.checks.state import refuse_astray
from remote.detach import Say, detached
from remote.docker import Docker, StepFailed
from remote.engine import Engine
from remote.forms import Count, RunId
from remote.ids import new_id
from remote.journal import Journal, now
from remote.runs import marks_in
from remote.store import Store, find_store
from remote.surplus import CONTAINER, FILE, IMAGE, JOURNAL, RELEASE, Thing
from remote.words import Refusal, encode

SLOW = 600.0  # seconds: an image of many gigabytes

Request = Dict[str, Any]


@dataclass(frozen=True)
class Pruned:
    """What was removed (kind and id of each), the bytes that became free, and a sentence for each thing that stays."""

    run: RunId = ""  # nothing where there was nothing to remove any more
    removed: Tuple[Tuple[str, ...], ...] = ()
    freed: Count = 0
    notes: Tuple[str, ...] = ()


def answer(request: Request, emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: root, state, docker_host, keep, batches (BatchMarks each), and to remove something: agreed ([kind, id]
    each), who, laptop.

    Without agreed, the answer has things (Thing each) and run, the last RunState or None; with it, it is a Pruned.
    Raises Refusal for a damaged record, while a run is under way, and after one that was cut off.
    """
    engine, store = engines.find(request["docker_host"]), find_store(request["root"], request["state"], emit)
    if "agreed" in request:
        refuse_astray(store, request["docker_host"])
        store.create()
        return detached(partial(_live, request, store, engine))
    store.check_owner()
    last = journals.last(store)
    things = _find(request, store, engine)
    return {"things": [encode(thing) for thing in things], "run": encode(last) if last else None}


def _find(request: Request, store: Store, engine: Engine) -> List[Thing]:
    return surplus.find(store, engine, request["keep"], marks_in(request))


def _live(request: Request, store: Store, engine: Engine, say: Say) -> None:
    run = new_id(store)
    holder: Request = {
        "run": run,
        "action": "prune",
        "who": request["who"],
        "laptop": request["laptop"],
        "since": now(),
    }
    held = lock.acquire(store, {**holder, "pid": os.getpid()})
    last = journals.last(store)
    if last and last.state == "cut-off":
        raise Refusal(f"run {last.id} was cut off and has to be finished first; nothing was removed", "run it again")
    agreed = {tuple(pair) for pair in request["agreed"]}
    things = [thing for thing in _find(request, store, engine) if (thing.kind, thing.id) in agreed]
    if not things:  # somebody was faster
        say(encode(Pruned()))
        return
    journal = Journal(store.journal(run))
    if not journal.write("begin", **holder, things=[encode(thing) for thing in things]):
        files.remove(store.journal(run))
        raise Refusal(f"{store.folder} is full: no run can be written down; nothing was removed", "make room on it")
    try:
        _forget(store, {thing.id for thing in things if thing.kind == RELEASE})
    except Refusal as error:
        journal.write("end", outcome="refused", sentence=f"{error.message}; nothing was removed")
        raise
    removed, freed, notes = _remove_all(store, Docker(engine, journal, held, marks_in(request)), things)
    sentence = f"removed {len(removed)} of {len(things)} things that nothing needs; {size(freed)} are free again"
    journal.write("end", outcome="done", sentence=sentence, details={"notes": notes})
    say(encode(Pruned(run, tuple(removed), freed, tuple(notes))))


def _forget(store: Store, releases: Set[str]) -> None:
    """Take releases out of the record before anything of theirs is gone: none stands there that cannot be gone to."""
    known, _ = record.load(store)
    if releases:
        left = tuple(entry for entry in known.releases if entry.id not in releases)
        record.save(store, dataclasses.replace(known, releases=left))


def _remove_all(store: Store, docker: Docker, things: List[Thing]) -> Tuple[List[Tuple[str, ...]], int, List[str]]:
    """What is gone, the bytes that became free, and a sentence for each thing that stays."""
    root = docker.engine.get("/info", shape={"DockerRootDir": str})["DockerRootDir"]
    removed: List[Tuple[str, ...]] = []
    notes: List[str] = []
    freed = 0
    for thing in things:
        before = _room(root)
        try:
            _remove(store, docker, thing)
        except (Refusal, StepFailed, OSError) as error:
            notes.append(f"{thing.name} stays: {error}")
            continue
        removed.append((thing.kind, thing.id))
        # Of an image only the layers go that no other one has; what else is written meanwhile must not count.
        freed += min(max(_room(root) - before, 0), thing.size) if thing.kind == IMAGE else thing.size
    return removed, freed, notes


def _remove(store: Store, docker: Docker, thing: Thing) -> None:
    if thing.kind == CONTAINER:
        docker.ensure_gone(thing.id)
    elif thing.kind == IMAGE:
        ended = docker.change(["docker", "rmi", thing.id], SLOW)  # without force: what is in use after all stays
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
