"""Tells a server's own processes from those of its containers, which stand in /proc too, under any name they like.

A process chooses its name and its arguments. Its user, its parent, the namespace that its id is of and its control
group are what the kernel says of it.
"""

from __future__ import annotations

import os
import re
from typing import Dict, Iterator, List, Optional, Sequence, Set

LONGEST = 4096  # bytes of a command line that are read
ANCESTORS = 100  # of one process
ID = re.compile(r"[0-9a-f]{64}")  # of a container: docker writes it into the path of its control group


def named(names: Sequence[str], user: int, processes: str = "/proc") -> Iterator[int]:
    """The ids of processes of these names that this user (an id) started outside of every container."""
    for pid in map(int, filter(str.isdigit, os.listdir(processes))):
        try:
            if text(processes, pid, "comm").strip() in names and owner(pid, processes) == user:
                yield pid
        except OSError:
            continue  # it has ended meanwhile


def container_of(pid: int, processes: str = "/proc") -> str:
    """The container a host process belongs to, empty for none and for a process that has ended."""
    try:
        return _container(processes, pid)
    except OSError:
        return ""


def _container(processes: str, pid: int) -> str:
    found = ID.search(text(processes, pid, "cgroup"))
    return found.group() if found else ""


def owner(pid: int, processes: str = "/proc") -> Optional[int]:
    """The real user (an id) of a process outside of every container, None for one in a container.

    Such a one has a second id, in a namespace of its own (Linux 4.1), or another control group than we have. Raises
    OSError for a process that has ended, or may not be looked at.
    """
    told = dict(line.split(":", 1) for line in text(processes, pid, "status").splitlines() if ":" in line)
    inside = len(told.get("NSpid", "").split()) > 1
    if inside or _container(processes, pid) != container_of(os.getpid(), processes):
        return None
    return int(told["Uid"].split()[0])


def lineage(pid: int, processes: str = "/proc") -> Iterator[int]:
    """The id of a process, then of the one that has started it, and so on, as far as that can be seen."""
    for _ in range(ANCESTORS):
        yield pid
        try:
            pid = int(text(processes, pid, "stat").rpartition(")")[2].split()[1])  # its name, before, may hold anything
        except (OSError, LookupError, ValueError):
            return


def of_containers(wanted: Set[str], processes: str = "/proc") -> Dict[str, List[int]]:
    """By container, its processes as the kernel knows them, whatever an engine knows; nothing of one that has none."""
    found: Dict[str, List[int]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir(processes))):
        container = container_of(pid, processes)
        if container in wanted:
            found.setdefault(container, []).append(pid)
    return found


def words(pid: int, processes: str = "/proc") -> List[str]:
    """The command line of a process as it writes it by now, which it may overwrite; empty for one of the kernel's.

    Raises OSError for one that has ended, or may not be looked at.
    """
    with open(os.path.join(processes, str(pid), "cmdline"), "rb") as file:
        line = file.read(LONGEST).rstrip(b"\0")
    return line.decode("utf-8", "replace").split("\0") if line else []


def text(processes: str, pid: int, name: str) -> str:
    """A file that the kernel keeps of a process. Raises OSError for one that has ended."""
    with open(os.path.join(processes, str(pid), name), encoding="utf-8", errors="replace") as file:
        return file.read()
