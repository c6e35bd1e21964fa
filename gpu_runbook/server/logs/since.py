"""Reads the log files of a container that was started a while ago: from where they ended at that time."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from gpu_runbook.protocol.journal import Restarted, Swapped, told
from gpu_runbook.protocol.logs import FilePosition, LogRules
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.logs.reading import Reading
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store


def positions(store: Store, container: str) -> Optional[Tuple[FilePosition, ...]]:
    """How far the files went when a run has put or started a container there last, None where no journal says."""
    for run in reversed(journals.runs(store)):
        for one in reversed(told(journals.read(store.journal(run)), Swapped, Restarted)):
            if one.container == container:
                return one.files
    return None


def read(
    engine: Engine, store: Store, container: str, rules: LogRules, failure_text: Sequence[str]
) -> Tuple[Reading, str]:
    """What a container has logged beside docker's log, and what is to be said of it: that it is silent, or not known.

    `container`: its id. Where no journal says how far the files went, what is in them may be another's, and is left.
    """
    known = positions(store, container) if rules.files else ()
    if known is None:
        alone = LogRules((), rules.level, rules.level_key, rules.message_key)
        said = "which lines of its log files are its own is known from the next deploy or restart on"
        return Reading(alone, failure_text, engine.covered), said
    reading = Reading(rules, failure_text, engine.covered, known)
    reading.look(tail=True)
    return reading, reading.unread or reading.remark()
