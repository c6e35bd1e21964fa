"""Removes what runs that are over have left beside configs and offset files: it may hold passwords.

What is staged or set aside there has a name of ours, with the id of its run in it: no other file has one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from typing import Iterator, Sequence, Set

from gpu_runbook.protocol.forms import RunId, has
from gpu_runbook.protocol.journal import BeginOfChoice, BeginOfPlan, Line, told
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store

MOST = 10_000  # names of one folder that are looked at: a container may have put any number there


def remove(store: Store, run: str, lines: Sequence[Line]) -> None:
    """Remove what this run has left, and every other that has ended; `lines`: its journal. The caller holds the lock.

    Raises Refusal (kind server) for a file that does not go.
    """
    still = {one for one in journals.runs(store) if one != run and journals.state(store, one).state != "ended"}
    for path in sorted(_places(store, lines)):
        folder, name = os.path.split(path)
        for found in _listed(folder):
            match = re.fullmatch(rf"\.{re.escape(name)}\.(.+?)(\.before)?", found)
            if match and match[1] not in still and (match[1] == "back" or has(RunId, match[1])):
                guarded.remove(os.path.join(folder, found))


def _places(store: Store, lines: Sequence[Line]) -> Set[str]:
    """The configs, offset files and models in force that runs stage something beside."""
    places = {
        placed.config.path
        for release in record.load(store)[0].releases
        for placed in release.services.values()
        if placed.config
    }
    steps = [step for begin in told(lines, BeginOfPlan) for step in begin.plan.consumers]
    places |= {one.path for step in steps for one in (step.config, step.offset) if one}
    return places | {one.path for begin in told(lines, BeginOfChoice) for one in begin.configs.values()}


def _listed(folder: str) -> Iterator[str]:
    with contextlib.suppress(OSError), guarded.folder(folder) as at, os.scandir(at) as entries:
        yield from [entry.name for entry in itertools.islice(entries, MOST)]
