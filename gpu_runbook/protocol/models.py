"""Trained models: what is known of each, which was chosen, and what is told of them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.forms import (
    Annotated,
    Count,
    MaybePlace,
    MaybeTime,
    Place,
    RunId,
    ServiceName,
    Time,
    maybe,
    text,
)
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.values import dataclass, field

WHOLE, CHANGED, DAMAGED, WRITING, MISSING, OUTSIDE = "whole", "changed", "damaged", "writing", "missing", "outside"
ModelState = Annotated[str, text("the state of a model", "whole|changed|damaged|writing|missing|outside")]
Sha256 = Annotated[str, text("a sha256", "[0-9a-f]{64}")]
MaybeSha256 = Annotated[str, maybe(Sha256)]
CONFIG, COPY, LINK = "config", "copy", "link"  # how a model is in force
Way = Annotated[str, text("how a model is in force", "config|copy|link")]
DATE = "DATE"  # stands for YYYY-MM-DD in the name of a model's directory


@dataclass(frozen=True)
class ModelFile:
    """What is known of one model. `sha256` is empty as long as nobody has read all of it."""

    date: str  # the name of its directory; empty for one that lies elsewhere
    path: Place  # the file on the server
    state: ModelState  # `whole`, `changed`, `damaged`, `writing`, `missing` or `outside`
    sentence: str  # the same in words
    size: Count = 0  # bytes
    mtime: int = 0  # when it was last changed, in nanoseconds since 1970
    modified: Time = ""  # the same as a time
    sha256: Sha256 = ""  # its checksum, empty as long as nobody has read all of it
    promised: Optional[MaybeSha256] = None  # what a file beside it says, as sha256sum does; empty when it says nothing
    verified: Time = ""  # when these bytes were found to be right, by size and time of the file


def is_dated(name: str, pattern: str = DATE) -> bool:
    """Whether a directory is named for a day, `2026-04-20`, perhaps with something behind it, `2026-04-20-b`.

    `pattern`: what such a name looks like, such as `azaion-DATE`.
    """
    before, _, after = map(re.escape, pattern.partition(DATE))
    match = re.fullmatch(rf"{before}(\d{{4}}-\d{{2}}-\d{{2}})([-_.][\w.-]{{1,60}})?{after}", name, re.ASCII)
    try:
        return bool(match and datetime.strptime(match[1], "%Y-%m-%d"))
    except ValueError:
        return False


@dataclass(frozen=True)
class Choice:
    """One model that was chosen. The oldest may be what the config said before anybody chose: it has no run."""

    path: Place  # the file on the server
    date: str  # the name of its directory, empty for one that lies elsewhere
    run: RunId = ""  # the run that chose it, empty for what was there before the first choice
    who: str = ""  # who chose it
    at: Time = ""  # when, by the server's clock
    left: RunId = ""  # the run that went back from it, empty while it is good
    found: bool = False  # whether nobody chose it here: it was in force by itself


@dataclass(frozen=True)
class PendingChoice:
    """A choice that a run is about to put in place, for whoever finds that it did and was cut off."""

    choice: Choice
    back: bool  # whether it goes back to an earlier one


@dataclass(frozen=True)
class Verified:
    """A file as it was when all of it was read and found to be right."""

    sha256: Sha256
    size: Count
    mtime: int  # nanoseconds since 1970
    at: MaybeTime


@dataclass(frozen=True)
class Choices:
    """The whole of model.json. `path` is the one in force; `choices` has every model once, the newest choice first.

    Where one is in force by a copy or a link, `path` is the place of that, and `source` the model that was seen there.
    """

    path: Place = ""
    choices: Tuple[Choice, ...] = ()
    verified: Dict[Place, Verified] = field(default_factory=dict)  # by path
    source: MaybePlace = ""
    pending: Optional[PendingChoice] = None

    def current(self) -> Optional[Choice]:
        return next((entry for entry in self.choices if entry.path == self.path), None)


ALL, PREVIOUS = "all", "previous"


@dataclass(frozen=True)
class InForce:
    """A copy or a link that is the model in force, and which of the models it is, by its content."""

    place: Place  # the path of the copy or link
    kind: str  # what is there: `file`, `link`, `other` for anything else, empty for nothing
    file: ModelFile  # what is there, or what the link leads to
    model: MaybePlace = ""  # the model with the same bytes; empty for none of them
    date: str = ""  # the name of its directory
    older: Tuple[str, ...] = ()  # names of exported files beside it (ONNX, engines) that are older than it
    exports: Tuple[str, ...] = ()  # names of the others
    was: str = ""  # what was in force when it was seen last, where something else than a run has replaced it


@dataclass(frozen=True)
class Models:
    """The models of a server, oldest first, and what was chosen of them."""

    models: Tuple[ModelFile, ...]
    others: Tuple[str, ...]  # directories whose names are no dates
    choices: Choices
    damaged: str  # what is wrong with the choices, usually nothing
    points: Dict[ServiceName, Optional[MaybePlace]]  # what its config names: empty for no model, None without a key
    target: Optional[ModelFile] = None  # the one that was asked for, read as a whole
    run: Optional[RunState] = None  # the last one
    leads: str = ""  # where the folder's path leads, if not to itself: words to stand behind it
    in_force: Optional[InForce] = None  # where a copy or a link is the model in force


@dataclass(frozen=True)
class Chosen:
    """What a ModelChange tells, and the run in which it was made; nothing when nothing was written."""

    path: Place
    before: Dict[Place, MaybePlace]
    absent: Tuple[Place, ...]
    needed: bool
    run: RunId = ""
