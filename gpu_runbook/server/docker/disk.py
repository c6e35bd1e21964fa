"""Where docker keeps its files, and whether there is room for what it writes down when it starts a container."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Dict, List

from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.forms import NONE
from gpu_runbook.server.docker.engine import SECONDS, Engine, EngineError

LEAST = 1 << 16  # bytes: what a start writes down
INFO = {"DockerRootDir": str, "DriverStatus": (list, NONE), "Containerd": (NONE, {"Address": str})}
SNAPSHOTTER = "io.containerd.snapshotter.v1"  # the driver-type of an engine whose images containerd keeps
SOCKET = "/run/containerd/containerd.sock"  # of a containerd beside docker, which the engine takes where it is
CONFIG, DEFAULT = "/etc/containerd/config.toml", "/var/lib/containerd"

REMEDY = "fab prune makes room; a disk with faults is made read-only: see dmesg and the mount on the server"


def roots(engine: Engine, seconds: float = SECONDS) -> List[str]:
    """The folders where the engine keeps containers and images, images last. Raises EngineError."""
    found = engine.get("/info", seconds=seconds, shape=INFO)
    by_containerd = ["driver-type", SNAPSHOTTER] in (found.get("DriverStatus") or [])
    return [found["DockerRootDir"], *([_containerd_root()] if by_containerd and _is_beside(found) else [])]


def _is_beside(found: Dict[str, Any]) -> bool:
    """Whether that containerd is not the engine's own, which has its files in the engine's folder."""
    address = (found.get("Containerd") or {}).get("Address", "")
    return "/docker/" not in address if address else os.path.exists(SOCKET)


def _containerd_root() -> str:
    """Where a containerd of its own keeps its files, as its config says."""
    said: List[Any] = []
    with contextlib.suppress(OSError), open(CONFIG, encoding="utf-8", errors="replace") as file:
        said = re.findall(r"""^\s*root\s*=\s*["'](/[^"']*)["']""", file.read(1 << 20), re.MULTILINE)
    return said[0] if said else DEFAULT


def trouble(engine: Engine) -> str:
    """Why nothing could be started, usually nothing; and nothing where that cannot be seen."""
    try:
        found = [(root, os.statvfs(root)) for root in roots(engine)]
    except (EngineError, OSError, ValueError):
        return ""
    for root, room in found:
        own = f"docker's own disk ({named(root)})"
        if room.f_flag & os.ST_RDONLY:
            return f"{own} is read-only"
        if room.f_bfree * room.f_frsize < LEAST:  # root's reserve is docker's, too
            return f"{own} is full"
        if room.f_files and not room.f_ffree:
            return f"{own} is out of inodes"
    return ""
