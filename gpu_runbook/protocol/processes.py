"""Runs of a batch service that are processes of the server itself, in no container."""

from __future__ import annotations

from typing import Tuple

from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.forms import Count, Path, Time
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class ProcessMarks:
    """What such a run is recognised by."""

    command: str  # the pattern of its whole command line, as `common.shell_pattern` has it
    user: str = ""  # whose it is, a name or a number; empty for anybody's
    folder: Path = ""  # it works there or below; empty for anywhere


@dataclass(frozen=True)
class ProcessRun:
    """One run, the processes that it has started among it."""

    pid: Count  # of the one that started the others
    command: str  # the names of its program and its script; no argument, which may be a secret
    user: str  # whose it is: a name, or a number that has none
    started_at: Time  # by the server's clock

    @property
    def name(self) -> str:
        """What people call it."""
        return f"process {self.pid}" + (f" ({quoted(self.command)})" if self.command else "")


@dataclass(frozen=True)
class ProcessRuns:
    """What was seen of a service. `unseen`: why there may be more, usually nothing."""

    runs: Tuple[ProcessRun, ...] = ()
    unseen: str = ""
