#!/usr/bin/python3 -IS
"""Stands in front of python3 on the server: halts a run at a line of its journal, before another file is synced, or
before it changes anything of the state.

It notes how much of the journal is synced, and tells a run another time than it is. A round of the scheduled check is
halted at its runs' lines, too. Everything else that is asked of python3 goes to the real one as it is.
"""

from __future__ import annotations

import datetime
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path("/var/faults")
MOST = 60.0  # seconds a run is halted when nobody tells it to go on

write, fsync = os.write, os.fsync
now, gmtime, localtime, strftime = time.time, time.gmtime, time.localtime, time.strftime
lines = syncs = changes = 0


def opened(handle: int) -> Path:
    return Path(f"/proc/self/fd/{handle}").readlink()


def is_journal(handle: int) -> bool:
    """The scheduled check's history is none."""
    path = opened(handle)
    return path.suffix == ".jsonl" and path.parent.name == "runs"


def halting_write(handle: int, data: bytes) -> int:
    global lines
    done = write(handle, data)
    if is_journal(handle):
        lines += 1
        if lines == 1:
            note(handle, os.fstat(handle).st_size - done)
        halt(f"at line {lines}")
    return done


def halt(point: str) -> None:
    if (HERE / "at").read_text().strip() != point:
        return
    (HERE / "reached").write_text(str(os.getpid()))
    until = time.monotonic() + MOST
    while not (HERE / "go").exists() and time.monotonic() < until:
        time.sleep(0.01)


def note(handle: int, size: int) -> None:
    """So many bytes of a journal would outlast a power cut at this moment."""
    (HERE / "synced").write_text(f"{size} {opened(handle)}\n")


def halting_fsync(handle: int) -> None:
    global syncs
    if not is_journal(handle):
        syncs += 1
        halt(f"at sync {syncs}")
    fsync(handle)
    if is_journal(handle):
        note(handle, os.fstat(handle).st_size)


CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "subprocess.Popen")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def halting_change(event: str, words: tuple[Any, ...]) -> None:
    """A hook for Python's audit events. What has no whole path is named within a folder that was opened before."""
    global changes
    if event == "open":
        if not isinstance(words[2], int) or not words[2] & WRITING:
            return
    elif event not in CHANGES:
        return
    name = os.fsdecode(words[0]) if isinstance(words[0], (str, bytes)) else ""
    if event == "subprocess.Popen":
        if not name.endswith("crontab"):
            return
    elif name.startswith("/") and "/.deploy" not in name and "/.local" not in name:
        return
    changes += 1
    halt(f"at change {changes}")


def move_clock(seconds: float) -> None:
    """Let this process take it to be so much later than it is. No process has a clock of its own; Python's can be."""

    class Moved(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Moved:
            return cls.fromtimestamp(now() + seconds, tz)

    datetime.datetime = Moved  # type: ignore[misc]
    time.time = lambda: now() + seconds
    time.gmtime = lambda at=None: gmtime(time.time() if at is None else at)
    time.localtime = lambda at=None: localtime(time.time() if at is None else at)
    time.strftime = lambda form, at=None: strftime(form, time.localtime() if at is None else at)


def take_over() -> None:
    os.write, os.fsync = halting_write, halting_fsync  # type: ignore[assignment]
    if (HERE / "at").read_text().startswith("at change"):
        sys.addaudithook(halting_change)
    seconds = float((HERE / "clock").read_text())
    if seconds:
        move_clock(seconds)


if sys.argv[1:3] == ["-IS", "-c"] and len(sys.argv) == 4:
    take_over()
    exec(sys.argv[3], {"__name__": "__main__"})  # noqa: S102
elif sys.argv[1:2] == ["-IS"] and sys.argv[2:] and sys.argv[2].endswith("/check.pyz"):
    take_over()
    del sys.argv[:2]
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    os.execv("/usr/bin/python3", ["python3", *sys.argv[1:]])  # noqa: S606
