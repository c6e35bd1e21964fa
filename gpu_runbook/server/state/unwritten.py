"""A journal for what is done although nothing can be written down: what it is told is lost."""

from __future__ import annotations

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import Begin, JournalEvent
from gpu_runbook.server.state.journal import Journal


class Unkept(Journal):
    """`why`: what keeps it from being written, as a sentence."""

    def __init__(self, why: str) -> None:
        self.why = why

    def write(self, event: JournalEvent, sync: bool = True) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to close."""


def begun(path: str, event: Begin) -> Journal:
    """The journal of a run with its first line, or one that keeps nothing where none can be written."""
    try:
        journal = Journal(path)
        journal.begin(event)
        return journal
    except Refusal as refusal:
        return Unkept(refusal.message.partition(";")[0])
