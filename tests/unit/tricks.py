"""What an evil container does with a name below its mounts, for the tests of whatever reads such names."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.exposed.writable_folders import WritableFolder

CANARY = "canary: 4711"  # what stands outside every mount, and must not get anywhere
NUMBER = "4711471147114711"  # of the canary: longer than what a time could hold by chance
EXCHANGE = 2  # of renameat2
# Functions of C that take a name or are of an entry of a folder.
NAMING = {"open", "stat", "lstat", "readlink", "listdir", "scandir", "is_dir", "is_file", "mkdir", "chmod", "chown"}
NAMING |= {"rename", "replace", "link", "unlink", "rmdir", "utime", "truncate", "access"}

Trick = Callable[[Path, Path], None]  # what is put where, with the path of the canary


def _link(path: Path, canary: Path) -> None:
    path.symlink_to(canary)


def _relative_link(path: Path, canary: Path) -> None:
    path.symlink_to(os.path.relpath(canary, path.parent))


def _loop(path: Path, canary: Path) -> None:
    path.symlink_to(path.name)


def _device(path: Path, canary: Path) -> None:
    """A link to one, as only root can make another; it is opened by nobody."""
    path.symlink_to("/dev/zero")


def _pipe(path: Path, canary: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path, canary: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # its name may be no longer than 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


def _folder(path: Path, canary: Path) -> None:
    path.mkdir()
    (path / "x").write_text(CANARY)


def _terabyte(path: Path, canary: Path) -> None:
    path.touch(mode=0o600)
    os.truncate(path, 1 << 40)


TRICKS: dict[str, Trick] = {
    "link": _link,
    "relative link": _relative_link,
    "loop of links": _loop,
    "device": _device,
    "pipe": _pipe,
    "socket": _socket,
    "folder": _folder,
    "terabyte": _terabyte,
}


def reached(monkeypatch: object, *folders: Path, whose: str = "container queue") -> None:
    """Let containers be able to write to folders, as the engine would list them."""
    monkeypatch.setattr(guarded, "_mounts", lambda: [WritableFolder(str(folder), whose) for folder in folders])  # type: ignore[attr-defined]


def within(seconds: float, act: Callable[[], object]) -> object:
    """What a call gives, or the exception that it raises; one that waits fails the test."""
    given: list[object] = []

    def live() -> None:
        try:
            given.append(act())
        except Exception as error:
            given.append(error)

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    thread.join(seconds)
    assert given, f"it took longer than {seconds} s"
    return given[0]


def changed_at_any_moment(one: Path, lay: Callable[[Path, Path], None], act: Callable[[], object]) -> Iterator[object]:
    """What a call gives when a name becomes another before one of the system calls in which it may be named, before
    each of them in turn. `lay` puts there what is looked at first, and beside it the other.
    """
    other, libc = one.with_name("other"), ctypes.CDLL(None)
    moment = calls = 0

    def before(frame: object, event: str, function: object) -> None:
        nonlocal calls
        if event == "c_call" and getattr(function, "__name__", "") in NAMING:
            if calls == moment:
                libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), EXCHANGE)
            calls += 1

    def watched() -> object:
        sys.setprofile(before)
        try:
            return act()
        finally:
            sys.setprofile(None)

    while moment <= calls:
        for name in (one, other):
            shutil.rmtree(name) if name.is_dir() and not name.is_symlink() else name.unlink(missing_ok=True)
        lay(one, other)
        calls = 0
        yield within(5, watched)
        moment += 1
    assert moment > 1, "it looks at nothing"


@contextlib.contextmanager
def exchanged(one: Path, other: Path) -> Iterator[None]:
    """Two names that change places all the time, each moment in one step."""
    libc, done = ctypes.CDLL(None, use_errno=True), threading.Event()
    words = (-100, os.fsencode(one), -100, os.fsencode(other), EXCHANGE)
    assert libc.renameat2(*words) == 0, os.strerror(ctypes.get_errno())

    def live() -> None:
        while not done.is_set():
            libc.renameat2(*words)

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
