"""What ends with a process that is cut off, where that process is the one of the tests."""

from __future__ import annotations

import contextlib
import os


def let_go() -> None:
    """Its locks: those of the server and of its journals."""
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - it is done thousands of times
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}").partition(" ")[0].endswith(("/lock", ".jsonl")):  # noqa: PTH115
                os.close(int(number))
