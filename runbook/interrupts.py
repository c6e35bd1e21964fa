"""Ctrl-C is heard while something can still be decided, and not while what has been decided is only told."""

from __future__ import annotations

import signal
from types import FrameType

heard = True  # whether Ctrl-C is a KeyboardInterrupt; a plain assignment, between which and its cause nothing can come


def listen() -> None:
    """From here on Ctrl-C does what `heard` says."""
    signal.signal(signal.SIGINT, _pressed)


def _pressed(number: int, frame: FrameType | None) -> None:
    if heard:
        raise KeyboardInterrupt
