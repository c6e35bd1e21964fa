"""What a server says of the next training run."""

from __future__ import annotations

import re
from typing import Optional, Tuple

from gpu_runbook.protocol.plan import Occupant
from gpu_runbook.protocol.snapshot import Snapshot
from gpu_runbook.protocol.values import dataclass

LAST = "last.pt"  # what the file is called that a run goes on from, where hosts.yaml leaves it to us to find one


def is_plain(path: str) -> bool:
    """Whether the path of a checkpoint, below their folder, is read in a shell as it stands."""
    return bool(re.fullmatch(r"[\w@+][\w.@+-]*(/[\w@+][\w.@+-]*)*", path, re.ASCII))


@dataclass(frozen=True)
class NextRun:
    """What a server says of the next run."""

    look: Snapshot
    command: Tuple[str, ...]  # the image's own
    checkpoint: Optional[Checkpoint] = None  # where hosts.yaml names a folder of them
    named: Optional[Occupant] = None  # the container that has the run's name, running or not


@dataclass(frozen=True)
class Checkpoint:
    """The newest checkpoint of a batch service: its path in their folder, empty where there is none; seconds.

    `trouble` is why they cannot be seen, usually nothing.
    """

    name: str = ""
    age: float = 0.0
    trouble: str = ""
    leads: str = ""  # where their folder leads that is a link, as `guarded.leads` says it
    passed: str = ""  # which newer one is not whole and why, usually nothing; empty where nobody has looked
