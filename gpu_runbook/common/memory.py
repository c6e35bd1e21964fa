"""Bounds the memory of a process that reads what others have written, and never that of a program it starts."""

from __future__ import annotations

import contextlib
import threading
from typing import Iterator, Optional, Tuple

try:
    import resource
except ImportError:  # a minimal Python has none: there every reader's own bound has to do
    resource = None  # type: ignore[assignment]

LIMIT = 4 << 30  # bytes of addresses: the stacks and arenas of some forty threads take most of them, and no memory

_lock = threading.Lock()
_before: Optional[Tuple[int, int]] = None


def bound() -> None:
    """Let this process have LIMIT bytes of addresses, or what it may have already where that is less."""
    global _before
    with _lock:
        if resource and _before is None:
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            if soft == resource.RLIM_INFINITY or soft > LIMIT:
                resource.setrlimit(resource.RLIMIT_AS, (LIMIT, hard))
                _before = soft, hard


@contextlib.contextmanager
def given_back() -> Iterator[None]:
    """While a program is started: it has the limits that this process came with, as docker takes 800 MB of addresses.

    The limit is lifted here and not in the child, where Python code between fork and exec is not safe beside threads,
    nor from outside by prlimit, which comes too late for what a program does first. Popen returns after the exec, so
    that for a few milliseconds this process itself is not bound; of several threads one starts a program at a time.
    """
    with _lock:
        if _before is None:
            yield
            return
        resource.setrlimit(resource.RLIMIT_AS, _before)
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (LIMIT, _before[1]))
