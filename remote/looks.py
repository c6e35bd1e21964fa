"""What a laptop asks of a server before it decides, and what it finds there, as frozen values that travel as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from remote.checks import say
from remote.foreign_text import quoted
from remote.plans import BatchMarks, ConfigFile, MeantStop, Occupant, Pause, Record, RunState
from remote.words import Check, OffsetFile, StreamAddress


@dataclass(frozen=True)
class BatchState:
    """What is known of a batch service. `runs` are its running containers, each with the image it was started from."""

    next_image: str = ""  # image id behind the local tag
    runs: Tuple[Occupant, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """The newest checkpoint of a batch service: its path in their folder, empty where there is none; seconds.

    `trouble` is why they cannot be seen, usually nothing.
    """

    name: str = ""
    age: float = 0.0
    trouble: str = ""
    leads: str = ""  # where their folder leads that is a link, as `guarded.leads` says it

    def told(self, folder: str) -> str:
        """In words: the training has chosen the name."""
        if self.trouble:
            return f"its checkpoints in {folder} cannot be seen: {quoted(self.trouble)}"
        if not self.name:
            return f"no checkpoint in {folder}{self.leads}"
        where = f" in {folder}{self.leads}" if self.leads else ""
        return f"newest checkpoint {quoted(self.name)}, {say.span(self.age)} old{where}"


@dataclass(frozen=True)
class Wanted:
    """What a laptop wants to know of one service. `text` is the rendered config: the value stays out of `repr`."""

    service: str
    kind: str  # consumer or batch
    image: str = ""  # repository:tag to ask the registry for, empty to leave it alone
    config: Optional[ConfigFile] = None
    text: str = field(default="", repr=False)
    offset: Optional[OffsetFile] = None
    stream: Optional[StreamAddress] = None  # for a status: where messages may wait
    password: str = field(default="", repr=False)  # of the stream's user
    failure_text: Tuple[str, ...] = ()  # for a status: what its log is searched for, literally
    marks: Optional[BatchMarks] = None  # batch
    checkpoints: str = ""  # batch: the folder where it saves its state


@dataclass(frozen=True)
class Look:
    """One read-only view of a server: everything a task wants to know before it decides."""

    hostname: str
    at: str  # RFC 3339, the server's clock
    user: str
    rows: Tuple[Check, ...] = ()
    record: Record = field(default_factory=Record)
    run: Optional[RunState] = None  # the last one
    occupants: Dict[str, Tuple[Occupant, ...]] = field(default_factory=dict)
    containers: Tuple[str, ...] = ()  # ids of all containers that exist
    digests: Dict[str, str] = field(default_factory=dict)  # service -> repository@sha256:… in the registry
    images: Dict[str, str] = field(default_factory=dict)  # image of a release -> local image id, empty when it is gone
    revisions: Dict[str, str] = field(default_factory=dict)  # of digests that are here: the commit, empty without one
    same_config: Dict[str, bool] = field(default_factory=dict)  # whether the wanted text is in place already
    configs: Dict[str, str] = field(default_factory=dict)  # keyed hash of what is in place; nothing where nothing is
    model: str = ""  # the path of the model that was chosen, empty when none was
    batches: Dict[str, BatchState] = field(default_factory=dict)
    variables: Dict[str, str] = field(default_factory=dict)  # .env name -> keyed hash of the laptop's value
    pause: Optional[Pause] = None  # the one in force
    stopped: Dict[str, MeantStop] = field(default_factory=dict)  # service -> as long as nobody has started it again
