"""What the journal of a run tells: a line is one event and when it was written, and each kind of event is a value.

A line is read for ever. What it has beside the fields of its event is of another version and passed over, and so is a
line of an event that is not known here. Only a Swap and a Plan, which are acted on, are read to the letter.
"""

from __future__ import annotations

import contextlib
from dataclasses import fields
from typing import Any, Dict, Iterable, List, Optional, Tuple, Type, TypeVar

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.forms import (
    ContainerId,
    ContainerName,
    Count,
    EnvName,
    Grace,
    KeyedHash,
    MaybePlace,
    MaybeRelease,
    Offset,
    Path,
    Place,
    RunId,
    ServiceName,
    Span,
    Time,
    kept,
)
from gpu_runbook.protocol.logs import FilePosition
from gpu_runbook.protocol.plan import ConfigFile, Plan
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.protocol.values import dataclass, field


@dataclass(frozen=True)
class Observation:
    """One observation of a watch. Times in seconds of a clock that never jumps; offsets are the next one to read."""

    grows = True
    at: float
    engine: bool = True  # the engine answered
    running: bool = False
    restarting: bool = False
    started_at: str = ""
    restarts: int = 0
    exit_code: Optional[int] = None  # of its last end, where that is known
    failure: str = ""  # a new line of its log that means a failure
    position: Optional[int] = None
    first: int = 0  # the first offset the stream holds, as far as it was asked
    backlog: Optional[int] = None  # messages beyond what may be unsaved; None: not asked or no answer
    broker: str = ""  # why the stream could not be asked
    unread: str = ""  # why its log could not be read
    health: str = ""  # what its HEALTHCHECK says: starting, healthy or unhealthy; empty without one
    sick: str = ""  # that it says unhealthy, and its last words
    lack: str = ""  # whose memory ran out, where it was killed for lack of it


@dataclass(frozen=True)
class JournalEvent:
    """What a line tells. Each kind has the word that stands under `event` in its lines."""

    word = ""
    grows = True  # its lines may have more than it has fields


@dataclass(frozen=True)
class Begin(JournalEvent):
    """The lock is held, and the run begins."""

    word = "begin"
    run: RunId  # its id
    action: str  # `deploy`, `rollback`, `restart`, `stop`, or another change
    who: str  # who began it
    laptop: str  # from which computer
    since: Time  # when it asked for the lock


@dataclass(frozen=True)
class BeginOfPlan(Begin):
    """The same of a deploy, a rollback, a restart and a stop, which have a plan."""

    plan: Plan  # all that it does
    variables: Dict[EnvName, KeyedHash]  # keyed hashes of the variables of `.env`
    pid: Optional[int] = None  # its process; only where a round of the scheduled check began it


@dataclass(frozen=True)
class BeginOfChoice(Begin):
    """The same of `fab models.use` and `fab models.rollback`; and of another's model in force, which was only seen."""

    configs: Dict[ServiceName, ConfigFile]  # the configs that are to name it; or the copy or link, as `model-in-force`
    model: str  # the model


@dataclass(frozen=True)
class BeginOfEnv(Begin):
    """The same of `fab env.push`."""

    files: Tuple[Any, ...]  # the files that it writes, and how each was


@dataclass(frozen=True)
class BeginOfPrune(Begin):
    """The same of `fab prune`."""

    things: Tuple[Any, ...]  # what it removes


@dataclass(frozen=True)
class BeginOfMove(Begin):
    """The same of a move of the state, in the new place."""

    root: Path  # the root whose state it is
    was: Path  # where it was
    left: Tuple[str, ...]  # what is not taken along
    pid: Optional[int] = None  # its process


@dataclass(frozen=True)
class Staging(JournalEvent):
    """Config and container of a service are about to be made ready: all that has to be cleared away, by its name."""

    word = "staging"
    service: ServiceName  # whose they are
    name: ContainerName  # the name of the container until it takes its place
    config: MaybePlace  # the config staged beside its place; empty without one
    offset: MaybePlace = ""  # the offset file staged beside its place; empty where none is put back
    hash: KeyedHash = ""  # the keyed hash of the config


@dataclass(frozen=True)
class Unplaced(JournalEvent):
    """A config has no place for the model that was chosen, and keeps its own."""

    word = "unplaced"
    service: ServiceName  # whose config it is


@dataclass(frozen=True)
class Staged(JournalEvent):
    """Config and container are ready."""

    word = "staged"
    service: ServiceName  # whose they are
    container: ContainerId  # the container


