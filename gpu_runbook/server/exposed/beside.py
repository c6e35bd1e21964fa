"""Long files and links, made ready beside a place that containers can reach.

It is apart from the opener, which every deploy takes along.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import IO, Iterable, Optional, Tuple

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.system import files

STEP = 64 << 20  # bytes after which what was written is on the disk, and out of the memory
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def stage_blocks(
    path: str, blocks: Iterable[bytes], mode: int, owner: Optional[Tuple[int, int]], suffix: str
) -> os.stat_result:
    """As `files.stage`, of what is too long to be held at once; gives the file as it is.

    It goes to the disk step by step: gigabytes that wait in the memory would slow down what training writes. What
    `blocks` raises leaves none behind.
    """
    name = os.path.basename(files.staged_name(path, suffix))
    try:
        with guarded.folder(os.path.dirname(path)) as at:
            _forget(name, at)
            with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=at), "wb") as file:
                try:
                    made = os.fstat(file.fileno())
                    if owner is not None and owner != (made.st_uid, made.st_gid):  # the group may be its folder's
                        os.fchown(file.fileno(), *owner)
                    os.fchmod(file.fileno(), mode)
                    left = STEP
                    for block in blocks:
                        file.write(block)
                        left -= len(block)
                        if left <= 0:
                            file.flush()
                            os.fdatasync(file.fileno())
                            forget(file)
                            left = STEP
                    file.flush()
                    os.fsync(file.fileno())
                    forget(file)
                    return os.fstat(file.fileno())
                except BaseException:
                    _forget(name, at)
                    raise
    except PermissionError as error:
        said = f"{path} cannot be written with mode {mode:04o} and owner {owner or 'of the login user'}"
        hint = "let the login user own the folder and be that owner, or set sudo: true for this server"
        raise Refusal(f"{said}: {error.strerror}", hint) from error
    except OSError as error:
        raise files.refusal(path, "written", error) from error


def forget(file: IO[bytes]) -> None:
    """Let the memory go that what was read or written takes up: others have more use for it."""
    with contextlib.suppress(OSError):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def room(path: str) -> int:
    """The bytes that this login may still write beside a file. Raises OSError."""
    with guarded.folder(os.path.dirname(path)) as at:
        found = os.fstatvfs(at)
    return found.f_bavail * found.f_frsize


def stage_link(path: str, target: str, suffix: str) -> None:
    """As `files.stage`, of a link."""
    name = os.path.basename(files.staged_name(path, suffix))
    try:
        with guarded.folder(os.path.dirname(path)) as at:
            _forget(name, at)
            os.symlink(target, name, dir_fd=at)
    except OSError as error:
        raise files.refusal(path, "made", error) from error


def link_target(path: str) -> str:
    """What a link says, which is not followed; empty for anything else. Raises OSError where nothing is there."""
    with guarded.folder(os.path.dirname(path)) as at:
        name = os.path.basename(path)
        there = os.stat(name, dir_fd=at, follow_symlinks=False)
        return os.readlink(name, dir_fd=at) if stat.S_ISLNK(there.st_mode) else ""


def real(folder: str) -> str:
    """The path of a folder without links. Raises OSError."""
    with guarded.folder(folder) as at:
        return os.readlink(f"/proc/self/fd/{at}")


def itself(path: str) -> Optional[os.stat_result]:
    """What is there, be it a link, which is not followed; None where nothing is. Raises OSError."""
    try:
        with guarded.folder(os.path.dirname(path)) as at:
            return os.stat(os.path.basename(path), dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _forget(name: str, at: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=at)
