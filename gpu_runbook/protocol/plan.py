"""What a deploy or a rollback is about, as frozen values: specs, releases and plans.

Every value here travels as JSON, strictly: see `protocol.codec`.
"""

from __future__ import annotations

import hashlib
import json
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
    Option,
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
from gpu_runbook.protocol.logs import LogRules
from gpu_runbook.protocol.values import dataclass, field

SCHEMA = 1
NO_CHECK = "none"
CDI = "nvidia.com/"  # how the name of a CDI device of NVIDIA's begins
PROVEN, UNPROVEN, FAILED = "proven", "unproven", "failed"  # what a watch says of a release


@dataclass(frozen=True)
class HealthCheck:
    """How docker asks a container whether it is well. Times in seconds."""

    command: str  # a line for its shell; `none` for no check at all, not even the image's own
    interval: Grace = 30  # from one to the next
    timeout: Grace = 30  # how long one may take
    retries: Count = 3  # so many in a row have to fail
    start_period: Grace = 0  # at the beginning, in which a failure does not count


@dataclass(frozen=True)
class Spec:
    """What a container is created from. Holds no secret: it is recorded, printed and hashed."""

    image: Image  # repository@sha256:… or a local image id
    command: Tuple[str, ...] = ()  # its arguments, empty for the image's own
    user: str = ""  # uid:gid or a name, empty for the image's own
    environment: Dict[EnvName, str] = field(default_factory=dict)  # variables of the container; no secret is among them
    mounts: Tuple[str, ...] = ()  # source:target[:ro,z,Z], directories, or volumes by name
    network: str = ""  # as docker's --network, empty for its default
    gpus: str = ""  # as docker's --gpus: "all", "2", "device=0,1"; or CDI devices: "nvidia.com/gpu=0,nvidia.com/gpu=1"
    memory: str = ""  # as docker's --memory: "8g"; empty for no limit
    restart: Restart = "unless-stopped"  # the restart policy
    stop_signal: str = ""  # the signal that stops it, empty for the image's own
    stop_grace: Grace = 30  # seconds between the stop signal and SIGKILL
    log_size: str = "10m"  # at which size its log is rotated
    log_files: Count = 3  # how many files its log has
    labels: Dict[str, str] = field(default_factory=dict)  # labels beside our own
    healthcheck: Optional[HealthCheck] = None  # instead of the image's own
    options: Tuple[Option, ...] = ()  # what else docker is given: "--shm-size=8g"


@dataclass(frozen=True)
class ConfigFile:
    """Where a rendered config.yaml goes. Its text is a secret and travels beside the plan, never in it."""

    path: Path  # where it goes on the server
    owner: Owner = ""  # uid:gid, empty for the login user
    mode: Mode = 0o600  # its mode, as a number
    model_key: str = ""  # the key that names the model, keys joined by dots; empty when it names none


@dataclass(frozen=True)
class Watch:
    """How a new release proves itself, in seconds.

    `failure_text` is searched for in its log, literally; where `log` has a level, in the lines that say none.
    """

    settle: Span = 15.0  # seconds that it has to run without a restart
    window: Span = 90.0  # seconds that it may take to prove itself
    failure_text: Tuple[str, ...] = ()  # what its log is searched for, literally
    log: LogRules = LogRules()  # where it logs beside docker's log, and from which level on a line is a failure


@dataclass(frozen=True)
class Occupant:
    """The container that holds a service's place: it has its name, or works and is named for it by us."""

    container: ContainerId  # its id
    name: ContainerName  # its name
    image: ImageId  # the id of its image
    running: bool  # whether it runs
    started_at: Time  # as the engine writes it
    restart: Restart  # its restart policy
    ours: bool  # whether this tool made it
    release: ReleaseId = ""  # the release that made it, empty for none of ours
    spec: SpecHash = ""  # the hash of what it was created from
    took_over: Optional[Offset] = None  # the next offset to read when its release was put there
    batch: str = ""  # how it is known for a run of a batch service; empty for none


