"""Who holds a service's place: whoever has its name, and any container of ours that works for it; and how it is."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from gpu_runbook.common.clock import moment
from gpu_runbook.protocol.plan import BatchMarks, Occupant
from gpu_runbook.server.docker.batch_containers import recognised
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.ours import MadeByUs, Ours, judge

PID_FILE = "/var/run/docker.pid"
STARTING = 2.0  # seconds that an engine takes from its first sign of life to its last
LOOP = 10.0  # seconds a container must be up before the engine itself takes it out of its restart loop
AT_WORK = ("running", "restarting", "paused")


def occupants(
    engine: Engine, known: MadeByUs, service: str, listed: List[Dict[str, Any]], batches: Sequence[BatchMarks] = ()
) -> Tuple[Occupant, ...]:
    """The containers in a service's place, `listed` being what `Engine.containers` gave. More than one is a fault.

    A stopped container of ours under another name is a parked release and holds nothing.
    """
    found = []
    for entry in listed:
        if has_name(entry, service) or (entry.get("State") in AT_WORK and known.names(entry, service)):
            container = engine.container(entry["Id"])
            if container is not None:
                image = engine.image(container["Image"])
                ours = judge(service, known.named(container["Id"]), container, image)
                found.append(occupant(container, ours, recognised(batches, container, image)))
    return tuple(found)


def has_name(entry: Dict[str, Any], name: str) -> bool:
    """Whether a listed container has a name."""
    return f"/{name}" in (entry.get("Names") or ())


def occupant(container: Dict[str, Any], ours: Optional[Ours] = None, batch: str = "") -> Occupant:
    """What `docker inspect` says of a container, as one that holds a place, or as a run."""
    return Occupant(
        container=container["Id"],
        name=container["Name"].lstrip("/"),
        image=container["Image"],
        running=lives(container),
        started_at=container["State"]["StartedAt"],
        restart=policy_of(container),
        ours=ours is not None,
        release=ours.release if ours else "",
        spec=ours.spec if ours else "",
        batch=batch,
    )


def outage(before: Dict[str, Any], after: Dict[str, Any], most: float) -> float:
    """Seconds from the end of one container to the start of another, by a clock that may be set between the two.

    `most`: how long that can have been by a clock that is never set.
    """
    down = moment(after["State"]["StartedAt"]) - moment(before["State"]["FinishedAt"])
    return round(min(max(down, 0.0), most), 3)


def lives(container: Optional[Dict[str, Any]]) -> bool:
    """Whether a process of the container may be at work: a paused one and one between restarts count too."""
    state = container["State"] if container else {}
    return bool(state.get("Running") or state.get("Restarting") or state.get("Paused"))


def loops(container: Optional[Dict[str, Any]]) -> bool:
    """Whether it ends by itself again and again: it waits for its next start, or had one a moment ago."""
    if container is None:
        return False
    up = time.time() - moment(container["State"]["StartedAt"])
    return between_restarts(container) or bool(container["RestartCount"] and -LOOP < up < LOOP)


def between_restarts(container: Optional[Dict[str, Any]]) -> bool:
    """Whether the container has ended by itself and the engine waits before it starts it again."""
    return bool(container and container["State"].get("Restarting"))


def fault(container: Dict[str, Any], address: str, grace: int) -> str:
    """What ended a container that somebody may not have stopped, in words; empty where it was stopped and ended with 0.

    `address`, `grace`: as of `stopped_by_engine`.
    """
    code = container["State"]["ExitCode"]
    if stopped_by_engine(container, address, grace):
        return "was stopped by its engine"
    return f"ended with exit status {code}" if code else ""


def stopped_by_engine(container: Dict[str, Any], address: str, grace: int) -> bool:
    """Whether a container ended while its engine, at that address, was starting. `grace`: seconds it has to stop.

    An engine that was killed finds its containers alive when it starts, stops them, and does not start them again: they
    look as if somebody had stopped them. When it started tell its socket and its pid file, by this server's clock.
    """
    if container["State"]["Status"] != "exited":
        return False
    ended = moment(container["State"]["FinishedAt"])
    for path in (address[len("unix://") :], PID_FILE):
        with contextlib.suppress(OSError):
            if -STARTING <= ended - os.stat(path).st_ctime <= grace + STARTING:
                return True
    return False


def policy_of(found: Dict[str, Any]) -> str:
    """The restart policy as `docker update --restart` takes it."""
    policy = found["HostConfig"]["RestartPolicy"]
    name, count = str(policy["Name"] or "no"), policy.get("MaximumRetryCount") or 0
    return f"{name}:{count}" if count else name
