"""Whether docker's own disk lets it start a container: asked before one is stopped that is to run again."""

from __future__ import annotations

import os

from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.server.docker.engine import Engine, EngineError

LEAST = 1 << 16  # bytes: what a start writes down

REMEDY = "fab prune makes room; a disk with faults is made read-only: see dmesg and the mount on the server"


def trouble(engine: Engine) -> str:
    """Why nothing could be started, usually nothing; and nothing where that cannot be seen."""
    try:
        root = engine.get("/info", shape={"DockerRootDir": str})["DockerRootDir"]
        found = os.statvfs(root)
    except (EngineError, OSError, ValueError):
        return ""
    own = f"docker's own disk ({named(root)})"
    if found.f_flag & os.ST_RDONLY:
        return f"{own} is read-only"
    if found.f_bfree * found.f_frsize < LEAST:  # root's reserve is docker's, too
        return f"{own} is full"
    return f"{own} is out of inodes" if found.f_files and not found.f_ffree else ""
