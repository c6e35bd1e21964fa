"""What was done on a server, run by run, as frozen values."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.forms import Count, MaybeImage, MaybeTime, RunId, RunPhase, ServiceName
from gpu_runbook.protocol.values import dataclass, field


@dataclass(frozen=True)
class ServiceChange:
    """One service of a run: tag and image (repository@digest) before and after, empty where there was none."""

    service: ServiceName  # its name in `hosts.yaml`
    tag_before: str  # the tag before, empty where there was none
    image_before: MaybeImage  # repository@sha256:… before, empty where there was none
    tag: str  # the tag afterwards
    image: MaybeImage  # repository@sha256:… afterwards


@dataclass(frozen=True)
class PastRun:
    """One run. `seconds` it took, and `outage` its longest swap; None for what its journal does not tell.

    `damaged` counts the lines of the journal that cannot be read.
    """

    run: RunId  # its id
    state: RunPhase  # `under-way`, `ended` or `cut-off`
    action: str  # what it was: `deploy`, `rollback`, `restart`, `stop`, or another change
    who: str  # who began it
    laptop: str  # from which computer
    at: MaybeTime  # when it began, by the server's clock
    outcome: str  # how it ended, such as `done` or `rolled-back`; empty before its end
    sentence: str  # the same in words
    seconds: Optional[float] = None  # how long it took; null where its journal does not tell
    outage: Optional[float] = None  # seconds that a consumer was down, the longest; null where there was none
    changes: Tuple[ServiceChange, ...] = ()  # what it did to each service
    skipped: Dict[str, str] = field(default_factory=dict)  # row of the preflight -> why it was gone past
    damaged: Count = 0  # lines of its journal that cannot be read
