"""What was done on a server, run by run, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.forms import Count, MaybeImage, MaybeTime, RunId, RunPhase, ServiceName


@dataclass(frozen=True)
class ServiceChange:
    """One service of a run: tag and image (repository@digest) before and after, empty where there was none."""

    service: ServiceName
    tag_before: str
    image_before: MaybeImage
    tag: str
    image: MaybeImage


@dataclass(frozen=True)
class PastRun:
    """One run. `seconds` it took, and `outage` its longest swap; None for what its journal does not tell.

    `damaged` counts the lines of the journal that cannot be read.
    """

    run: RunId
    state: RunPhase
    action: str
    who: str
    laptop: str
    at: MaybeTime
    outcome: str
    sentence: str
    seconds: Optional[float] = None
    outage: Optional[float] = None
    changes: Tuple[ServiceChange, ...] = ()
    skipped: Dict[str, str] = field(default_factory=dict)  # row of the preflight -> why it was gone past
    damaged: Count = 0
