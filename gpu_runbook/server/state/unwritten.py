"""A journal for what is done although nothing can be written down: what it is told is lost."""

from __future__ import annotations

from typing import Any

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.state.journal import Journal


class Unkept(Journal):
    """`why`: what keeps it from being written, as a sentence."""

    def __init__(self, why: str) -> None:
        self.why = why

    def write(self, event: str, sync: bool = True, **fields: Any) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to close."""


def begun(path: str, **line: Any) -> Journal:
    """The journal of a run with its first line, or one that keeps nothing where none can be written."""
    try:
        journal = Journal(path)
        journal.begin(**line)
        return journal
    except Refusal as refusal:
        return Unkept(refusal.message.partition(";")[0])
