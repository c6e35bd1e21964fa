"""One run at a time: a flock that lives exactly as long as the run's process and the children that change something."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import Any, Dict, Optional

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import NAME, one_line
from gpu_runbook.protocol.forms import RunId, kept
from gpu_runbook.server.state.journal import runs, state
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files

PATIENCE = 1.0  # seconds: whoever only looks holds the lock for a moment


class Held(Refusal):
    """Somebody else holds the lock."""


def acquire(store: Store, holder: Dict[str, Any], patience: Optional[float] = None) -> int:
    """Take the lock and write `holder` into it; give the descriptor that keeps it. Raises Held naming the holder.

    It holds on a disk that takes nothing, too. Raises Refusal where it cannot be had at all.
    """
    handle = _opened(store)
    until = time.monotonic() + (PATIENCE if patience is None else patience)
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(handle)
                raise _held(store) from None
            time.sleep(0.05)
        except OSError as error:
            os.close(handle)
            raise _unopened(store, error) from error
    if not _is_in_place(store, handle):
        os.close(handle)
        raise _moved(store)
    with contextlib.suppress(OSError):  # a full disk: the lock is held all the same, only nobody learns by whom
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({**holder, "up": str(up())}).encode(), 0)
    return handle


def up() -> float:
    """Seconds since this server started: a clock that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def holder(store: Store) -> Optional[Dict[str, Any]]:
    """Who holds the lock now, None when it is free; empty when the holder has not said yet."""
    said = files.held(store.lock)
    return None if said is None else _said(said)


def _opened(store: Store) -> int:
    """The lock's file; a link or a pipe in its place is somebody else's."""
    try:
        return files.open_lock(store.lock, os.O_CREAT)
    except (FileNotFoundError, NotADirectoryError):
        raise _moved(store) from None
    except OSError as error:
        raise _unopened(store, error) from error


def _is_in_place(store: Store, handle: int) -> bool:
    """Whether whoever comes next would take this very lock: the folder may have been moved while we waited."""
    try:
        found = os.lstat(store.lock)
    except OSError:
        return False
    held = os.fstat(handle)
    return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


def _unopened(store: Store, error: OSError) -> Refusal:
    return Refusal(f"{store.lock} cannot be opened: {error.strerror}; nothing was changed", files.SEE)


def _moved(store: Store) -> Refusal:
    return Refusal(f"the state was moved away from {store.folder} meanwhile; nothing was changed", "run it again")


def _said(data: bytes) -> Dict[str, Any]:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    texts = said.items() if isinstance(said, dict) else ()
    return {key: one_line(text, NAME) for key, text in texts if isinstance(text, str)}


def _held(store: Store) -> Held:
    said = holder(store) or {}
    run, action = kept(RunId, said.get("run")), said.get("action", "a run")
    step = state(store, run).step if run in runs(store) else ""
    return Held(
        f"{said.get('who', 'somebody')} holds the lock of this server since {said.get('since', 'just now')}: "
        + (f"{action} {run} is at step {step or 'begin'}" if run else action),
        f"wait for it, or watch it: fab follow --run {run}" if run else "wait for it",
    )
