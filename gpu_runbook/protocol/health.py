"""What a laptop asks of a server's health, as frozen values."""

from __future__ import annotations

from typing import Optional, Tuple

from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.forms import ContainerName, Count, Path, ServiceName
from gpu_runbook.protocol.logs import LogRules
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.protocol.values import dataclass, field


@dataclass(frozen=True)
class CheckedConsumer:
    """A consumer to ask about. The password is the monitoring user's; it is in no answer.

    Its log is asked about where `log` names files or a level; `failure_text` is as in a Watch.
    """

    service: ServiceName
    container: ContainerName
    offset: Optional[OffsetFile] = None
    stream: Optional[StreamAddress] = None
    password: str = field(default="", repr=False)
    failure_text: Tuple[str, ...] = ()
    log: LogRules = LogRules()


@dataclass(frozen=True)
class DiskLimits:
    """Paths to look at, and the percentages beyond which they alarm."""

    paths: Tuple[str, ...]
    warning: float
    critical: float


@dataclass(frozen=True)
class Expected:
    """How many GPUs the server must have, and from which degrees Celsius on they are too hot; None: any will do."""

    count: Count
    warning: Optional[float] = None
    critical: Optional[float] = None


@dataclass(frozen=True)
class Request:
    """What the laptop wants to know. So many seconds later a young container is looked at again (`look_again`), and so
    many an offset may take to move while messages wait (`await_move`).

    `batches`: services whose runs may be in no container, and are told. `root` and `state` lead to where it is written
    down what was stopped on purpose. `schedule`: the key with which the settings of the scheduled check are hashed,
    empty where they are not compared; without it nothing is asked about that check.
    """

    disk: DiskLimits
    gpus: Expected
    docker_host: str = ""
    consumers: Tuple[CheckedConsumer, ...] = ()
    look_again: float = 3.0
    await_move: float = 3.0
    root: Path = ""
    state: Path = ""
    schedule: Optional[str] = None
    batches: Tuple[Wanted, ...] = ()
