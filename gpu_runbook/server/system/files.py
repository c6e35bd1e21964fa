"""Files that are always whole: written beside their place with their final mode, synced, and renamed into it.

Each step happens in the folder that was opened for it. Where containers can reach it, `exposed.guarded` opens it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import Callable, ContextManager, Iterator, List, Optional, Tuple

from gpu_runbook.common import limits
from gpu_runbook.protocol.errors import Refusal

Opener = Callable[[str], ContextManager[int]]  # gives a descriptor of the folder of that path
SEE = "see df, df -i and the mount on the server"
UNFOLLOWED = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # no link is followed, and no pipe is waited for
HEAD = 1 << 16  # bytes of a locked file that are read


@contextlib.contextmanager
def _folder(path: str) -> Iterator[int]:
    """One that nobody but us writes to."""
    at = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield at
    finally:
        os.close(at)


def staged_name(path: str, suffix: str) -> str:
    """Where `stage` writes, for whoever has to note the name before the file is there."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{suffix}")


def stage(
    path: str,
    data: bytes,
    mode: int = 0o600,
    owner: Optional[Tuple[int, int]] = None,
    suffix: str = "",
    opener: Opener = _folder,
) -> str:
    """Write `data`, synced and with its final mode and owner, beside `path`; give the name to `place` it from.

    Raises Refusal when the folder is not writable, the disk is full, or the owner cannot be given.
    """
    staged = staged_name(path, suffix or f"{os.getpid()}-{threading.get_ident()}")
    try:
        with opener(os.path.dirname(path)) as at:
            _stage(os.path.basename(staged), at, data, mode, owner)
    except PermissionError as error:
        raise Refusal(
            f"{path} cannot be written with mode {mode:04o} and owner {owner or 'of the login user'}: {error.strerror}",
            "let the login user own the folder and be that owner, or set sudo: true for this server",
        ) from error
    except OSError as error:
        raise refusal(path, "written", error) from error
    return staged


def _stage(name: str, at: int, data: bytes, mode: int, owner: Optional[Tuple[int, int]]) -> None:
    _forget(name, at)  # of a process of that number that was killed
    try:
        with os.fdopen(_new(name, at), "wb") as file:
            made = os.fstat(file.fileno())
            if owner is not None and owner != (made.st_uid, made.st_gid):  # the group may be its folder's
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        _forget(name, at)
        raise


def _new(name: str, at: Optional[int] = None) -> int:
    """A descriptor of a file that was not there before."""
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=at)


def _forget(name: str, at: Optional[int] = None) -> None:
    """A half-written file would fill a full disk further with every try."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=at)


def place(staged: str, path: str, opener: Opener = _folder) -> None:
    """Move a staged file into its place, at once for every reader; `sync_folder` makes it outlast a power cut."""
    with opener(os.path.dirname(path)) as at:
        os.replace(os.path.basename(staged), os.path.basename(path), src_dir_fd=at, dst_dir_fd=at)


def write(path: str, data: bytes, mode: int = 0o600, owner: Optional[Tuple[int, int]] = None, suffix: str = "") -> None:
    """Stage, place and sync in one go. Raises Refusal with the file as it was, unless the last sync fails."""
    staged = stage(path, data, mode, owner, suffix)
    try:
        with _folder(os.path.dirname(path)) as at:  # once, for both: a failure to open it comes before the change
            os.replace(os.path.basename(staged), os.path.basename(path), src_dir_fd=at, dst_dir_fd=at)
            os.fsync(at)
    except OSError as error:
        _forget(staged)
        raise refusal(path, "written", error) from error


def keep(path: str, data: bytes) -> None:
    """Write a file anew, and wait for no disk. Raises OSError."""
    _forget(path)
    with os.fdopen(_new(path), "wb") as file:
        file.write(data)


def make_folder(path: str) -> None:
    """A folder for the login user alone, where there is none. Raises Refusal when that cannot be."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as error:
        raise refusal(path, "made", error) from error


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
    with contextlib.suppress(OSError):
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


def sync_folder(folder: str, opener: Opener = _folder) -> None:
    with opener(folder) as at:
        os.fsync(at)


def read(path: str) -> Optional[bytes]:
    """The content, None when there is no such file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def held(path: str) -> Optional[bytes]:
    """The beginning of a file on which a living process holds a lock; None where there is no file, or no lock on it."""
    try:
        handle = os.open(path, UNFOLLOWED)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return os.pread(handle, HEAD, 0)
    finally:
        os.close(handle)


def open_lock(path: str, more: int = 0) -> int:
    """A file to be locked, for reading alone where it cannot be written: that holds as well. Raises OSError.

    `more`: flags, such as that it is made. A link or a pipe in its place is somebody else's.
    """
    try:
        return os.open(path, UNFOLLOWED | os.O_RDWR | more, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError:
        with contextlib.suppress(OSError):
            return os.open(path, UNFOLLOWED)
        raise


def remove(path: str, opener: Opener = _folder) -> bool:
    """Remove a file; whether it was there at all. Raises Refusal when that cannot be."""
    try:
        with opener(os.path.dirname(path)) as at:
            os.unlink(os.path.basename(path), dir_fd=at)
            os.fsync(at)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise refusal(path, "removed", error) from error
    return True


def why(error: Exception) -> str:
    """What an error says, as a person reads it."""
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)


def refusal(path: str, what: str, error: OSError) -> Refusal:
    """In words, what an error means for a file that was to be made, written or removed."""
    return Refusal(f"{path} cannot be {what}: {error.strerror}", limits.HINT if limits.reached(error) else SEE)