@dataclass(frozen=True)
class Command(JournalEvent):
    """A docker command was run."""

    word = "command"
    argv: Tuple[str, ...]  # its arguments, as they were given
    status: Optional[int]  # its exit status; null where it had none
    seconds: float  # how long it took
    said: Optional[str] = None  # what it said; only of one that failed


@dataclass(frozen=True)
class Swapping(JournalEvent):
    """A swap is about to begin: everything that is needed to undo it."""

    word = "swap"
    swap: Swap  # both containers with their names and restart policies, the config, the offset file


@dataclass(frozen=True)
class Started(JournalEvent):
    """A consumer is at work again, or anew."""

    service: ServiceName  # which
    container: ContainerId  # its container
    offset: Optional[Offset] = None  # the next offset that it reads; not where that is not known
    outage: Optional[float] = None  # seconds that the service was down; only where it ran
    old_exit: Optional[int] = None  # how what ran before ended, 137 when it was killed; only where it ran
    files: Optional[Tuple[FilePosition, ...]] = None  # how far its log files went before; null where none are named


@dataclass(frozen=True)
class Swapped(Started):
    """The new container was started in the place of the old one."""

    word = "swapped"


@dataclass(frozen=True)
class Restarting(JournalEvent):
    """A consumer is about to be stopped and started."""

    word = "restart"
    service: ServiceName  # which
    container: ContainerId  # its container
    grace: Grace  # the seconds it has to stop; 0 for one that does not run


@dataclass(frozen=True)
class Restarted(Started):
    """The consumer was started."""

    word = "restarted"


@dataclass(frozen=True)
class Stopping(JournalEvent):
    """A consumer is about to be stopped."""

    word = "stop"
    service: ServiceName  # which
    container: ContainerId  # its container
    grace: Grace  # the seconds it has to stop; 0 for one that does not run


@dataclass(frozen=True)
class Watching(JournalEvent):
    """The watch begins."""

    word = "watching"
    service: ServiceName  # what is watched
    settle: Span  # seconds that it has to run without a restart
    window: Span  # seconds that it may take to prove itself


@dataclass(frozen=True)
class Seen(JournalEvent):
    """What was seen of a service under watch, every 5 s."""

    word = "seen"
    service: ServiceName  # what is watched
    running: bool  # whether it runs
    restarts: Count  # how often the engine has started it again
    offset: Optional[Offset]  # the next offset that it reads; null where that is not known
    backlog: Optional[Count]  # messages that wait; null where the broker did not say so
    broker: str  # why the broker could not be asked; empty otherwise
    engine: bool = True  # whether docker answered


@dataclass(frozen=True)
class Judged(JournalEvent):
    """The watch of a service ends, with all that speaks for its verdict."""

    word = "verdict"
    service: ServiceName  # what was watched
    verdict: str  # `proven`, `unproven` or `failed`
    reason: str  # why
    seen: Observation  # what was seen last
    before: Optional[Offset]  # the next offset to read at the swap; null where that is not known
    lines: Optional[Count]  # how many lines the end of its log has; null where it could not be read
    failures: Tuple[str, ...]  # the last of them that means a failure; empty where none does
    silence: str = ""  # that nothing was written to its log files


@dataclass(frozen=True)
class Undoing(JournalEvent):
    """The run goes back."""

    word = "undoing"
    reason: str  # why


@dataclass(frozen=True)
class Undone(JournalEvent):
    """It has gone back."""

    word = "undone"
    trouble: Tuple[str, ...]  # what could not be undone


@dataclass(frozen=True)
class Recorded(JournalEvent):
    """The release is entered in the record."""

    word = "recorded"
    release: MaybeRelease  # which
    disk: Optional[Tuple[int, ...]] = None  # of the root: blocks, free ones, those for all, bytes of one


@dataclass(frozen=True)
class Unended(JournalEvent):
    """Why a run has no end yet."""

    why: str  # in words


@dataclass(frozen=True)
class Unrecorded(Unended):
    """The release is in force, and could not be entered."""

    word = "unrecorded"


@dataclass(frozen=True)
class Unstaging(JournalEvent):
    """What was staged could not be cleared away."""

    word = "unstaging"
    failed: str  # why not


@dataclass(frozen=True)
class Closing(JournalEvent):
    """What the swap has set aside beside config and offset file could not be removed."""

    word = "closing"
    failed: str  # why not


