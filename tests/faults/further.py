"""What `make faults` tries beside deaths: two laptops at the same instant, and Ctrl-C at every point of a deploy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.interrupts import interrupts
from tests.faults.rivals import rounds
from tests.faults.story import Stage

ROUNDS = 20


@dataclass(frozen=True)
class Tried:
    """`cases` of something, and a sentence for each thing that was wrong."""

    what: str
    cases: int
    wrong: tuple[str, ...]


def two_laptops(stage: Stage) -> Tried:
    """One wins, and the other is told by whom."""
    with tempfile.TemporaryDirectory() as folder:
        wrong = rounds(stage, Path(folder), ROUNDS)
    return Tried("two laptops deploy at the same instant", ROUNDS, tuple(wrong))


def interrupted(stage: Stage) -> Tried:
    """One answer each, and what the server then does is what the answer said."""
    pressed = [one for one in interrupts(stage) if one.came]
    wrong = [f"{one.point}: {sentence}" for one in pressed for sentence in one.wrong]
    return Tried("Ctrl-C at a point of a deploy", len(pressed), tuple(wrong))


FURTHER: tuple[Callable[[Stage], Tried], ...] = (interrupted, two_laptops)
