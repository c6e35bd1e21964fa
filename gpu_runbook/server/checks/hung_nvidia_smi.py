"""Asks nvidia-smi so that a driver that hangs is left alone, and finds one that an earlier check has left behind.

One that hangs in the kernel cannot be killed, and another only hangs beside it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import Callable, Optional, Sequence, Tuple

from gpu_runbook.common import command
from gpu_runbook.server.system.processes import named, text

SECONDS = 7.0  # nvidia-smi loads the driver's state on a server without persistence mode: that takes seconds
LAST = 12.0  # seconds after the first question in which another one is begun
MOMENT = 0.5  # seconds
# Our questions, as the words of a process: each ends by itself, whoever asks, as one with --loop does not.
ONCE = re.compile("nvidia-smi\0(-L|-q|--query-[^\0]*\0--format=csv,noheader,nounits)\0$")


Run = Callable[[Sequence[str], float], command.Ended]


class Stopped(Exception):
    """The driver hangs, or there is no time for another question."""


class Asking:
    """One question after the other: none after one that hangs, and none that would begin after LAST seconds."""

    def __init__(self, run: Optional[Run] = None, hangs: Optional[command.Ended] = None) -> None:
        self._run = run
        self._until: Optional[float] = None
        self.hangs = hangs

    def __call__(self, argv: Sequence[str]) -> command.Ended:
        """Raises Stopped."""
        now = time.monotonic()
        self._until = self._until or now + LAST
        if self.hangs or now > self._until:
            raise Stopped
        ended = (self._run or command.run)(argv, SECONDS)
        if ended.status is None:
            self.hangs = ended
            raise Stopped
        return ended


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
    return bool(ONCE.search(text(processes, pid, "cmdline")))


def _state_and_start(processes: str, pid: int) -> Tuple[str, int]:
    """A process's state as one letter, and when it started, in clock ticks since the boot."""
    fields = text(processes, pid, "stat").rpartition(")")[2].split()
    return fields[0], int(fields[19])
