"""What a server remembers of its releases, and how the last run ended, as frozen values."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.forms import (
    ContainerId,
    EnvName,
    ImageId,
    KeyedHash,
    Kind,
    MaybeImage,
    Offset,
    Outcome,
    Reference,
    ReleaseId,
    Restart,
    RunId,
    RunPhase,
    ServiceName,
    Time,
)
from gpu_runbook.protocol.plan import SCHEMA, ConfigFile, Spec
from gpu_runbook.protocol.values import dataclass, field


@dataclass(frozen=True)
class Placed:
    """One service of a release, as it was put on the server. `spec` is absent for an adopted container."""

    kind: Kind  # consumer or batch
    tag: str
    image: MaybeImage
    image_id: ImageId = ""
    container: ContainerId = ""
    spec: Optional[Spec] = None
    config: Optional[ConfigFile] = None
    config_hash: KeyedHash = ""  # keyed with the server's salt
    restart: Restart = ""
    local_tag: Reference = ""
    offset_at_swap: Optional[Offset] = None  # the next offset to read, when this release took over
    given: bool = False  # whether the tag came from --tag, and hosts.yaml had another


@dataclass(frozen=True)
class Release:
    """One entry of the record."""

    id: ReleaseId
    at: Time
    who: str
    outcome: Outcome  # proven, unproven or adopted
    services: Dict[ServiceName, Placed] = field(default_factory=dict)
    variables: Dict[EnvName, KeyedHash] = field(default_factory=dict)  # .env name -> keyed hash
    left: RunId = ""  # the run that rolled back from it, empty while it is good


@dataclass(frozen=True)
class Record:
    """previous-tags.json: the releases that were not failed, newest first, and the one in force."""

    current: ReleaseId = ""
    releases: Tuple[Release, ...] = ()
    schema: int = SCHEMA

    def find(self, release: str) -> Optional[Release]:
        return next((entry for entry in self.releases if entry.id == release), None)


@dataclass(frozen=True)
class RunState:
    """A run as its journal tells it. `state` is under-way, ended or cut-off.

    `sentence`: how it ended; of one that was cut off, why it could not be brought to its end yet, where that was tried.
    """

    id: RunId  # the run's id
    state: RunPhase  # `under-way`, `ended` or `cut-off`
    action: str = ""  # `deploy`, `rollback`, `restart`, `stop`, or another change
    who: str = ""  # who began it
    since: Time = ""  # when it began, by the server's clock
    step: str = ""  # the last thing the journal says
    outcome: str = ""  # how it ended, such as `done` or `rolled-back`; empty before its end
    sentence: str = ""  # how it ended, in words; of one that was cut off, why it has no end yet
