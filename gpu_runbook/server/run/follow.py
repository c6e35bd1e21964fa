"""The journal of a run, line by line, while it is being written."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict

from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store

PAUSE = 0.05  # seconds between two looks at the file
Emit = Callable[[Dict[str, Any]], None]


def follow(store: Store, run: str, emit: Emit) -> Dict[str, Any]:
    """Emit every line as {"event": "journal", "line": …} until the run has ended or its process is gone."""
    path = store.journal(run)
    with open(path, "rb") as file:
        torn, why = b"", ""
        while True:
            living = journals.alive(path)  # asked before reading: what a dying run wrote last is still read
            for raw in file.read().splitlines(keepends=True):
                torn += raw
                if not torn.endswith(b"\n"):
                    break
                line, torn = journals.parse(torn), b""
                if line is None:
                    continue
                emit({"event": "journal", "line": line})
                why = line.get("why", why)
                if line["event"] == "end":
                    return {"run": run, "end": line}
            if not living:
                return {"run": run, "end": None, "why": why}
            time.sleep(PAUSE)
