"""Who holds a service's place: any container with our label for it that runs, or with its name."""

from __future__ import annotations

import calendar
import time
from typing import Any, Dict, List, Tuple

from remote.docker import lives, policy_of
from remote.engine import Engine
from remote.plans import Occupant
from remote.words import LABEL


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
