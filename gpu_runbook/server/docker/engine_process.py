"""The process of a docker engine: when it was started, and where it looks for programs."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Optional, Tuple

from gpu_runbook.server.system import processes

NAME = "dockerd"
# Where an engine looks whose PATH may not be seen: what systemd gives to a service.
USUAL = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def find(address: str, place: str = "/proc") -> Optional[int]:
    """The id of the process behind a unix:// address, None where that cannot be told.

    The kernel names whoever listens there. Where that is systemd, which hands the socket over, it is the one engine of
    the same user.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(1.0)
            line.connect(address[len("unix://") :])
            pid, user, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if pid and processes.text(place, pid, "comm").strip() == NAME:
            return int(pid)
    except OSError:
        return None
    found = list(processes.named((NAME,), user, place))
    return found[0] if len(found) == 1 else None


def started(pid: int, place: str = "/proc") -> Optional[float]:
    """When it was started, in seconds since 1970; None where that may not be seen."""
    try:
        ticks = int(processes.text(place, pid, "stat").rpartition(")")[2].split()[19])
    except (OSError, LookupError, ValueError):
        return None
    return booted() + ticks / os.sysconf("SC_CLK_TCK")


def path(pid: int, place: str = "/proc") -> Optional[Tuple[str, ...]]:
    """The folders in which it looks for programs; None where that may not be seen."""
    try:
        words = processes.text(place, pid, "environ").split("\0")
    except OSError:
        return None
    given = next((word[len("PATH=") :] for word in words if word.startswith("PATH=")), "")
    return tuple(folder for folder in given.split(":") if folder.startswith("/"))


def booted() -> float:
    """When the server was started, in seconds since 1970."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
