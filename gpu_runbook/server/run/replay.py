"""Reads messages again: a consumer's position goes back to where the release that handled them wrongly took over.

The offset file is made ready by `server.run.rewind` while the consumer works on, and placed while it is stopped.
Undone, the copy that was kept at the swap comes back, so that nothing is read again by the release that has read it.
"""

from __future__ import annotations

import contextlib
import os

from gpu_runbook.server.docker.commands import StepFailed
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.system import files
from gpu_runbook.server.system.ownership import alike


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
