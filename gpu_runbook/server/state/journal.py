"""The journal of one run: JSON lines, appended and synced, that the laptop follows and recovery reads."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import List, Optional

from gpu_runbook.common.clock import now
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.forms import RunId, has
from gpu_runbook.protocol.journal import (
    Begin,
    Command,
    EndOutcome,
    JournalEvent,
    Line,
    Seen,
    Unfinished,
    as_line,
    encoded,
    told,
)
from gpu_runbook.protocol.record import RunState
from gpu_runbook.server.state.store import ROOM, SPARE, Store
from gpu_runbook.server.system import files

DETAILS = (Command.word, Seen.word, Unfinished.word)  # what happens within a step, or could not be


class Journal:
    """Appends to `runs/<id>.jsonl`. While it is open, a flock on it says that its run is alive."""

    def __init__(self, path: str) -> None:
        """Raises Refusal where the file cannot be opened to be written."""
        self.why = "No space left on device"  # where a line could not be written, or not all of it
        self._path, self._begun = path, time.monotonic()
        self._spare = os.path.join(os.path.dirname(os.path.dirname(path)), SPARE)
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            self._torn = not _ends_whole(self._handle)  # what a cut tore is not continued by the first new line
        except OSError as error:
            self.why = str(error.strerror)
            raise self._refusal() from error

    def begin(self, event: Begin) -> None:
        """Write the first line. Raises Refusal, with no journal left, where that cannot be: nobody could finish it."""
        if not self.write(event):
            self.drop()
            raise self._refusal()

    def drop(self) -> None:
        """Take it away, where nothing was changed: there is nothing for anybody to finish."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _refusal(self) -> Refusal:
        said = f"no run can be written down in {os.path.dirname(self._path)}: {self.why}; nothing was changed"
        return Refusal(said, "fab prune makes room; " + files.SEE)

    @property
    def age(self) -> float:
        """Seconds since it was opened, by a clock that is never set."""
        return time.monotonic() - self._begun

    def write(self, event: JournalEvent, sync: bool = True) -> bool:
        """Append one line; whether it is on disk. One that may not be is taken back: nobody is to act on it.

        Before a disk is quite full, the room kept aside is given up.
        """
        line = {"at": now(), "t": round(self.age, 3), **encoded(event)}
        text = ("\n" if self._torn else "") + json.dumps(line, ensure_ascii=False) + "\n"
        data = text.encode("utf-8", "backslashreplace")
        files.give_up(self._spare, ROOM)
        torn, size = self._torn, os.fstat(self._handle).st_size
        try:
            self._torn = os.write(self._handle, data) < len(data)
            if sync:
                os.fsync(self._handle)
            if not self._torn:
                return True
        except OSError as error:
            self.why = str(error.strerror)
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, size)
            self._torn = torn
        return False

    def close(self) -> None:
        os.close(self._handle)


def _ends_whole(handle: int) -> bool:
    size = os.fstat(handle).st_size
    return size == 0 or os.pread(handle, 1, size - 1) == b"\n"


def read(path: str, about: str = "") -> List[Line]:
    """The whole lines of a journal, or those in which a text stands; a line that a power cut tore is left out."""
    try:
        with open(os.open(path, files.UNFOLLOWED), "rb") as file:
            return list(filter(None, (parse(raw) for raw in file if about.encode() in raw)))
    except FileNotFoundError:
        return []


def parse(raw: bytes) -> Optional[Line]:
    """None for what is no line."""
    try:
        line = as_line(json.loads(raw))
        json.dumps(line.written, allow_nan=False)  # what cannot travel is no line either
    except (ValueError, RecursionError):
        return None
    return line


def alive(path: str) -> bool:
    """Whether the process that writes this journal still lives."""
    return files.held(path) is not None


def runs(store: Store) -> List[str]:
    """The ids of all runs, oldest first; a file of another name is none of ours."""
    try:
        names = os.listdir(store.runs)
    except FileNotFoundError:
        return []
    ids = (name[: -len(".jsonl")] for name in names if name.endswith(".jsonl"))
    return sorted(run for run in ids if has(RunId, run))


def chosen(store: Store, run: str) -> str:
    """A run that somebody named, or the newest when it is empty. Raises Refusal (kind input)."""
    known = runs(store)
    if not known:
        raise Refusal("there has been no run on this server yet", "fab deploy starts one", "input")
    if run and run not in known:
        raise Refusal(f"there is no run {run} on this server", "fab history names them", "input")
    return run or known[-1]


def state(store: Store, run: str) -> RunState:
    """What the journal of a run says, and whether somebody is still writing it."""
    path = store.journal(run)
    living = alive(path)
    lines = read(path)
    words = [line.word for line in lines]
    begin = next(iter(told(lines, Begin)), None)
    end = [EndOutcome("", ""), *told(lines, EndOutcome)][-1]
    why = [Unfinished(""), *told(lines, Unfinished)][-1].why
    ended = EndOutcome.word in words
    return RunState(
        id=run,
        state="ended" if ended else "under-way" if living else "cut-off",
        action=begin.action if begin else "",
        who=begin.who if begin else "",
        since=next((line.at for line in lines if line.word == Begin.word), ""),
        step=next((word for word in reversed(words) if word not in DETAILS), ""),
        outcome=end.outcome,
        sentence=end.sentence if ended else why,
    )


def last(store: Store) -> Optional[RunState]:
    """The newest run, None when there never was one; of runs that were refused since, the one that was cut off."""
    known = runs(store)
    for run in reversed(known):
        found = state(store, run)
        if found.state == "cut-off":
            return found
        if found.outcome != "refused":
            break
    return state(store, known[-1]) if known else None
