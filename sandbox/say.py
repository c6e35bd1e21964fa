"""How the sandbox tells what it is doing."""

from __future__ import annotations

import time
from collections.abc import Callable

Say = Callable[[str], None]


def plain(text: str) -> None:
    print(text, flush=True)


def with_time() -> Say:
    """Lines that start with the seconds since now."""
    started = time.monotonic()
    return lambda text: plain(f"{time.monotonic() - started:5.1f} s  {text}")