@dataclass(frozen=True)
class Pointed(JournalEvent):
    """A config was pointed at another model."""

    word = "pointed"
    service: ServiceName  # whose config it is
    path: Place  # the config
    before: str  # the model that it named
    after: str  # the model that it names now


@dataclass(frozen=True)
class Recovering(JournalEvent):
    """Somebody else takes up a run that was cut off: `t` begins anew."""

    word = "recovering"


@dataclass(frozen=True)
class Unfinished(Unended):
    """The run could not be brought to its end yet."""

    word = "unfinished"
    debug: Optional[str] = None  # where in the code; only of a defect
    tries: Optional[Count] = None  # how often others have tried
    tried: Optional[Tuple[Time, ...]] = None  # when, the last three times at most


@dataclass(frozen=True)
class HandledOffsets:
    """What a release that failed its watch read before it was taken back."""

    grows = True
    service: ServiceName  # the consumer
    container: ContainerId  # the id of the container that failed
    first: Optional[Offset] = None  # the offset it began at; null where none was written down
    end: Optional[Offset] = None  # the offset it would have read next; null where none was written down


@dataclass(frozen=True)
class EndDetails:
    """What is known of a run beside how it ended; what is empty there is nothing to say of."""

    grows = True
    release: MaybeRelease = ""  # the release that is in force by it
    notes: Tuple[str, ...] = ()  # a sentence for each thing to know
    reasons: Dict[ServiceName, str] = field(default_factory=dict)  # by service: what its watch said
    log: Tuple[str, ...] = ()  # the last lines of the log of what failed
    handled: Tuple[HandledOffsets, ...] = ()  # which messages it had its hands on, one entry for each consumer


@dataclass(frozen=True)
class EndOutcome(JournalEvent):
    """How a run ended, for whoever needs no more of it."""

    word = "end"
    outcome: str  # `done`, `refused`, `rolled-back`, `needs-person` or `cancelled`
    sentence: str  # how it ended, in words


@dataclass(frozen=True)
class End(EndOutcome):
    """The run has come to its end: it was seen how the server is."""

    hint: str = ""  # what to do next
    verdict: str = ""  # `proven` or `unproven`; empty where nothing was watched
    details: EndDetails = EndDetails()  # release, notes, reasons, the last lines of a log that failed, messages handled


# In the order in which a run comes to them.
EVENTS: Tuple[Type[JournalEvent], ...] = (
    *(Begin, BeginOfPlan, BeginOfChoice, BeginOfEnv, BeginOfPrune, BeginOfMove),
    *(Staging, Unplaced, Staged, Command, Swapping, Swapped, Restarting, Restarted, Stopping, Watching, Seen),
    *(Judged, Undoing, Undone, Recorded, Unrecorded, Unstaging, Closing, Pointed, Recovering, Unfinished, End),
)

E = TypeVar("E", bound=JournalEvent)


@dataclass(frozen=True)
class Line:
    """One line of a journal."""

    word: str  # of its event
    written: Dict[str, Any]  # all of it, as it was written

    @property
    def at(self) -> str:
        """When it was written, by the server's clock; empty where that is no time."""
        return kept(Time, self.written.get("at"))

    @property
    def t(self) -> Optional[float]:
        """Seconds since its run began; None where that is none."""
        t = self.written.get("t")
        return t if isinstance(t, float) else None

    @property
    def event(self) -> Optional[JournalEvent]:
        """What it tells, None where that is not known here. Raises Malformed where it does not fit."""
        kind = next((one for one in EVENTS if one.word == self.word), None)
        return decode(kind, self.written, self.word) if kind else None


def as_line(written: Any) -> Line:
    """Raises Malformed for what is no line of a journal."""
    if not (isinstance(written, dict) and isinstance(written.get("event"), str)):
        raise Malformed("a line of a journal was expected")
    return Line(written["event"], written)


def told(lines: Iterable[Line], *kinds: Type[E]) -> List[E]:
    """What the lines of some kinds tell, oldest first; one that does not fit tells nothing."""
    found = []
    for line in lines:
        for kind in kinds:
            if line.word == kind.word:
                with contextlib.suppress(Malformed):
                    found.append(decode(kind, line.written, "it"))
    return found


def encoded(event: JournalEvent) -> Dict[str, Any]:
    """An event as its line has it: short, for a disk that is full, without its fields that are at a default."""
    whole = encode(event)
    said = {one.name: whole[one.name] for one in fields(event) if getattr(event, one.name) != one.default}
    return {"event": event.word, **said}
