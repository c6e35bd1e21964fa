"""A verb for the tests: does on the server what the request says, good or bad."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_runbook.protocol.errors import Refusal

Emit = Callable[[dict[str, Any]], None]


def answer(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    result: dict[str, Any] = DO[request["do"]](request, emit)
    return result


def do_count(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    for number in range(request["to"]):
        emit({"number": number})
    return {"counted": request["to"]}


def do_sleep(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    emit({"pid": os.getpid()})
    time.sleep(request["seconds"])
    return {}


def do_family(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """One child that nobody looks after, and one in a session of its own that is ended on the way out."""
    left = subprocess.Popen(["sleep", "300"])
    kept = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        emit({"pids": [os.getpid(), left.pid, kept.pid]})
        time.sleep(300)
    finally:
        kept.kill()
        kept.wait()
    return {}


def do_cling(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Go on whatever happens, as a verb would that waits for what cannot be interrupted."""
    emit({"pids": [os.getpid()]})
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(300)


def do_talk(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Go on telling until nobody listens."""
    emit({"pids": [os.getpid()]})
    while True:
        emit({"more": "x" * 1000})


def do_detach(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    return {"pid": child.pid, "open": [str(Path(f"/proc/{child.pid}/fd/{fd}").readlink()) for fd in (0, 1, 2)]}


def do_print(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    print('\x1e{"answer": {"forged": true}}', flush=True)
    print("to standard error", file=sys.stderr, flush=True)
    subprocess.run(["echo", "from a child"], check=True)
    return {"said": True}


def do_refuse(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    raise Refusal("the lock is held", "wait for it", request["kind"])


def do_crash(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    raise ValueError("this text may quote " + request["secret"])


def do_unspeakable(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    return {"bytes": b"are no JSON"}


def do_vanish(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    emit({"last": "words"})
    os._exit(3)


DO = {
    "count": do_count,
    "sleep": do_sleep,
    "family": do_family,
    "cling": do_cling,
    "talk": do_talk,
    "detach": do_detach,
    "print": do_print,
    "refuse": do_refuse,
    "crash": do_crash,
    "unspeakable": do_unspeakable,
    "vanish": do_vanish,
}
