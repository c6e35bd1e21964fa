"""Ctrl-C at a few steps of a deploy, one of each kind: every other one is pressed in `make faults`."""

from __future__ import annotations

import pytest

from tests.faults.interrupts import press
from tests.faults.shim import Point
from tests.faults.story import Stage

pytestmark = pytest.mark.real

CANCELLED = "cancelled, nothing changed"
TOO_LATE = "gpu-1: too late: run "

# The calls of a deploy: create, and from here on it is too late: update, rename, rename, stop, start, update.
CASES = (
    ("deploy under way", CANCELLED),
    (Point("before", 1), CANCELLED),
    (Point("before", 2), TOO_LATE),
    (Point("after", 5), TOO_LATE),
    (Point("at line", 14), TOO_LATE),
)


def test_ctrl_c_has_one_answer_at_every_step_and_it_is_true(stage: Stage) -> None:
    pressed = [press(stage, point) for point, _ in CASES]
    assert [one.point for one in pressed if not one.came] == []
    assert [(one.point, one.wrong) for one in pressed if one.wrong] == []
    told = [answer in one.answer for one, (_, answer) in zip(pressed, CASES, strict=True)]
    assert all(told), [one.answer for one in pressed]


def test_a_second_ctrl_c_while_the_first_waits_for_its_answer_claims_nothing(stage: Stage) -> None:
    pressed = press(stage, Point("before", 1), times=2)  # the cancelled run is halted, and so is the answer
    assert (pressed.came, pressed.wrong) == (True, ())
    assert "you left before the answer" in pressed.answer
