"""What people do at the wrong moment: Ctrl-C at every point of a deploy, and two laptops at the same instant."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.faults.interrupts import SPOKEN, press
from tests.faults.kept import Outcome
from tests.faults.matrix import MOST
from tests.faults.rivals import one_round
from tests.faults.servers import Case, Track
from tests.faults.shim import WHENS, Point
from tests.faults.story import Stage

ROUNDS = 20
RIVALS, CTRL_C = "two laptops deploy at the same instant", "Ctrl-C at a point of a deploy"


def tracks(seed: int) -> list[Track]:
    spoken = Track([_interrupt(point) for point in SPOKEN])
    points = [Track([_interrupt(Point(when, number)) for number in range(1, MOST)], endless=True) for when in WHENS]
    return [spoken, *points, Track([_rivals(number) for number in range(ROUNDS)])]


def _interrupt(point: Point | str) -> Case:
    """One answer each, and what the server then does is what the answer said."""

    def played(stage: Stage) -> Outcome:
        pressed = press(stage, point)
        return Outcome(str(point), CTRL_C, pressed.wrong, pressed.came)

    return Case(f"Ctrl-C, {point}", CTRL_C, played)


def _rivals(number: int) -> Case:
    """One wins, and the other is told by whom."""

    def played(stage: Stage) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            return Outcome(RIVALS, RIVALS, tuple(one_round(stage, Path(folder), number)))

    return Case(f"two laptops, round {number + 1}", RIVALS, played)
