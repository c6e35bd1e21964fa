"""Sees batch runs, and never does anything about them: by name or label, and by the processes on the GPU."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from remote import command
from remote.checks import say
from remote.engine import Engine
from remote.journal import now
from remote.occupants import moment, occupant
from remote.plans import Occupant, Wanted
from remote.words import OK, UNKNOWN, Check

SECONDS = 8.0
QUERY = ["nvidia-smi", "--query-compute-apps=pid,process_name", "--format=csv,noheader,nounits"]


def runs(entry: Wanted, engine: Engine, listed: Sequence[Dict[str, Any]]) -> Tuple[Occupant, ...]:
    """The running containers hosts.yaml recognises as this service's: by exact name, or by a label `key=value`."""
    found = []
    for one in listed:
        if one.get("State") in ("running", "restarting", "paused") and _recognised(entry, one):
            container = engine.container(one["Id"])
            if container is not None:
                found.append(occupant(container, entry.service))
    return tuple(found)


def check(name: str, entry: Wanted, engine: Engine, listed: List[Dict[str, Any]], gpus: int) -> Check:
    """What runs and since when. Whatever it is: a deploy leaves it alone."""
    found = runs(entry, engine, listed)
    said = [_said(run) for run in found]
    if gpus:
        processes = on_gpu()
        if processes is None:
            sentence = "; ".join([*said, "whether something else is on the GPU could not be asked"])
            return Check(name, UNKNOWN, sentence, hint="see nvidia-smi on the server")
        known = {run.container for run in found}
        said += [_foreign(pid, program, found_in) for pid, program, found_in in processes if found_in not in known]
    figures = {"runs": len(found)}
    return Check(name, OK, "; ".join(said) or f"no run of {entry.service} is active", figures)


def on_gpu() -> Optional[List[Tuple[int, str, str]]]:
    """(pid, process name, container id or nothing) of each process on the GPUs; None when the driver does not say."""
    ended = command.run(QUERY, SECONDS)
    if not ended.ok:
        return None
    processes: List[Tuple[int, str, str]] = []
    seen: Set[int] = set()
    for line in ended.out.splitlines():
        pid, _, name = line.partition(",")
        if re.fullmatch(r"[0-9]{1,9}", pid.strip()) and int(pid) not in seen:
            seen.add(int(pid))
            processes.append((int(pid), name.strip(), container_of(int(pid))))
    return processes


def container_of(pid: int) -> str:
    """The container a host process belongs to, empty for none: docker writes its id into the cgroup's path."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii", errors="replace") as file:
            found = re.search(r"[0-9a-f]{64}", file.read())
    except OSError:
        return ""
    return found.group() if found else ""


def _recognised(entry: Wanted, listed: Dict[str, Any]) -> bool:
    key, equals, value = entry.container.partition("=")
    if equals:
        return bool((listed.get("Labels") or {}).get(key) == value)
    return entry.container in [name.lstrip("/") for name in listed.get("Names") or []]


def _said(run: Occupant) -> str:
    return f"{run.name} runs for {say.span(moment(now()) - moment(run.started_at))} and is left alone"


def _foreign(pid: int, program: str, container: str) -> str:
    where = f"container {container[:12]}" if container else f"process {pid} ({program})"
    return f"{where} is on the GPU and is left alone"
