"""Holds a journal from a folder in which containers can write against what the engine says, before anything follows it.

A run there is finished or undone only where every container is the one that the journal takes it for, and every path
that would be written lies where that container writes anyway: so a forged journal gives nobody anything.
"""

from __future__ import annotations

import os
from typing import Dict, Iterator, Optional, Sequence

from gpu_runbook.common.container import LABEL
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import Line, Staging, told
from gpu_runbook.protocol.plan import ConfigFile, Plan
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.server.docker.commands import Docker
from gpu_runbook.server.docker.inspected import Container
from gpu_runbook.server.exposed.reach import sources
from gpu_runbook.server.state.store import Store

Lines = Sequence[Line]


def check(store: Store, docker: Docker, plan: Plan, swaps: Sequence[Swap], lines: Lines) -> None:
    """Raises Refusal (kind person) for a run that the engine's own state does not bear out."""
    releases = {step.service: plan.release for step in plan.consumers}
    places = [store.root]
    for swap in swaps:
        new, old = (docker.inspect(one) if one else None for one in (swap.new, swap.old))
        if not _is(docker, new, swap.service, releases.get(swap.service, ""), (swap.name, swap.new_parked)):
            raise _refused(store, plan.id, f"container {swap.new[:12]} is not what it says")
        if old is not None and old.name not in (swap.old_name, swap.old_parked):
            raise _refused(store, plan.id, f"container {swap.old[:12]} is not what it says")
        specs = [docker.engine.full_spec(one.id) for one in (new, old) if one]
        places += [source for spec in specs if spec for source, writes in sources(docker.engine, spec) if writes]
    for step in plan.consumers:
        if step.change in ("restart", "stop"):
            found = docker.inspect(step.container)
            if found is not None and found.name != step.service:
                raise _refused(store, plan.id, f"container {step.container[:12]} is not {step.service}")
    kept = store.release(plan.id)
    for path in filter(None, _written(swaps, lines)):
        if not any(_is_below(path, place) for place in places):
            raise _refused(store, plan.id, f"{path} is in no directory of its container")
    for path in filter(None, (path for swap in swaps for path in _kept(swap))):
        if not _is_below(path, kept):
            raise _refused(store, plan.id, f"{path} is none of its own copies")


def check_configs(store: Store, run: str, configs: Dict[str, ConfigFile]) -> None:
    """The same for a choice of a model, which writes configs below the root. Raises Refusal (kind person)."""
    for config in configs.values():
        if not _is_below(config.path, store.root):
            raise _refused(store, run, f"{config.path} is not below {store.root}")


def _is(docker: Docker, found: Optional[Container], service: str, release: str, names: Sequence[str]) -> bool:
    """Whether a container has the name and the labels that a run gives, and not from its image."""
    if found is None or found.name not in names:
        return False
    image = docker.engine.image(found.image_id)
    handed = image.labels if image else {}
    keys = {f"{LABEL}.service": service, f"{LABEL}.release": release}
    return all(found.labels.get(key) == value and handed.get(key) != value for key, value in keys.items())


def _written(swaps: Sequence[Swap], lines: Lines) -> Iterator[str]:
    """Every path outside of the folder that finishing or undoing may write, replace or remove."""
    for swap in swaps:
        yield from (swap.offset, swap.replay)
        if swap.config:
            yield from (swap.config.path, swap.config.staged)
    for one in told(lines, Staging):
        yield from (one.config, one.offset)


def _kept(swap: Swap) -> Iterator[str]:
    """Every path within the folder that it reads or writes."""
    yield from (swap.offset_kept, swap.offset_left, swap.config.before if swap.config else "")


def _is_below(path: str, folder: str) -> bool:
    return os.path.isabs(path) and os.path.normpath(path) == path and os.path.commonpath([path, folder]) == folder


def _refused(store: Store, run: str, why: str) -> Refusal:
    return Refusal(
        f"run {run} in {store.folder}, where containers can write, is not followed: {why}",
        f"look at what runs; when all is well, remove {store.journal(run)} and run it again",
        "person",
    )
