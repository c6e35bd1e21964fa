"""Ctrl-C is heard while something can still be decided, and not while what has been decided is only told."""

from __future__ import annotations

import signal
from types import FrameType

heard = True  # whether Ctrl-C is a KeyboardInterrupt; a plain assignment, between which and its cause nothing can come
_missed = False  # whether it was pressed while it was not heard


def listen() -> None:
    """From here on Ctrl-C does what `heard` says, and it is heard."""
    global heard, _missed
    heard, _missed = True, False
    signal.signal(signal.SIGINT, _pressed)


def hear() -> None:
    """There is something to decide again. Raises KeyboardInterrupt for what was pressed while there was not."""
    global heard, _missed
    heard = True
    if _missed:
        _missed = False
        raise KeyboardInterrupt


def end() -> None:
    """All is said: not even the interpreter's own way out may change how it ended."""
    global heard
    heard = False
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _pressed(number: int, frame: FrameType | None) -> None:
    global _missed
    _missed = not heard
    if heard:
        raise KeyboardInterrupt
