"""Does a consumer get on with its stream? Its own offset file against the stream's first and last offset."""

from __future__ import annotations

import time
from typing import Any, Dict, Optional

from gpu_runbook.common import humanize
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.values import dataclass, field
from gpu_runbook.server.checks import broker
from gpu_runbook.server.docker import engine
from gpu_runbook.server.queue import offset, stream
from gpu_runbook.server.queue.offset import Position
from gpu_runbook.server.queue.stream import Bounds

SECONDS = 4.0  # for asking the stream
STEP = 0.2  # seconds between looks at the file while it is waited for
_UNTOLD = "cannot tell idle from stuck"


@dataclass(frozen=True)
class Pursuit:
    """A consumer and what it reads. `password` is for the stream's monitoring user and is never shown."""

    container: str
    file: OffsetFile
    stream: StreamAddress
    password: str = field(repr=False)


def check(name: str, pursuit: Pursuit, docker_host: str, look_again: float) -> Check:
    """Look at both; while messages wait, look at the file again until it moves or `look_again` seconds are over."""
    try:
        before = offset.read(pursuit.file)  # before the stream: it may then be behind its end, never beyond
        try:
            bounds = _bounds(pursuit)
        except stream.StreamError as error:
            return _without_stream(name, pursuit.stream, before, error)
        misplaced = judge_place(name, pursuit.file, before, bounds)
        if misplaced is not None:
            return misplaced
        after = _await_move(pursuit.file, before, bounds, look_again)
    except offset.OffsetError as error:
        return _without_offset(name, pursuit, error, docker_host)
    return judge_movement(name, pursuit, before, after, bounds, time.time())


def judge_place(name: str, file: OffsetFile, position: Position, bounds: Bounds) -> Optional[Check]:
    """Critical for a position outside the stream, None for one inside it."""
    upcoming = offset.next_offset(file, position.value)
    figures = _figures(position, bounds)
    end = "it is empty" if bounds.last is None else f"it ends at {bounds.last}"
    if position.value > 0 and upcoming > (-1 if bounds.last is None else bounds.last) + 1:
        sentence = f"offset {position.value} lies beyond the end of the stream ({end})"
        hint = f"the stream was created anew, or {file.path} belongs to another one; the consumer would wait in silence"
        return Check(name, CRITICAL, sentence, figures, hint)
    lost = max((bounds.first or 0) - upcoming, 0)
    if lost:
        sentence = f"offset {position.value} lies before the beginning of the stream ({bounds.first})"
        hint = "its retention removes messages before they are read: let it keep more, or the consumer catch up sooner"
        figures["lost"] = lost
        return Check(name, CRITICAL, f"{sentence}: up to {humanize.several(lost, 'message')} lost", figures, hint)
    return None


def judge_movement(name: str, pursuit: Pursuit, before: Position, after: Position, bounds: Bounds, now: float) -> Check:
    """Two looks at the file, with the stream's bounds from between them; `now` in seconds since 1970."""
    waiting = _backlog(pursuit.file, after, bounds)
    unchanged = now - after.written_at
    figures = dict(_figures(after, bounds), backlog=waiting, moved=after.value - before.value)
    if after.value < before.value:
        hint = "as after a restore of the file; what lies between is handled a second time"
        return Check(name, WARNING, f"offset went back from {before.value} to {after.value}", figures, hint)
    if not waiting:
        where = "the stream is empty" if bounds.last is None else f"the stream ends at {bounds.last}"
        return Check(name, OK, f"offset {after.value}, nothing waits ({where})", figures)
    wait = f"up to {humanize.several(waiting, 'message')} to go"
    if after.value > before.value:
        return Check(name, OK, f"offset advances, {after.value - before.value} since the first look, {wait}", figures)
    sentence = f"offset {after.value} does not advance (unchanged for {humanize.span(unchanged)}), {wait}"
    return Check(name, WARNING, sentence, figures, f"fab logs {pursuit.container} --tail 20")


def _backlog(file: OffsetFile, position: Position, bounds: Bounds) -> int:
    return offset.backlog(file, offset.next_offset(file, position.value), bounds.last)


def _await_move(file: OffsetFile, before: Position, bounds: Bounds, seconds: float) -> Position:
    """The position once it differs from the one before, or when the time is over; at once when nothing waits."""
    until = time.monotonic() + seconds
    after = before
    while after.value == before.value and _backlog(file, after, bounds) and time.monotonic() < until:
        time.sleep(STEP)
        after = offset.read(file)
    return after


def _bounds(pursuit: Pursuit) -> Bounds:
    if not pursuit.stream.user:
        raise stream.StreamError("login", "no user is set that may ask the stream")
    return stream.bounds(pursuit.stream, pursuit.password, SECONDS)


def _without_stream(name: str, address: StreamAddress, position: Position, error: stream.StreamError) -> Check:
    said, todo = broker.told(address, error)
    if error.kind == "no-stream":
        return Check(name, CRITICAL, said, {"offset": position.value}, todo)
    unchanged = humanize.span(time.time() - position.written_at)
    sentence = f"offset {position.value}, unchanged for {unchanged}; {_UNTOLD}: {said}"
    return Check(name, UNKNOWN, sentence, {"offset": position.value}, todo)


def _without_offset(name: str, pursuit: Pursuit, error: offset.OffsetError, docker_host: str) -> Check:
    """A file that is gone matters when there is something to read, or, that unknown, when the consumer has ever run."""
    if error.kind == "unreadable":
        return Check(name, UNKNOWN, error.message, hint="the login user must be allowed to read it, or use sudo: true")
    if error.kind == "garbled":
        return Check(name, UNKNOWN, error.message, hint=f"see what {pursuit.container} writes there")
    try:
        last = _bounds(pursuit).last
        if last is None:
            return Check(name, OK, f"{error.message} yet, and the stream is empty")
        sentence = f"{error.message} while the stream holds messages up to {last}"
    except stream.StreamError as failure:
        found = engine.find(docker_host).container(pursuit.container)  # what it raises makes the check unknown as well
        if found is None or not found.started:
            said, todo = broker.told(pursuit.stream, failure)
            return Check(name, UNKNOWN, f"{error.message} yet; {said}", hint=todo)
        sentence = f"{error.message} although {pursuit.container} has run"
    hint = "write the last known offset back before the consumer starts again: without one it may start anywhere"
    return Check(name, CRITICAL, sentence, hint=hint)


def _figures(position: Position, bounds: Bounds) -> Dict[str, Any]:
    return {"offset": position.value, "first": bounds.first, "last": bounds.last, "written_at": position.written_at}
