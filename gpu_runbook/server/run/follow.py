"""The journal of a run, line by line, while it is being written."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import End, Unfinished, Unrecorded, told
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store

PAUSE = 0.05  # seconds between two looks at the file
Emit = Callable[[Dict[str, Any]], None]


def follow(store: Store, run: str, emit: Emit) -> Dict[str, Any]:
    """Emit every line as {"event": "journal", "line": …} until the run has ended or its process is gone.

    Raises Refusal for one that was refused where its end could not be written.
    """
    path = store.journal(run)
    with open(path, "rb") as file:
        torn, why = b"", ""
        while True:
            living = journals.alive(path)  # asked before reading: what a dying run wrote last is still read
            *whole, torn = (torn + file.read()).split(b"\n")
            for line in filter(None, map(journals.parse, whole)):
                emit({"event": "journal", "line": line.written})
                for unended in told([line], Unfinished, Unrecorded):
                    why = unended.why
                if line.word == End.word:
                    return {"run": run, "end": line.written}
            if not living:
                if not os.path.exists(path):
                    said = f"run {run} was refused, and why could not be written down; nothing was changed"
                    raise Refusal(said, "fab prune makes room")
                return {"run": run, "end": None, "why": why}
            time.sleep(PAUSE)
