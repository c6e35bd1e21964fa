"""Who holds a service's place: any container with our label for it that runs, or with its name; and how it is."""

from __future__ import annotations

import calendar
import contextlib
import os
import time
from typing import Any, Dict, List, Optional, Tuple

from remote.engine import Engine
from remote.plans import Occupant
from remote.words import LABEL

PID_FILE = "/var/run/docker.pid"
STARTING = 2.0  # seconds that an engine takes from its first sign of life to its last


def occupants(engine: Engine, service: str, listed: List[Dict[str, Any]]) -> Tuple[Occupant, ...]:
    """The containers in a service's place, `listed` being what `Engine.containers` gave. More than one is a fault.

    A stopped container of ours under another name is a parked release and holds nothing.
    """
    found = []
    for entry in listed:
        names = [name.lstrip("/") for name in entry.get("Names") or []]
        ours = (entry.get("Labels") or {}).get(f"{LABEL}.service") == service
        at_work = entry.get("State") in ("running", "restarting", "paused")
        if service in names or (ours and at_work):
            container = engine.container(entry["Id"])
            if container is not None:
                found.append(occupant(container, service))
    return tuple(found)


def occupant(container: Dict[str, Any], service: str) -> Occupant:
    """What `docker inspect` says of a container, as one that holds the service's place."""
    labels = container["Config"].get("Labels") or {}
    ours = labels.get(f"{LABEL}.service") == service
    return Occupant(
        container=container["Id"],
        name=container["Name"].lstrip("/"),
        image=container["Image"],
        running=lives(container),
        started_at=container["State"]["StartedAt"],
        restart=policy_of(container),
        ours=ours,
        release=labels.get(f"{LABEL}.release", "") if ours else "",
        spec=labels.get(f"{LABEL}.spec", "") if ours else "",
    )


def moment(text: str) -> float:
    """Seconds since 1970 of a time as the engine writes it: RFC 3339, UTC, up to nanoseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or '0'}")


def lives(container: Optional[Dict[str, Any]]) -> bool:
    """Whether a process of the container may be at work: a paused one and one between restarts count too."""
    state = container["State"] if container else {}
    return bool(state.get("Running") or state.get("Restarting") or state.get("Paused"))


def between_restarts(container: Optional[Dict[str, Any]]) -> bool:
    """Whether the container has ended by itself and the engine waits before it starts it again."""
    return bool(container and container["State"].get("Restarting"))


def felled(container: Dict[str, Any], address: str, grace: int) -> bool:
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
