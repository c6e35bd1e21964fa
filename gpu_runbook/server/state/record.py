"""The record, previous-tags.json: what rollback reads."""

from __future__ import annotations

import dataclasses
import json
from typing import Dict, FrozenSet, List, Tuple

from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.forms import ReleaseId, kept
from gpu_runbook.protocol.plan import SCHEMA
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files


def load(store: Store) -> Tuple[Record, Tuple[str, ...]]:
    """The record and a sentence per entry that could not be read; the others still serve."""
    raw = files.read(store.record)
    if raw is None:
        return Record(), ()
    try:
        data = json.loads(raw)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or not isinstance(data.get("releases"), list):
            raise Malformed(f"not a record of schema {SCHEMA}")
    except (ValueError, RecursionError) as error:
        return Record(), (f"{store.record} is damaged: {error}",)
    releases: List[Release] = []
    problems: List[str] = []
    for index, entry in enumerate(data["releases"]):
        try:
            releases.append(decode(Release, entry, f"releases[{index}]"))
        except Malformed as error:
            problems.append(f"{store.record} is damaged: {error}")
    return Record(current=kept(ReleaseId, data.get("current")), releases=tuple(releases)), tuple(problems)


def containers(store: Store) -> FrozenSet[str]:
    """The ids of all that the record names."""
    placed = (one for entry in load(store)[0].releases for one in entry.services.values())
    return frozenset(one.container for one in placed if one.container)


def save(store: Store, record: Record) -> None:
    """Replace the record; one that was damaged is kept beside it for a person to read."""
    _, problems = load(store)
    if problems:
        files.write(store.record + ".damaged", files.read(store.record) or b"")
    jsonfile.save(store.record, record)


def with_release(record: Record, release: Release) -> Record:
    """The record after a deploy: the release in front and in force."""
    others = tuple(entry for entry in record.releases if entry.id != release.id)
    return dataclasses.replace(record, current=release.id, releases=(release, *others))


def changed(record: Record, release: Release) -> Record:
    """The record with one of its releases changed in its place."""
    entries = tuple(release if entry.id == release.id else entry for entry in record.releases)
    return dataclasses.replace(record, releases=entries)


def rolled_back(record: Record, target: str, leaves: str, run: str, made: Dict[str, str]) -> Record:
    """The record after a rollback: the target in force and good again, the one left behind marked.

    `made`: the containers that the target's services run in now; one that had been removed was created anew.
    """

    def marked(entry: Release) -> Release:
        if entry.id == target:
            services = {name: _in(placed, made.get(name, "")) for name, placed in entry.services.items()}
            return dataclasses.replace(entry, left="", services=services)
        return dataclasses.replace(entry, left=run) if entry.id == leaves else entry

    return dataclasses.replace(record, current=target, releases=tuple(map(marked, record.releases)))


def _in(placed: Placed, container: str) -> Placed:
    return dataclasses.replace(placed, container=container) if container else placed
