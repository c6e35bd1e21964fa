"""What the server's stand-in for nvidia-smi answers."""

from __future__ import annotations

import json
from typing import Any

from sandbox.machine import run_inside, wait_until
from sandbox.place import Sandbox

STATE = "/var/lib/nvidia-smi.json"
KEYS = frozenset({"gpus", "lost", "exit", "text", "hang", "processes", "refuses", "values", "mig"})
STUCK = "/run/stuck"


def set_gpu(sandbox: Sandbox, **state: Any) -> None:
    """Tell the stand-in how the driver is; what is not named is as on a healthy server with two GPUs.

    gpus: how many there are; lost: indices that vanished; exit, text: fail so; hang: "killable" or "unkillable";
    processes: "auto" (what trains) or a list of {pid, name, memory, gpu}, memory in MiB; refuses: how the fields begin
    that --query-gpu does not know; values: of fields, for every GPU; mig: the profiles that each GPU is cut into.
    """
    if unknown := set(state) - KEYS:
        raise ValueError(f"the stand-in knows no {', '.join(sorted(unknown))}")
    _release(sandbox)
    if state.get("hang") == "unkillable":
        run_inside(sandbox, ["setsid", "--fork", "sh", "-c", f"exec stuck-driver {STUCK} >/dev/null 2>&1"])
        wait_until(lambda: _is_stuck(sandbox), 5, "stuck driver")
    run_inside(sandbox, ["tee", STATE], input=json.dumps(state))


def _is_stuck(sandbox: Sandbox) -> bool:
    return f" {STUCK} " in run_inside(sandbox, ["cat", "/proc/mounts"]).stdout


def _release(sandbox: Sandbox) -> None:
    """Unmounting by force answers every request that waits with an error: whoever hung goes on, and the server ends."""
    if _is_stuck(sandbox):
        run_inside(sandbox, ["umount", "--force", "--lazy", STUCK])
