"""What one round leaves to the next: a small file that survives power cuts, full disks and its own damage."""

from __future__ import annotations

import json
import os
from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.forms import Count, KeptLevel, RunId, ServiceName, Time
from gpu_runbook.protocol.schedule import Alarm
from gpu_runbook.protocol.values import dataclass, field
from gpu_runbook.server.schedule.notify.message import Message
from gpu_runbook.server.schedule.standstill import Standstill
from gpu_runbook.server.system import files

SPARE = "state.spare"  # beside the state: written in place, which takes no room on a disk that is full
ROOM = 1 << 16  # bytes of it
ROUND = "round"  # among the troubles: that the last one failed
MOST_PENDING, LONGEST_PENDING = 20, 3 * 86400.0  # alerts, and seconds, kept for one channel that takes none


@dataclass(frozen=True)
class Pending:
    """An alert that a channel has not taken yet."""

    channel: str
    message: Message
    why: str  # the last answer of the channel
    since: Time
    tries: Count = 1  # to hand over this one


@dataclass(frozen=True)
class State:
    """Everything that is remembered from round to round. Times in seconds."""

    at: Time = ""  # of the last round
    level: KeptLevel = ""  # the worst of its rows
    silent: str = ""  # why it told nobody and did nothing
    rounds: Count = 0  # that were made since the check was installed, or since this file began anew
    run: RunId = ""  # the newest run that had ended
    alarms: Dict[str, Alarm] = field(default_factory=dict)  # by row
    standstills: Dict[ServiceName, Standstill] = field(default_factory=dict)  # by service
    full: Dict[str, KeptLevel] = field(default_factory=dict)  # path -> the level at which it alarms
    restarts: Dict[ServiceName, Tuple[Time, ...]] = field(default_factory=dict)  # service -> when it was started again
    pending: Tuple[Pending, ...] = ()
    troubles: Dict[str, str] = field(default_factory=dict)  # of the check itself: what, and why


def load(path: str) -> Tuple[Optional[State], str]:
    """The newest whole state, None where there is none; and a sentence when what is there is damaged.

    Whatever stands in either file, this gives an answer: what cannot be read counts as not there.
    """
    found, damage = _read(path)
    spare, _ = _read(_spare(path))
    if spare and (found is None or spare.rounds > found.rounds):  # by no clock, which may be set
        return spare, ""
    return found, damage


def save(path: str, state: State) -> str:
    """Replace the file, whole for every reader; why that failed, usually nothing.

    On a full disk the state goes into the room that was kept aside, so that nobody is told the same every round.
    """
    data = json.dumps(encode(state), ensure_ascii=False).encode("utf-8", "backslashreplace")
    try:
        files.write(path, data)
    except (Refusal, OSError) as error:
        return "" if _overwrite(_spare(path), data) else str(error)
    _clear(_spare(path))
    return ""


def unwritable(path: str) -> str:
    """Why no round could leave anything to the next one, usually nothing. Asked of the file, which is left as it is."""
    for one in (_spare(path), path):
        try:
            handle = os.open(one, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.fsync(handle)  # a file system that gave up writing says so here
            finally:
                os.close(handle)
            return ""
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{one} cannot be written: {error.strerror}"
    folder = os.path.dirname(path)  # no round has come so far
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} is not writable for this login"


def _read(path: str) -> Tuple[Optional[State], str]:
    try:
        raw = (files.read(path) or b"").strip(b"\0 \n")
        return (decode(State, json.loads(raw), "state") if raw else None), ""
    except (OSError, ValueError, RecursionError) as error:
        return None, f"{path} was damaged and begins anew: {type(error).__name__}"


def _spare(path: str) -> str:
    return os.path.join(os.path.dirname(path), SPARE)


def _overwrite(path: str, data: bytes) -> bool:
    """Write over a file that has its room already, without taking a byte more; whether that could be done."""
    if len(data) > ROOM:
        return False
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if os.fstat(handle).st_size < ROOM:
                return False
            os.pwrite(handle, data.ljust(ROOM, b"\0"), 0)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        return False
    return True


def _clear(path: str) -> None:
    """What stands in the room is older now than the state itself; where there is no room yet, it is taken."""
    try:
        with open(path, "rb") as file:
            if file.read(1) == b"\0":
                return
    except OSError:
        pass  # there is none yet
    try:
        files.write(path, b"\0" * ROOM)  # written out: what is only promised, some file systems take back
    except (Refusal, OSError):
        return
