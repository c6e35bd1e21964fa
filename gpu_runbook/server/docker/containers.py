"""Who holds a service's place: whoever has its name, and any container of ours that works for it; and how it is."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Optional, Sequence, Tuple

from gpu_runbook.protocol.plan import BatchMarks, Occupant
from gpu_runbook.server.docker.batch_containers import recognised
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import Container, ListedContainer
from gpu_runbook.server.docker.ours import MadeByUs, Ours, judge

PID_FILE = "/var/run/docker.pid"
STARTING = 2.0  # seconds that an engine takes from its first sign of life to its last
LOOP = 10.0  # seconds a container must be up before the engine itself takes it out of its restart loop
AT_WORK = ("running", "restarting", "paused")


def occupants(
    engine: Engine, known: MadeByUs, service: str, listed: Sequence[ListedContainer], batches: Sequence[BatchMarks] = ()
) -> Tuple[Occupant, ...]:
    """The containers in a service's place, `listed` being what `Engine.containers` gave. More than one is a fault.

    A stopped container of ours under another name is a parked release and holds nothing.
    """
    found = []
    for entry in listed:
        if service in entry.names or (entry.state in AT_WORK and known.names(entry, service)):
            container = engine.container(entry.id)
            if container is not None:
                image = engine.image(container.image_id)
                ours = judge(service, known.named(container.id), container, image)
                found.append(occupant(container, ours, recognised(batches, container, image)))
    return tuple(found)


def occupant(container: Container, ours: Optional[Ours] = None, batch: str = "") -> Occupant:
    """A container as one that holds a place, or as a run."""
    return Occupant(
        container=container.id,
        name=container.name,
        image=container.image_id,
        running=lives(container),
        started_at=container.started_at,
        restart=container.restart,
        ours=ours is not None,
        release=ours.release if ours else "",
        spec=ours.spec if ours else "",
        batch=batch,
    )


def outage(before: Container, after: Container, most: float) -> float:
    """Seconds from the end of one container to the start of another, by a clock that may be set between the two.

    `most`: how long that can have been by a clock that is never set.
    """
    return round(min(max(after.started - before.finished, 0.0), most), 3)


def lives(container: Optional[Container]) -> bool:
    """Whether a process of the container may be at work: a paused one and one between restarts count too."""
    return container is not None and (container.running or container.restarting or container.paused)


def loops(container: Container) -> bool:
    """Whether it ends by itself again and again: it waits for its next start, or had one a moment ago."""
    return container.restarting or (container.restarts > 0 and -LOOP < time.time() - container.started < LOOP)


def fault(container: Container, address: str, grace: int) -> str:
    """What ended a container that somebody may not have stopped, in words; empty where it was stopped and ended with 0.

    `address`, `grace`: as of `stopped_by_engine`.
    """
    if stopped_by_engine(container, address, grace):
        return "was stopped by its engine"
    return container.killed or (f"ended with exit status {container.exit_code}" if container.exit_code else "")


def stopped_by_engine(container: Container, address: str, grace: int) -> bool:
    """Whether a container ended while its engine, at that address, was starting. `grace`: seconds it has to stop.

    An engine that was killed finds its containers alive when it starts, stops them, and does not start them again: they
    look as if somebody had stopped them. When it started tell its socket and its pid file, by this server's clock.
    """
    if container.state != "exited":
        return False
    for path in (address[len("unix://") :], PID_FILE):
        with contextlib.suppress(OSError):
            if -STARTING <= container.finished - os.stat(path).st_ctime <= grace + STARTING:
                return True
    return False