@dataclass(frozen=True)
class ConsumerStep:
    """What a run does to one consumer. `change` is none, place (the place is empty), replace, restart or stop.

    `container` names one that exists and is started again; empty: one is created from `spec`. `config_from` names the
    release whose kept config is put back; empty: the text travels beside the plan.
    """

    service: ServiceName  # its name in `hosts.yaml`
    change: Change  # `none`, `place`, `replace`, `restart` or `stop`
    tag: str  # the tag of its image
    watch: Watch  # how it is watched afterwards
    spec: Optional[Spec] = None  # what its container is created from; null where one is started again
    config: Optional[ConfigFile] = None  # where its config goes; null without one
    config_from: ReleaseId = ""  # the release whose kept config is put back; empty: a new one is rendered
    offset: Optional[OffsetFile] = None  # where it keeps its position; null where that is not known
    stream: Optional[StreamAddress] = None  # what it reads; null where that is not known
    old: Optional[Occupant] = None  # the container that holds its place now
    container: ContainerId = ""  # one that exists and is started again; empty: one is created from `spec`
    restart: Restart = "unless-stopped"  # the policy once it is in its place
    stop_grace: Grace = 30  # seconds that the old one has to stop
    reason: str = ""  # what differs, in words
    replay: bool = False  # put the offset back to where `old` took over, so that it is all read again
    given: bool = False  # whether the tag came from --tag, and hosts.yaml had another


@dataclass(frozen=True)
class BatchMarks:
    """What the runs of a batch service are recognised by, and what the next one is started from."""

    service: ServiceName  # its name in `hosts.yaml`
    container: ContainerName  # the name of a run
    label: str = ""  # key=value, its own or its image's
    image: Reference = ""  # the repository that runs are made from, empty where consumers are made from it as well
    local_tag: Reference = ""  # repository:name that the next run is started from


@dataclass(frozen=True)
class BatchStep:
    """What a run does to one batch service: move the local tag its next run is started from, nothing else."""

    service: ServiceName  # its name in `hosts.yaml`
    change: Change  # `none` or `tag`
    tag: str  # the tag of its image
    image: Image  # repository@sha256:… or a local image id
    local_tag: Reference  # repository:name that the next run is started from
    given: bool = False  # whether the tag came from --tag, and hosts.yaml had another


@dataclass(frozen=True)
class Plan:
    """Everything a run will do to one server."""

    id: RunId  # the run's id
    action: Action  # `deploy`, `rollback`, `restart` or `stop`
    server: str  # its name in `hosts.yaml`
    root: Path  # the root of the data on the server
    release: MaybeRelease  # the release that is in force afterwards
    who: str  # who asked for it
    laptop: str  # from which computer
    version: str  # the version of this tool
    consumers: Tuple[ConsumerStep, ...] = ()  # what is done to each consumer
    batches: Tuple[BatchStep, ...] = ()  # what is done to each batch service
    leaves: ReleaseId = ""  # the release in force before, empty for none
    docker_host: str = ""  # as DOCKER_HOST, empty for docker's own
    state: Path = ""  # where the state lies, as hosts.yaml says it; empty for the home of the login user
    undo_on_failure: bool = True  # whether a release that fails its watch is rolled back
    keep_releases: Count = 5  # how many releases stay
    skipped: Dict[str, str] = field(default_factory=dict)  # row of the preflight -> why it was gone past
    left_alone: Tuple[BatchMarks, ...] = ()  # of whose runs no container is touched, whatever else it looks like
    schema: int = SCHEMA  # the number of the plan's own form, which is none of this contract's


def owner(config: ConfigFile) -> Optional[Tuple[int, int]]:
    """(uid, gid) of `1000:1000`, None for the login user."""
    if not config.owner:
        return None
    uid, _, gid = config.owner.partition(":")
    return int(uid), int(gid or uid)


def spec_hash(spec: Spec) -> str:
    """Twelve hex digits that differ when a container created from the spec would differ."""
    said = encode(spec)
    for key in ("healthcheck", "options"):  # an older version's spec had none, and is the same
        if not said[key]:
            del said[key]
    text = json.dumps(said, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
