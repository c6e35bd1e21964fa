"""What a deploy or a rollback is about, as frozen values: specs, releases and plans.

Every value here travels as JSON, strictly: see `protocol.codec`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.forms import (
    Action,
    Change,
    ContainerId,
    ContainerName,
    Count,
    EnvName,
    Grace,
    Image,
    ImageId,
    MaybeRelease,
    Mode,
    Offset,
    Owner,
    Path,
    Reference,
    ReleaseId,
    Restart,
    RunId,
    ServiceName,
    Span,
    SpecHash,
    Time,
)

SCHEMA = 1
PROVEN, UNPROVEN, FAILED = "proven", "unproven", "failed"  # what a watch says of a release


@dataclass(frozen=True)
class Spec:
    """What a container is created from. Holds no secret: it is recorded, printed and hashed."""

    image: Image  # repository@sha256:… or a local image id
    command: Tuple[str, ...] = ()
    user: str = ""
    environment: Dict[EnvName, str] = field(default_factory=dict)
    mounts: Tuple[str, ...] = ()  # source:target[:ro], directories only
    network: str = ""
    gpus: str = ""  # as docker's --gpus: "all", "2", "device=0,1"; empty for none
    memory: str = ""  # as docker's --memory: "8g"
    restart: Restart = "unless-stopped"
    stop_signal: str = ""
    stop_grace: Grace = 30  # seconds between the stop signal and SIGKILL
    log_size: str = "10m"
    log_files: Count = 3
    labels: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ConfigFile:
    """Where a rendered config.yaml goes. Its text is a secret and travels beside the plan, never in it."""

    path: Path
    owner: Owner = ""  # uid:gid, empty for the login user
    mode: Mode = 0o600
    model_key: str = ""  # the key that names the model, keys joined by dots; empty when it names none


@dataclass(frozen=True)
class Watch:
    """How a new release proves itself, in seconds; `failure_text` is searched for in its log, literally."""

    settle: Span = 15.0
    window: Span = 90.0
    failure_text: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Occupant:
    """The container that holds a service's place: it has its name, or works and is named for it by us."""

    container: ContainerId
    name: ContainerName
    image: ImageId
    running: bool
    started_at: Time  # as the engine writes it
    restart: Restart
    ours: bool  # as `server.docker.ours` judges
    release: ReleaseId = ""
    spec: SpecHash = ""  # the spec_hash it was created with
    took_over: Optional[Offset] = None  # the next offset to read when its release was put there
    batch: str = ""  # how it is known for a run of a batch service; empty for none


@dataclass(frozen=True)
class ConsumerStep:
    """What a run does to one consumer. `change` is none, place (the place is empty), replace, restart or stop.

    `container` names one that exists and is started again; empty: one is created from `spec`. `config_from` names the
    release whose kept config is put back; empty: the text travels beside the plan.
    """

    service: ServiceName
    change: Change
    tag: str
    watch: Watch
    spec: Optional[Spec] = None
    config: Optional[ConfigFile] = None
    config_from: ReleaseId = ""
    offset: Optional[OffsetFile] = None
    stream: Optional[StreamAddress] = None
    old: Optional[Occupant] = None
    container: ContainerId = ""
    restart: Restart = "unless-stopped"  # the policy once it is in its place
    stop_grace: Grace = 30  # seconds
    reason: str = ""  # what differs, in words
    replay: bool = False  # put the offset back to where `old` took over, so that it is all read again


@dataclass(frozen=True)
class BatchMarks:
    """What the runs of a batch service are recognised by, and what the next one is started from."""

    service: ServiceName
    container: ContainerName  # the name of a run
    label: str = ""  # key=value
    image: Reference = ""  # the repository that runs are made from, empty where consumers are made from it as well
    local_tag: Reference = ""  # repository:name


@dataclass(frozen=True)
class BatchStep:
    """What a run does to one batch service: move the local tag its next run is started from, nothing else."""

    service: ServiceName
    change: Change  # none or tag
    tag: str
    image: Image  # repository@sha256:… or a local image id
    local_tag: Reference  # repository:name


@dataclass(frozen=True)
class Plan:
    """Everything a run will do to one server."""

    id: RunId
    action: Action
    server: str
    root: Path
    release: MaybeRelease  # the release that is in force afterwards
    who: str
    laptop: str
    version: str
    consumers: Tuple[ConsumerStep, ...] = ()
    batches: Tuple[BatchStep, ...] = ()
    leaves: ReleaseId = ""  # the release in force before, empty for none
    docker_host: str = ""
    state: Path = ""  # where the state lies, as hosts.yaml says it; empty for the home of the login user
    undo_on_failure: bool = True
    keep_releases: Count = 5
    skipped: Dict[str, str] = field(default_factory=dict)  # row of the preflight -> why it was gone past
    left_alone: Tuple[BatchMarks, ...] = ()  # of whose runs no container is touched, whatever else it looks like
    schema: int = SCHEMA


def owner(config: ConfigFile) -> Optional[Tuple[int, int]]:
    """(uid, gid) of `1000:1000`, None for the login user."""
    if not config.owner:
        return None
    uid, _, gid = config.owner.partition(":")
    return int(uid), int(gid or uid)


def spec_hash(spec: Spec) -> str:
    """Twelve hex digits that differ when a container created from the spec would differ."""
    text = json.dumps(encode(spec), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
