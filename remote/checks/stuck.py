"""Finds an nvidia-smi that never ended: one that hangs in the kernel cannot be killed, and another hangs beside it."""

from __future__ import annotations

import os
import time
from typing import Optional, Tuple

from remote import command

SECONDS = 7.0  # nvidia-smi loads the driver's state on a server without persistence mode: that takes seconds
MOMENT = 0.5  # seconds
OURS = ("--query-gpu=index,uuid,name,driver_version", "--query-compute-apps=pid,gpu_uuid,")  # how our questions begin


def stuck(processes: str = "/proc") -> Optional[int]:
    """The process id of an nvidia-smi that hangs in the kernel, or was asked by an earlier check and never ended.

    Another one would only hang beside it. A person's own `nvidia-smi --loop` is none of these.
    """
    for pid in filter(str.isdigit, os.listdir(processes)):
        try:
            if _text(processes, pid, "comm").strip() == "nvidia-smi" and _hangs(processes, pid):
                return int(pid)
        except OSError:
            continue  # it has ended meanwhile
    return None


def _hangs(processes: str, pid: str) -> bool:
    state, age = _state_and_age(processes, pid)
    if age < SECONDS + 2 * command.GRACE or state == "Z":
        return False
    if state == "D":  # a healthy one is there for moments too; what it was asked is not read, as that may hang as well
        time.sleep(MOMENT)
        return _state_and_age(processes, pid)[0] == "D"
    return any(query in _text(processes, pid, "cmdline") for query in OURS)


def _state_and_age(processes: str, pid: str) -> Tuple[str, float]:
    """A process's state as one letter, and the seconds since its start."""
    fields = _text(processes, pid, "stat").rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0], time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _text(*path: str) -> str:
    with open(os.path.join(*path), encoding="utf-8", errors="replace") as file:
        return file.read()
