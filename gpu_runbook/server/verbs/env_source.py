"""Verb: reads the file on this server that its variables come from, if nobody but its owner can."""

from __future__ import annotations

import base64
import os
import stat
from typing import Any, Callable, Dict

from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.requests import EnvSourceRequest

LIMIT = 1 << 20  # bytes
INPUT = "input"  # the kind of a file that is none, where the others are of one that is not to be trusted
ALONE = "let root or this login own it, with mode 0600"


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: an EnvSourceRequest. The answer has its `content`, in base64: it may hold any character.

    Raises Refusal, of kind input for a file that is not there, too long, or none.
    """
    path = decode(EnvSourceRequest, request, "request").path
    real = os.path.realpath(path)
    if real != os.path.normpath(path):
        raise Refusal(f"{path} is a link or lies behind one, which leads to {named(real)}", "name that in hosts.yaml")
    try:
        at = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _check(path, os.fstat(at))
            # The very file that was looked at; what is none was not opened, since that may wait or do something.
            handle = os.open(f"/proc/self/fd/{at}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            os.close(at)
        with os.fdopen(handle, "rb") as file:
            data = file.read(LIMIT + 1)
    except FileNotFoundError:
        raise Refusal(f"{path} does not exist", f"put it there: {ALONE}", INPUT) from None
    except OSError as error:
        raise Refusal(f"{path} cannot be read by this login: {error.strerror}", f"{ALONE}; or sudo: true") from error
    if len(data) > LIMIT:
        raise Refusal(f"{path} is larger than {LIMIT >> 20} MiB", "check that this is the right file", INPUT)
    return {"content": base64.b64encode(data).decode()}


def _check(path: str, state: os.stat_result) -> None:
    """Raise Refusal for what is no file, and for one that somebody else owns, reads or writes."""
    if not stat.S_ISREG(state.st_mode):
        what = "a folder" if stat.S_ISDIR(state.st_mode) else "no regular file"
        raise Refusal(f"{path} is {what}", "name the file itself in hosts.yaml", INPUT)
    login = os.environ.get("SUDO_UID", "")  # who came by sudo is the login as much as root is
    if str(state.st_uid) not in ("0", str(os.geteuid()), login):
        raise Refusal(f"{path} belongs to user {state.st_uid}, who is neither root nor this login", ALONE)
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o077:
        raise Refusal(f"{path} is not for its owner alone (mode {mode:04o})", f"chmod 600 {path}")
