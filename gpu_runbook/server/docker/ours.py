"""Which containers are ours: those that our record or a journal names by their id, with labels that no image gave them.

A label alone gives no right: `docker commit` of a consumer hands its labels down to whatever is started from the image.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from gpu_runbook.common.container import LABEL
from gpu_runbook.protocol.forms import ReleaseId, SpecHash, has, kept
from gpu_runbook.protocol.journal import Staged, told
from gpu_runbook.protocol.record import Record
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.docker.inspected import Container, ListedContainer, LocalImage
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store

SERVICE, RELEASE, SPEC = (f"{LABEL}.{what}" for what in ("service", "release", "spec"))


@dataclass(frozen=True)
class Named:
    """What a release of the record or a run's journal says of a container, whose id is known."""

    service: str
    release: str
    adopted: bool = False  # it was there before us, and has no label of ours


@dataclass(frozen=True)
class Ours:
    """A container of ours: the release it belongs to, and the hash of the spec it was made from."""

    release: str
    spec: str = ""
    made: bool = True  # by us; one that was adopted is started and stopped, and never removed


def judge(service: str, named: Sequence[Named], container: Container, image: Optional[LocalImage]) -> Optional[Ours]:
    """Whether a container is ours as one of a service; None when it is not. The one place where that is decided.

    `named`: all that record and journals say of its id. `container`, `image`: what the engine says of it, and of the
    image it was made from, None where that is gone.
    """
    here = [one for one in named if one.service == service]
    given, handed_down = container.labels, image.labels if image else {}
    release = given.get(RELEASE, "")
    if here and given.get(SERVICE) == service and release != handed_down.get(RELEASE) and has(ReleaseId, release):
        return Ours(release, kept(SpecHash, given.get(SPEC, "")))
    return next((Ours(one.release, made=False) for one in here if one.adopted and has(ReleaseId, one.release)), None)


def is_made(named: Sequence[Named], container: Container, image: Optional[LocalImage]) -> bool:
    """Whether we have created it, for whichever service: only such a container is ever removed."""
    found = (judge(service, named, container, image) for service in {one.service for one in named})
    return any(one.made for one in found if one)


def recorded(record: Record) -> Dict[str, List[Named]]:
    """By id, what a record says of its containers, the release in force first."""
    found: Dict[str, List[Named]] = {}
    for release in sorted(record.releases, key=lambda one: one.id != record.current):
        for service, placed in release.services.items():
            if placed.container:
                found.setdefault(placed.container, []).append(Named(service, release.id, placed.spec is None))
    return found


def journalled(store: Store, container: str) -> List[Named]:
    """What the newest journal says that tells of a container as one that its run has made ready."""
    for run in reversed(journals.runs(store)):
        lines = journals.read(store.journal(run), container)
        found = [Named(one.service, run) for one in told(lines, Staged) if one.container == container]
        if found:
            return found
    return []


class MadeByUs:
    """What record and journals say of containers. Journals are many: read for what the record does not name alone."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store = store
        self._recorded = recorded(record)

    def named(self, container: str) -> List[Named]:
        """What is said of an id; nothing for one that is not ours."""
        return self._recorded.get(container) or journalled(self._store, container)

    def names(self, entry: ListedContainer, service: str) -> bool:
        """Whether a listed container is named for a service. What journals alone name we have made, with our label."""
        known = self._recorded.get(entry.id, [])
        if not known and is_labelled(entry, service):
            known = journalled(self._store, entry.id)
        return any(one.service == service for one in known)


def is_labelled(entry: ListedContainer, service: str) -> bool:
    """Whether a listed container bears our label for a service, from whomever it has it."""
    return entry.labels.get(SERVICE) == service
