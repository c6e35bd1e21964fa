"""What nothing needs any more, and what was removed of it."""

from __future__ import annotations

from typing import Optional, Tuple

from gpu_runbook.protocol.forms import Annotated, Count, Place, RunId, text
from gpu_runbook.protocol.values import dataclass

FOLDER, CONTAINER, IMAGE, JOURNAL, FILE, RELEASE = "folder", "container", "image", "journal", "file", "release"
ThingKind = Annotated[str, text("a kind of thing", "folder|container|image|journal|file|release")]


@dataclass(frozen=True)
class Thing:
    """One thing to remove. `id`: a release, a container, an image by digest, a run or a path. `size` in bytes; layers
    that an image shares with others count too, and stay."""

    kind: ThingKind
    id: str
    name: str
    size: Count
    why: str


@dataclass(frozen=True)
class DiskLeft:
    """How full the disk is on which docker has its images."""

    path: Place  # the folder of docker's images
    percent: Count  # as df has it
    available: Count  # bytes


@dataclass(frozen=True)
class Pruned:
    """What was removed (kind and id of each), the bytes that became free, and a sentence for each thing that stays."""

    run: RunId = ""  # nothing where there was nothing to remove any more, or the run could not be written down
    removed: Tuple[Tuple[str, ...], ...] = ()
    freed: Count = 0
    notes: Tuple[str, ...] = ()
    disk: Optional[DiskLeft] = None  # afterwards; None where that could not be seen
