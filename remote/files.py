"""Files that are always whole: written beside their place with their final mode, synced, and renamed into it."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import List, Optional, Tuple

from remote.words import Refusal


def staged_name(path: str, suffix: str) -> str:
    """Where `stage` writes, for whoever has to note the name before the file is there."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{suffix}")


def stage(path: str, data: bytes, mode: int = 0o600, owner: Optional[Tuple[int, int]] = None, suffix: str = "") -> str:
    """Write `data`, synced and with its final mode and owner, beside `path`; give the name to `place` it from.

    Raises Refusal (kind server) when the folder is not writable, the disk is full, or the owner cannot be given.
    """
    staged = staged_name(path, suffix or f"{os.getpid()}-{threading.get_ident()}")
    try:
        _forget(staged)  # of a process of that number that was killed
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if owner is not None and owner != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), *owner)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except PermissionError as error:
        _forget(staged)
        raise Refusal(
            f"{path} cannot be written with mode {mode:04o} and owner {owner or 'of the login user'}: {error.strerror}",
            "let the login user own the folder and be that owner, or set sudo: true for this server",
            "server",
        ) from error
    except OSError as error:
        _forget(staged)
        raise Refusal(
            f"{path} cannot be written: {error.strerror}", "see df and the mount on the server", "server"
        ) from error
    return staged


def _forget(staged: str) -> None:
    """A half-written file would fill a full disk further with every try."""
    with contextlib.suppress(OSError):
        os.unlink(staged)


def place(staged: str, path: str) -> None:
    """Move a staged file into its place, at once for every reader; `sync_folder` makes it outlast a power cut."""
    os.replace(staged, path)


def write(path: str, data: bytes, mode: int = 0o600, owner: Optional[Tuple[int, int]] = None, suffix: str = "") -> None:
    """Stage, place and sync in one go."""
    place(stage(path, data, mode, owner, suffix), path)
    sync_folder(os.path.dirname(path))


def make_folder(path: str) -> None:
    """A folder for the login user alone, where there is none. Raises Refusal (kind server) when that cannot be."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as error:
        raise Refusal(
            f"{path} cannot be made: {error.strerror}", "see df and the mount on the server", "server"
        ) from error


def room(path: str) -> int:
    """The bytes that this login may still write to the file system of a path."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def disk(path: str) -> List[int]:
    """The blocks of a path's file system: all, free, free for everybody; and the bytes of one."""
    found = os.statvfs(path)
    return [found.f_blocks, found.f_bfree, found.f_bavail, found.f_frsize]


def reserve(path: str, size: int) -> None:
    """Make a file that takes up so many bytes, or none."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError:
        _forget(path)
    finally:
        os.close(handle)


def give_up(path: str, size: int) -> None:
    """Remove a file that was made by `reserve` when fewer than `size` bytes are left beside it."""
    with contextlib.suppress(OSError):  # it has been given up already
        if room(path) < size:
            os.unlink(path)


def sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: str) -> Optional[bytes]:
    """The content, None when there is no such file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def remove(path: str) -> None:
    """Remove a file that may be gone already. Raises Refusal (kind server) when that cannot be."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refusal(
            f"{path} cannot be removed: {error.strerror}", "see the folder and the mount on the server", "server"
        ) from error
    sync_folder(os.path.dirname(path))
