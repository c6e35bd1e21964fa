"""What a laptop asks of a server before it decides, and what it finds there, as frozen values that travel as JSON."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.forms import (
    Annotated,
    Asked,
    ContainerId,
    Digest,
    EnvName,
    Image,
    ImageId,
    KeyedHash,
    Kind,
    MaybeTime,
    Owner,
    Path,
    Pinned,
    Place,
    RunId,
    ServiceName,
    Time,
    maybe,
    text,
)
from gpu_runbook.protocol.logs import LogRules
from gpu_runbook.protocol.pause import IntendedStop, Pause
from gpu_runbook.protocol.plan import BatchMarks, ConfigFile, Occupant
from gpu_runbook.protocol.processes import ProcessMarks, ProcessRun
from gpu_runbook.protocol.record import Record, RunState
from gpu_runbook.protocol.values import dataclass, field

MaybeRun = Annotated[str, maybe(RunId)]
MaybeImageId = Annotated[str, maybe(ImageId)]
Remark = Annotated[str, maybe(text("a short line", r"[^\0-\x1f\x7f-\x9f]{1,200}"))]


@dataclass(frozen=True)
class ImageIdentity:
    """What tells an image apart that is on a server, or that its registry describes."""

    id: MaybeImageId = ""  # of its config, or of its manifest, as the engine's image store has it
    revision: Remark = ""  # what its label says of the code that it was built from
    layers: Tuple[Digest, ...] = ()  # of their contents, the lowest first
    built: MaybeTime = ""  # when, as it says itself
    platform: Remark = ""  # such as linux/amd64
    manifest: Annotated[str, maybe(Digest)] = ""  # of an image for several platforms, where the registry was asked


@dataclass(frozen=True)
class BatchState:
    """What is known of a batch service."""

    next_image: ImageId = ""  # image id behind the local tag, empty for none
    runs: Tuple[Occupant, ...] = ()  # its running containers, each with the image it was started from
    processes: Tuple[ProcessRun, ...] = ()  # its runs that are no containers
    unseen: str = ""  # why there may be more of those, usually nothing


@dataclass(frozen=True)
class Wanted:
    """What a laptop wants to know of one service. `text` is the rendered config: the value stays out of `repr`."""

    service: ServiceName
    kind: Kind  # consumer or batch
    image: Asked = ""  # repository:tag or repository@digest to ask the registry for, empty to leave it alone
    config: Optional[ConfigFile] = None
    text: str = field(default="", repr=False)
    offset: Optional[OffsetFile] = None
    stream: Optional[StreamAddress] = None  # for a status and a deploy: where messages may wait
    password: str = field(default="", repr=False)  # of the stream's user
    failure_text: Tuple[str, ...] = ()  # for a status: what its log is searched for, literally
    log: LogRules = LogRules()  # for a status: where it logs, and from which level on a line is a failure
    marks: Optional[BatchMarks] = None  # batch
    process: Optional[ProcessMarks] = None  # batch: its runs that are no containers
    checkpoints: Path = ""  # batch: the folder where it saves its state
    checkpoint: str = ""  # batch: the name of the files there that a run goes on from, empty for any
    user: Owner = ""  # consumer: who it runs as, empty where hosts.yaml gives no numbers


@dataclass(frozen=True)
class Snapshot:
    """One read-only view of a server: everything a task wants to know before it decides."""

    hostname: str
    at: Time  # the server's clock
    user: str
    rows: Tuple[Check, ...] = ()
    record: Record = field(default_factory=Record)
    run: Optional[RunState] = None  # the last one, or one that was cut off before it
    newest: MaybeRun = ""  # the greatest id of a run
    occupants: Dict[ServiceName, Tuple[Occupant, ...]] = field(default_factory=dict)
    containers: Tuple[ContainerId, ...] = ()  # ids of all containers that exist
    digests: Dict[ServiceName, Pinned] = field(default_factory=dict)  # in the registry
    images: Dict[Image, MaybeImageId] = field(default_factory=dict)  # of releases; empty for one that is gone
    identities: Dict[Image, ImageIdentity] = field(default_factory=dict)  # of digests that are here, or described
    same_config: Dict[ServiceName, bool] = field(default_factory=dict)  # whether the wanted text is in place already
    configs: Dict[ServiceName, KeyedHash] = field(default_factory=dict)  # of what is in place; nothing where nothing is
    model: Place = ""  # the path of the model that was chosen, empty when none was
    batches: Dict[ServiceName, BatchState] = field(default_factory=dict)
    variables: Dict[EnvName, KeyedHash] = field(default_factory=dict)  # .env name -> keyed hash of the laptop's value
    pause: Optional[Pause] = None  # the one in force
    stopped: Dict[ServiceName, IntendedStop] = field(default_factory=dict)  # as long as nobody has started it again
