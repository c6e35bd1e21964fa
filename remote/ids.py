"""The ids of runs that begin on the server itself."""

from __future__ import annotations

import os
import time

from remote import journal as journals
from remote.store import Store


def new_id(store: Store) -> str:
    """The time and four random digits, as every run has them; behind the last one of this very second."""
    digits, last = os.urandom(2).hex(), journals.last(store)
    run = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{digits}"
    return max(run, f"{last.id}-{digits}") if last else run
