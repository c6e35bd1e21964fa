"""A disk that fails when it is told to: each call that touches a file is counted, and one of them, or many, raise."""

from __future__ import annotations

import builtins
import errno
import fcntl
import os
from collections.abc import Callable
from typing import Any

import pytest

ERRORS = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.EACCES)
CALLS = (
    *(
        (os, name)
        for name in ("open", "write", "pwrite", "fdopen", "fsync", "ftruncate", "truncate", "posix_fallocate")
    ),
    *((os, name) for name in ("rename", "replace", "link", "unlink", "rmdir", "mkdir", "listdir", "scandir")),
    *((os, name) for name in ("chmod", "chown", "fchmod", "fchown", "pread")),
    (builtins, "open"),
    (fcntl, "flock"),
)
READS = ("listdir", "scandir", "pread", "builtins.open")
UNREACHED = 1 << 30  # the number of a call to which nothing comes: all are counted, and none fails

Fails = Callable[[int, str, bool], bool]  # which call of this try, its name with the path, whether it writes


def one(at: int) -> Fails:
    """The nth call of all."""
    return lambda number, name, writes: number == at


def every_write(number: int, name: str, writes: bool) -> bool:
    """As on a disk that takes nothing at all any more; a lock is no matter of the disk."""
    return writes and not name.startswith("flock ")


def every_new_file(number: int, name: str, writes: bool) -> bool:
    """As on a disk that has no inodes left."""
    return name.startswith(("new ", "mkdir "))


class Inodes:
    """As on a disk that has so many inodes left: what is removed makes room for what is made."""

    def __init__(self, free: int) -> None:
        self.free = free

    def __call__(self, number: int, name: str, writes: bool) -> bool:
        what = name.partition(" ")[0]
        if what in ("new", "mkdir"):
            if not self.free:
                return True
            self.free -= 1
        self.free += what in ("unlink", "rmdir", "replace")
        return False


class Disk:
    """Every call of this process. Nothing waits for the real disk: what is synced is counted, and that is all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []  # of this try
        self.writes: list[bool] = []  # whether each of them writes
        self._fails: Fails | None = None
        self._error = 0
        for module, name in CALLS:
            real = (lambda handle: None) if name == "fsync" else getattr(module, name)
            told = "builtins.open" if module is builtins else name
            monkeypatch.setattr(module, name, self._counted(told, real))

    def fail(self, fails: Fails, error: int) -> None:
        """From now on."""
        self.calls, self.writes, self._fails, self._error = [], [], fails, error

    def work(self) -> None:
        """From now on everything goes well, and nothing is counted."""
        self._fails = None

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*words: Any, **more: Any) -> Any:
            fails = self._fails
            if fails:
                told, writes = _told(name, words, more)
                self.calls.append(told)
                self.writes.append(writes)
                if fails(len(self.calls) - 1, told, writes):
                    named = None if isinstance(words[0], int) else words[0]  # as Python has it
                    raise OSError(self._error, os.strerror(self._error), named)
            return real(*words, **more)

        return counted


def _told(name: str, words: tuple[Any, ...], more: dict[str, Any]) -> tuple[str, bool]:
    """A call's name with its path, and whether it is one that writes."""
    path = words[0]
    if name == "mkdir" and _is_there(path, more.get("dir_fd")):
        return f"there {path}", False  # which is said before a disk is asked
    if name in ("unlink", "rmdir") and not _is_there(path, more.get("dir_fd")):
        return f"absent {path}", False
    if name != "open":
        there = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else path  # noqa: PTH115 - it is quicker
        return f"{name} {there}", name not in READS and words[1:2] != ("rb",)
    flags = words[1]
    is_new = bool(flags & os.O_CREAT) and not _is_there(path, more.get("dir_fd"))
    return f"{'new' if is_new else 'open'} {path}", bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _is_there(path: str, folder: int | None) -> bool:
    try:
        os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
