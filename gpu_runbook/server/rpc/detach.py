"""A process of its own on the server, which no dropped connection can end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import Any, Callable, Dict

from gpu_runbook.common.failure import failure
from gpu_runbook.protocol.errors import Refusal

KILLED = ("the process that was to do it was killed", "see fab status", "person")

Say = Callable[[Dict[str, Any]], None]


def detached(life: Callable[[Say], None]) -> Dict[str, Any]:
    """Let `life` go on outside the connection's session, and give the first thing that it says, JSON types alone.

    It may go on after that. A Refusal that ends it before is raised here, and so is a defect.
    """
    with os.fdopen(_begun(life), "rb") as pipe:
        return _heard(pipe.readline())


def followed(life: Callable[[Say], None], emit: Say) -> Dict[str, Any]:
    """As `detached`, with what it says of its progress, which has an `event` in it, emitted."""
    with os.fdopen(_begun(life), "rb") as pipe:
        while True:
            said = _heard(pipe.readline())
            if "event" not in said:
                return said
            emit(said)


def _begun(life: Callable[[Say], None]) -> int:
    """A descriptor from which all that it says is read."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        _leave(writer)
        _live(life, writer)
    os.close(writer)
    os.wait()
    return reader


def _heard(line: bytes) -> Dict[str, Any]:
    said: Dict[str, Any] = json.loads(line or json.dumps({"refusal": KILLED}))
    if "refusal" in said:
        raise Refusal(*said["refusal"])
    return said


def _leave(writer: int) -> None:
    """Leave the session, and every descriptor but `writer`; only the grandchild goes on."""
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.closerange(3, writer)
    os.closerange(writer + 1, min(os.sysconf("SC_OPEN_MAX"), 65536))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")


def _live(life: Callable[[Say], None], writer: int) -> None:
    """The whole life of the detached process: never returns."""

    def say(said: Dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more: that is what it is detached for
            os.write(writer, json.dumps(said).encode() + b"\n")

    try:
        life(say)
    except Exception as error:
        failed = failure(error)
        say({"refusal": [failed[part] for part in ("message", "hint", "kind")]})
    finally:
        os._exit(0)
