"""Makes the offset file ready from which a consumer reads messages again, while it works on."""

from __future__ import annotations

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.plan import ConsumerStep
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.queue import offset, stream
from gpu_runbook.server.system.ownership import alike

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
    nothing = offset.upcoming(step.offset) == begin  # was handled; then there need be none yet from there on
    last = -1 if found.last is None else found.last
    if not (found.first or 0) <= begin <= last + nothing:
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
