"""What each verb is asked, as frozen values: the laptop makes one, and the server decodes it once when it arrives.

A verb is a module of `server.verbs`; what `health` is asked is in `protocol.health`, and `ping` is asked nothing. What
holds secrets keeps them out of its repr.
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.env_file import EnvFile
from gpu_runbook.protocol.forms import (
    Annotated,
    ContainerId,
    Count,
    EnvName,
    Path,
    Pinned,
    RunId,
    ServiceName,
    maybe,
    text,
)
from gpu_runbook.protocol.health import DiskLimits
from gpu_runbook.protocol.logs import FilePosition, LogMark, LogRules
from gpu_runbook.protocol.models import CONFIG, DATE, InForce, ModelFile, Way
from gpu_runbook.protocol.plan import BatchMarks, ConfigFile, Plan
from gpu_runbook.protocol.schedule import Settings
from gpu_runbook.protocol.setup import Directory
from gpu_runbook.protocol.snapshot import MaybeRun, Wanted
from gpu_runbook.protocol.values import dataclass, field

MaybePath = Annotated[str, maybe(Path)]
MovedFrom = Annotated[str, text("what is moved", "root|other|forget")]


@dataclass(frozen=True)
class StateRequest:
    """Where a server keeps its data, and where what is remembered of it; empty for below the login user's home.

    `state_make` and `schedule.remove` are asked no more than that.
    """

    root: Path
    state: MaybePath


@dataclass(frozen=True)
class EngineRequest(StateRequest):
    """The same, with the docker engine's address; empty for the usual one."""

    docker_host: str


@dataclass(frozen=True)
class Secrets:
    """What travels beside a plan: texts and passwords by service, values by variable; spellings of secrets to hide."""

    configs: Dict[ServiceName, str] = field(default_factory=dict, repr=False)
    passwords: Dict[ServiceName, str] = field(default_factory=dict, repr=False)  # of the streams' users
    variables: Dict[EnvName, str] = field(default_factory=dict, repr=False)
    hidden: Tuple[str, ...] = field(default=(), repr=False)  # longest first


@dataclass(frozen=True)
class EngineLogin:
    """Who pulls images, as the docker engine takes it."""

    username: str
    password: str = field(repr=False)
    serveraddress: str


@dataclass(frozen=True)
class RunRequest:
    """run, restart."""

    plan: Plan
    secrets: Secrets


@dataclass(frozen=True)
class OfRunRequest(StateRequest):
    """follow, cancel."""

    run: MaybeRun  # empty for the newest


@dataclass(frozen=True)
class RecoverRequest(EngineRequest):
    """recover. `batches`: what the runs of every batch service are recognised by."""

    batches: Tuple[BatchMarks, ...]
    who: str


@dataclass(frozen=True)
class CloseRequest(RecoverRequest):
    """close. `deploys`: a deploy is to follow, for which the engine has to say that one consumer runs at most."""

    run: RunId
    reason: str
    deploys: bool


@dataclass(frozen=True)
class Checklist:
    """What only a deploy wants to know of the ground it stands on.

    `gpus`: of each service that wants any, as a Spec has it.
    """

    tree: Tuple[Directory, ...] = ()
    env_files: Tuple[EnvFile, ...] = ()
    gpus: Tuple[str, ...] = ()


@dataclass(frozen=True)
class LookRequest(EngineRequest):
    """What a snapshot and a status have in common. `batches`: as above, whether they are among the services or not.

    `variables`: values of .env, which come back as keyed hashes.
    """

    gpus: Count
    disk: DiskLimits
    services: Tuple[Wanted, ...]
    batches: Tuple[BatchMarks, ...]
    variables: Dict[EnvName, str] = field(repr=False)


@dataclass(frozen=True)
class SnapshotRequest(LookRequest):
    """snapshot. Without `checklist` only that is asked without which nothing can be carried out."""

    login: Optional[EngineLogin]
    checklist: Optional[Checklist]


@dataclass(frozen=True)
class StatusRequest(LookRequest):
    """status. `hidden`: spellings of secrets, which no line of a log shows."""

    hidden: Tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class TrainingRequest(EngineRequest):
    """training_command. `service`: a batch service; `gpus`: what it wants of them, as a Spec has it, empty for none."""

    service: Wanted
    gpus: str = ""


@dataclass(frozen=True)
class ImagesRequest:
    """origin, pull. `images`: repository@digest."""

    docker_host: str
    images: Tuple[Pinned, ...]
    login: Optional[EngineLogin]


