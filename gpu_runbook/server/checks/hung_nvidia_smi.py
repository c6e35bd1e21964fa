"""Finds an nvidia-smi that never ended: one that hangs in the kernel cannot be killed, and another hangs beside it."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Optional, Tuple

from gpu_runbook.common import command
from gpu_runbook.server.system.processes import named, text

SECONDS = 7.0  # nvidia-smi loads the driver's state on a server without persistence mode: that takes seconds
MOMENT = 0.5  # seconds
OURS = ("--query-gpu=index,uuid,name,driver_version", "--query-compute-apps=pid,gpu_uuid,")  # how our questions begin
WHOLE = ("nvidia-smi\0-L\0", "nvidia-smi\0-q\0")  # and those that are nothing else: each ends by itself, whoever asks


def stuck(processes: str = "/proc") -> Optional[int]:
    """The process id of an nvidia-smi that hangs in the kernel, or was asked by an earlier check and never ended.

    Another one would only hang beside it. A person's own `nvidia-smi --loop` is none of these, nor is what another user
    or a container calls so: who could start that could end every check of the GPUs.
    """
    for pid in named(("nvidia-smi",), os.getuid(), processes):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if _hangs(processes, pid):
                return pid
    return None


def _hangs(processes: str, pid: int) -> bool:
    state, started = _state_and_start(processes, pid)
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
    if age < SECONDS + 2 * command.GRACE or state == "Z":
        return False
    if state == "D":  # a healthy one is there for moments too; what it was asked is not read, as that may hang as well
        time.sleep(MOMENT)
        return _state_and_start(processes, pid) == (state, started)
    asked = text(processes, pid, "cmdline")
    return asked.endswith(WHOLE) or any(query in asked for query in OURS)


def _state_and_start(processes: str, pid: int) -> Tuple[str, int]:
    """A process's state as one letter, and when it started, in clock ticks since the boot."""
    fields = text(processes, pid, "stat").rpartition(")")[2].split()
    return fields[0], int(fields[19])
