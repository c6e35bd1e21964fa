"""The ids of runs and releases: new ones for runs that begin on the server itself, and the form that all have."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from remote import journal as journals
from remote.store import Store

# One more part with each run that began while the newest one lay ahead of the clock.
_RELEASE = re.compile(r"(adopted-)?\d{8}-\d{6}(-[0-9a-f]{4}){1,46}", re.ASCII)


def new_id(store: Store) -> str:
    """The time and four random digits, as every run has them; behind the last one of this very second."""
    digits, last = os.urandom(2).hex(), journals.last(store)
    run = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{digits}"
    return max(run, f"{last.id}-{digits}") if last else run


def is_release(text: Any) -> bool:
    """Whether it has the form of a release's id: what a label says must have it, to become a part of a path."""
    return isinstance(text, str) and _RELEASE.fullmatch(text) is not None
