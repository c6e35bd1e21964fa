"""How a server is checked while nobody looks: what the laptop leaves there, as frozen values that travel as JSON."""

from __future__ import annotations

import os

from gpu_runbook.server.state.store import Store

PROGRAM, SETTINGS, STATE, HISTORY, LOCK = "check.pyz", "settings.json", "state.json", "history.jsonl", "lock"
KEPT = (  # of the environment of the login that installs
    *("PATH", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *(name for proxy in ("http_proxy", "https_proxy", "no_proxy", "all_proxy") for name in (proxy, proxy.upper())),
)


def place(store: Store, file: str) -> str:
    """Where a file of the scheduled check lies."""
    return os.path.join(store.folder, "health", file)