@dataclass(frozen=True)
class SetupRequest(EngineRequest):
    """setup. `tree`: those above before those in them. `wanted_gpus`: as `Checklist.gpus`."""

    gpus: Count
    wanted_gpus: Tuple[str, ...]
    tree: Tuple[Directory, ...]
    login: Optional[EngineLogin]
    dry_run: bool


@dataclass(frozen=True)
class PruneRequest(EngineRequest):
    """prune. `agreed`: kind and id of what is to be removed; None where it is only listed. `keep`: releases."""

    keep: Count
    batches: Tuple[BatchMarks, ...]
    agreed: Optional[Tuple[Tuple[str, ...], ...]] = None
    who: str = ""
    laptop: str = ""


@dataclass(frozen=True)
class PauseRequest(EngineRequest):
    """pause. `seconds` from now on; 0 ends it."""

    who: str
    laptop: str
    seconds: Count
    reason: str


@dataclass(frozen=True)
class EnvRequest(EngineRequest):
    """env. `texts`: by service the whole file, to write those that differ; without them they are only compared."""

    files: Tuple[EnvFile, ...]
    texts: Dict[ServiceName, str] = field(default_factory=dict, repr=False)
    who: str = ""
    laptop: str = ""


@dataclass(frozen=True)
class EnvSourceRequest:
    """env_source. `path`: of the file on the server that its variables come from."""

    path: Path


@dataclass(frozen=True)
class ModelsRequest(StateRequest):
    """models. `files`: where it is in each directory of `folder`, the first that is there. `configs`: by service, those
    that name a model. `name`: what those directories are called. `place`: that of the copy or link which is in force.

    `verify`, what is read as a whole: the name of a directory, `previous` for the choice before the one in force,
    `all`, or nothing.
    """

    folder: Path
    files: Tuple[str, ...]
    configs: Dict[ServiceName, ConfigFile]
    verify: str
    name: str = DATE
    way: Way = CONFIG
    place: MaybePath = ""
    who: str = ""
    laptop: str = ""


@dataclass(frozen=True)
class ModelUseRequest(EngineRequest):
    """model_use. `model` was read as a whole; `was`: the path in force then. `back`: it is the choice before.

    `in_force`: of a copy or a link, how that was then.
    """

    folder: Path
    configs: Dict[ServiceName, ConfigFile]
    model: ModelFile
    back: bool
    was: str
    who: str
    laptop: str
    force: bool
    dry_run: bool
    way: Way = CONFIG
    in_force: Optional[InForce] = None


@dataclass(frozen=True)
class HistoryRequest(StateRequest):
    """history. The newest `limit` runs; or `show`, one of them with its journal, empty for the newest."""

    limit: Count = 0
    show: Optional[MaybeRun] = None


@dataclass(frozen=True)
class LogOf:
    """A service whose log is wanted; `marks` of a batch service, None for a consumer. `log`: where else it logs."""

    service: ServiceName
    marks: Optional[BatchMarks] = None
    log: LogRules = LogRules()


@dataclass(frozen=True)
class LogsRequest(EngineRequest):
    """logs. `tail`: lines of each, 0 for all; `since`: so many seconds back, 0 for all.

    `after` takes up a following whose connection was lost: by container what was heard of it; None for a first one.
    `files`: by service how far its log files were heard then.
    """

    services: Tuple[LogOf, ...]
    tail: Count
    since: Count
    follow: bool
    after: Optional[Dict[ContainerId, LogMark]] = None
    files: Dict[ServiceName, Tuple[FilePosition, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class InstallRequest:
    """schedule.install. `sources`: of each module by name, as JSON, compressed, in base64; `program`: their hash."""

    settings: Settings = field(repr=False)
    sources: str = field(repr=False)
    program: str
    version: str
    who: str
    laptop: str


@dataclass(frozen=True)
class StateMoveRequest(EngineRequest):
    """state_move. `what`: root (out of the root), other (out of the folder that the containers name), or forget.

    `install`: the check, to be laid down anew; None where the laptop leaves none.
    """

    who: str
    laptop: str
    what: MovedFrom
    install: Optional[InstallRequest]


@dataclass(frozen=True)
class ScheduleShowRequest(StateRequest):
    """schedule.show. `key`: with it the settings are hashed, for the laptop to compare; empty where it is not."""

    key: str


@dataclass(frozen=True)
class ScheduleHistoryRequest(StateRequest):
    """schedule.history. How many seconds back, and how many of the newest runs are wanted with it."""

    seconds: Count
    runs: Count


@dataclass(frozen=True)
class TestAlertRequest:
    """schedule.test."""

    settings: Settings = field(repr=False)
    who: str
