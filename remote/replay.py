"""Reads messages again: a consumer's position goes back to where the release that handled them wrongly took over.

The offset file is made ready while the consumer works on, and placed while it is stopped. Undone, the copy that was
kept at the swap comes back, so that nothing is read again by the release that has read it.
"""

from __future__ import annotations

import os

from remote import files, offset, stream
from remote.docker import StepFailed
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
        text = offset.moved(step.offset, (files.read(step.offset.path) or b"").decode(), begin)
        state = os.stat(step.offset.path)
    except (offset.OffsetError, OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{step.offset.path} cannot be put back to {begin}: {error}") from error
    return files.stage(step.offset.path, text.encode(), state.st_mode & 0o7777, (state.st_uid, state.st_gid), run)


def place(staged: str, path: str, kept: str) -> None:
    """Put the position back, once there is a copy of the one that was reached. Raises StepFailed."""
    if not os.path.exists(kept):
        raise StepFailed(f"no copy of {path} could be kept, so that it was not put back")
    try:
        files.place(staged, path)
    except OSError as error:
        raise StepFailed(f"{path} could not be replaced: {error.strerror}") from error


def undo(staged: str, path: str, kept: str) -> None:
    """Bring the position back that was reached before, where `place` has put it back. No consumer may be running."""
    if os.path.exists(staged):
        files.remove(staged)
        return
    reached = files.read(kept)
    if reached is None:
        raise StepFailed(f"{kept} is gone: {path} cannot be brought to where it was")
    found = os.stat(path)
    files.write(path, reached, found.st_mode & 0o7777, (found.st_uid, found.st_gid), "back")
