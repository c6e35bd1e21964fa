"""Reads messages again: a consumer's position goes back to where the release that handled them wrongly took over.

The offset file is made ready while the consumer works on, and placed while it is stopped. Undone, the copy that was
kept at the swap comes back, so that nothing is read again by the release that has read it.
"""

from __future__ import annotations

import contextlib
import os

from remote import files, guarded, offset, stream
from remote.docker import StepFailed
from remote.owners import alike
from remote.plans import ConsumerStep
from remote.words import Refusal

SECONDS = 4.0  # for asking the stream


def stage(step: ConsumerStep, password: str, run: str) -> str:
    """Make the offset file ready; its staged name. Raises Refusal when the stream no longer holds the messages."""
    begin = step.old.took_over if step.old else None
    if step.offset is None or step.stream is None or begin is None:
        raise Refusal(f"it is not known from where {step.service} would have to read again", "see fab history")
    try:
        found = stream.bounds(step.stream, password, SECONDS)
    except stream.StreamError as error:
        raise Refusal(f"whether the stream still holds offset {begin} could not be asked: {error.message}") from error
    if found.first is None or found.last is None or not found.first <= begin <= found.last:
        now = "it is empty" if found.last is None else f"it holds {found.first} to {found.last}"
        hint = "roll back without --replay"
        raise Refusal(f"{step.stream.name} no longer holds the messages from offset {begin} on ({now})", hint)
    try:
        there = guarded.read(step.offset.path, offset.LIMIT)
        text = offset.moved(step.offset, there[0].decode() if there else "", begin)
    except (offset.OffsetError, OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{step.offset.path} cannot be put back to {begin}: {error}") from error
    assert there is not None  # noqa: S101  without a file there is no position in it
    mode, uid, gid = alike(*guarded.identity(there[1]))
    return guarded.stage(step.offset.path, text.encode(), mode, (uid, gid), run)


def place(staged: str, path: str, kept: str) -> None:
    """Put the position back, once there is a copy of the one that was reached. Raises StepFailed."""
    if not os.path.exists(kept):
        raise StepFailed(f"no copy of {path} could be kept, so that it was not put back")
    with contextlib.suppress(OSError), guarded.opened(path) as file:
        guarded.set_aside(file, guarded.aside(staged))
    try:
        guarded.place(staged, path)
    except OSError as error:
        raise StepFailed(f"{path} could not be replaced: {error.strerror}") from error


def undo(staged: str, path: str, kept: str) -> None:
    """Bring the position back that was reached before, where `place` has put it back. No consumer may be running."""
    if guarded.remove(staged):
        return
    reached = files.read(kept)
    if reached is None:
        raise StepFailed(f"{kept} is gone: {path} cannot be brought to where it was")
    if not guarded.bring_back(guarded.aside(staged), path, reached):
        try:
            mode, uid, gid = alike(*guarded.whose(path))
        except OSError as error:
            raise StepFailed(f"{path} cannot be brought to where it was: {error.strerror}") from error
        guarded.write(path, reached, mode, (uid, gid), "back")
