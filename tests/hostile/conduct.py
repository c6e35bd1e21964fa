"""How code behaves that meets bad input: it says one thing, shows nothing it should not, and touches nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpu_runbook.laptop.errors import RunbookError
from gpu_runbook.laptop.sanitize import clean

LONGEST_LINE = 1000  # characters of one line of an error
MOST_LINES = 60

_EFFECTS = (
    *("socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen"),
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.kill"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate"),
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_watched: dict[int, list[str]] = {}  # thread -> what it has done


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    done = _watched.get(threading.get_ident())
    if done is None:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITING and "__pycache__" not in str(path):
            done.append(f"open {path} for writing")
    elif event in _EFFECTS:
        done.append(f"{event} {arguments}")


sys.addaudithook(_hook)  # the interpreter's own report: nothing that Python does passes it by


@contextmanager
def nothing_done() -> Iterator[None]:
    """Within it this thread opens no connection, starts no program and changes no file."""
    done = _watched[threading.get_ident()] = []
    try:
        yield
    finally:
        del _watched[threading.get_ident()]
    assert not done, f"bad input had effects: {done}"


def well_said(error: RunbookError) -> None:
    """An error that a person can read: a few short lines, no traceback, nothing that steers a terminal."""
    for text in (error.message, error.hint):
        assert text == clean(text), f"control characters in {text!r}"
        assert "Traceback" not in text
        assert "Input should" not in text, f"not our own words: {text}"
        lines = text.split("\n")
        assert len(lines) <= MOST_LINES and max(map(len, lines)) <= LONGEST_LINE, f"too long: {text[:2000]!r}"
    assert error.message.strip()
