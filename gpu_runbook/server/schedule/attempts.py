"""What of a round fails by itself: it is noted in a sentence, and keeps the round from nothing else."""

from __future__ import annotations

from typing import Callable, List, TypeVar

from gpu_runbook.common.failure import failure
from gpu_runbook.protocol.check import CRITICAL, Check

NAME = "scheduled check"
HINT = "see df, df -i and dmesg on the server; fab schedule.show tells whether the next round fares better"

T = TypeVar("T")


class Attempts:
    """The parts of one round, and what became of those that failed."""

    def __init__(self) -> None:
        self.failed: List[str] = []

    def make(self, what: str, part: Callable[[], T], otherwise: T) -> T:
        """What a part gives; `otherwise` where it raises, whatever that is. `what`: its name, as a person knows it."""
        try:
            return part()
        except Exception as error:  # the rest of the round is worth having, and is told that this is missing
            self.note(what, error)
            return otherwise

    def note(self, what: str, error: Exception) -> str:
        """Note that a part has failed; why, without the text of what may quote a secret."""
        why = str(failure(error)["message"])
        self.failed.append(f"{what}: {why}")
        return why

    def rows(self) -> List[Check]:
        """The row that says so, none for a round that is whole."""
        return [row("; ".join(self.failed))] if self.failed else []


def row(why: str) -> Check:
    return Check(NAME, CRITICAL, f"a round failed in part: {why}", hint=HINT)
