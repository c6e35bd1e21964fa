"""The files of the scheduled check: where each lies, and the lock that keeps its rounds apart."""

from __future__ import annotations

import fcntl
import os
import time

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files

PROGRAM, SETTINGS, STATE, HISTORY, LOCK = "check.pyz", "settings.json", "state.json", "history.jsonl", "lock"
KEPT = (  # of the environment of the login that installs
    *("PATH", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *(name for proxy in ("http_proxy", "https_proxy", "no_proxy", "all_proxy") for name in (proxy, proxy.upper())),
)


def place(store: Store, file: str) -> str:
    """Where a file of the scheduled check lies."""
    return os.path.join(store.folder, "health", file)


def keep_rounds_away(store: Store, patience: float) -> None:
    """No round begins for as long as this process lives; one that is under way comes to its end first.

    It would write its state anew. Raises Refusal when it has not ended after `patience` seconds.
    """
    try:
        handle = _opened(place(store, LOCK))
    except FileNotFoundError:
        return
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise Refusal("a round of the check does not come to its end", "see ps on the server") from None
            time.sleep(0.1)


def _opened(path: str) -> int:
    """The lock. Raises FileNotFoundError, and Refusal where it cannot be had."""
    try:
        return files.open_lock(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise files.refusal(path, "opened", error) from error
