"""Proves a release after its watch: once all its consumers are seen to have handled messages, the record says so."""

from __future__ import annotations

import dataclasses
import os
from typing import Optional, Sequence

from gpu_runbook.common import clock
from gpu_runbook.common.container import HEALTHY, STARTING
from gpu_runbook.protocol.check import OK, WARNING
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import Swapped, told
from gpu_runbook.protocol.plan import PROVEN, UNPROVEN
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.protocol.snapshot import Snapshot, Wanted
from gpu_runbook.server.queue import offset
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import lock, record
from gpu_runbook.server.state.store import Store


def container_row(service: str) -> str:
    """What the row is called by which a look says whether a consumer is well."""
    return f"{service} container"


def log_row(service: str) -> str:
    """What the row is called that has the end of its log."""
    return f"{service} log"


def offset_row(service: str) -> str:
    """What the row is called that has its offset."""
    return f"{service} offset"


def proven(store: Store, look: Snapshot, wanted: Sequence[Wanted]) -> Snapshot:
    """The look with its release proven, if it was not and is now; the same otherwise, also while the lock is held."""
    known = look.record
    release = known.find(known.current)
    if release is None or release.outcome != UNPROVEN or not _all_moved(store, look, release, wanted):
        return look
    if look.run is not None and look.run.state == "under-way":
        return look
    try:
        _enter(store, release.id)
    except (Refusal, OSError):  # somebody is at it, or the disk is full: another look will see it again
        return look
    return dataclasses.replace(look, record=_with(known, release.id))


def _all_moved(store: Store, look: Snapshot, release: Release, wanted: Sequence[Wanted]) -> bool:
    """Whether every consumer of the release runs on as it was placed, and has proven itself since."""
    asked = {entry.service: entry for entry in wanted}
    consumers = [name for name, placed in release.services.items() if placed.kind == "consumer"]
    return bool(consumers) and all(_moved(store, look, release, asked.get(name)) for name in consumers)


def _moved(store: Store, look: Snapshot, release: Release, entry: Optional[Wanted]) -> bool:
    if entry is None or not _is_well(look, entry.service):
        return False
    holders = look.occupants.get(entry.service, ())
    if [(one.container, one.running) for one in holders] != [(release.services[entry.service].container, True)]:
        return False
    if entry.offset is None:
        return _health(look, entry.service) == HEALTHY
    before = _began(store, look, release, entry.service)
    now = offset.upcoming(entry.offset)
    return before is not None and now is not None and now > before


def _is_well(look: Snapshot, service: str) -> bool:
    """Whether it runs and was not started again by the engine a while ago: one that loops proves nothing.

    Nor does one whose log says that it fails.
    """
    well = any(row.name == container_row(service) and row.level == OK for row in look.rows)
    fails = any(row.name == log_row(service) and row.level == WARNING for row in look.rows)
    return well and not fails and _health(look, service) != STARTING


def _health(look: Snapshot, service: str) -> str:
    """What its HEALTHCHECK says."""
    return next((str(row.figures.get("health", "")) for row in look.rows if row.name == container_row(service)), "")


def _began(store: Store, look: Snapshot, release: Release, service: str) -> Optional[int]:
    """Where the container took over last: what was handled between its deploy and a rollback to it proves another one.

    The first of its service found no offset file, and began with the first message of the stream. Of one that followed
    another it is not known where no copy of the file could be kept.
    """
    at = _swapped(store, release.services[service])
    if at is not None or _follows_another(look.record, release, service):
        return at
    row = next((row for row in look.rows if row.name == offset_row(service)), None)
    first = row.figures.get("first") if row else None
    return first if isinstance(first, int) else None


def _follows_another(known: Record, release: Release, service: str) -> bool:
    return any(service in one.services for one in known.releases if one.id != release.id)


def _swapped(store: Store, placed: Placed) -> Optional[int]:
    """The offset at the newest swap that brought the container, by the journals; by the record where they are gone."""
    for run in reversed(journals.runs(store)):
        for one in told(journals.read(store.journal(run)), Swapped):
            if one.container == placed.container:
                return one.offset
    return placed.offset_at_swap


def _enter(store: Store, release: str) -> None:
    handle = lock.acquire(store, {"action": "status", "since": clock.now()})
    try:
        known, damaged = record.load(store)
        if not damaged and known.current == release:
            record.save(store, _with(known, release))
    finally:
        os.close(handle)


def _with(known: Record, release: str) -> Record:
    marked = (dataclasses.replace(one, outcome=PROVEN) if one.id == release else one for one in known.releases)
    return dataclasses.replace(known, releases=tuple(marked))
