"""Tells a server's own processes from those of its containers, which stand in /proc too, under any name they like."""

from __future__ import annotations

import os
import re
from typing import Dict, Iterator, List, Sequence, Set


def named(names: Sequence[str], user: int, processes: str = "/proc") -> Iterator[int]:
    """The ids of processes of these names that this user (an id) started outside of every container.

    A process chooses its name and its arguments. Its user, the namespace that its id is of and its control group are
    what the kernel says of it.
    """
    for pid in map(int, filter(str.isdigit, os.listdir(processes))):
        try:
            if text(processes, pid, "comm").strip() in names and _is_ours(processes, pid, user):
                yield pid
        except OSError:
            continue  # it has ended meanwhile


def container_of(pid: int, processes: str = "/proc") -> str:
    """The container a host process belongs to, empty for none: docker writes its id into the cgroup's path."""
    try:
        found = re.search(r"[0-9a-f]{64}", text(processes, pid, "cgroup"))
    except OSError:
        return ""
    return found.group() if found else ""


def of_containers(wanted: Set[str], processes: str = "/proc") -> Dict[str, List[int]]:
    """By container, its processes as the kernel knows them, whatever an engine knows; nothing of one that has none."""
    found: Dict[str, List[int]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir(processes))):
        container = container_of(pid, processes)
        if container in wanted:
            found.setdefault(container, []).append(pid)
    return found


def text(processes: str, pid: int, name: str) -> str:
    """A file that the kernel keeps of a process. Raises OSError for one that has ended."""
    with open(os.path.join(processes, str(pid), name), encoding="utf-8", errors="replace") as file:
        return file.read()


def _is_ours(processes: str, pid: int, user: int) -> bool:
    """By its real user, by having no second id in a namespace of its own (Linux 4.1), and by its control group."""
    told = dict(line.split(":", 1) for line in text(processes, pid, "status").splitlines() if ":" in line)
    if len(told.get("NSpid", "").split()) > 1 or container_of(pid, processes) != container_of(os.getpid(), processes):
        return False
    return told["Uid"].split()[:1] == [str(user)]
