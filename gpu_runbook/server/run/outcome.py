"""How a run ends, and the decision before which it changes nothing."""

from __future__ import annotations

import contextlib
import os

DONE, REFUSED = "done", "refused"
ROLLED_BACK, NEEDS_PERSON, CANCELLED = "rolled-back", "needs-person", "cancelled"


def claim(path: str, decision: str) -> bool:
    """Decide once and for all whether a run goes or is cancelled: whoever creates the file first."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    except OSError:  # a file system that takes no more: it takes nobody else's decision either
        return True
    with contextlib.suppress(OSError):  # what it says is for people; that it is there decides
        os.write(handle, decision.encode())
    os.close(handle)
    return True
