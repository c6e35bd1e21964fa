"""A few cases of each death and of each kind of run: the rest of the matrix is `make faults`."""

from __future__ import annotations

import pytest

from tests.faults.deaths import DEATHS
from tests.faults.shim import Point
from tests.faults.story import Stage, make_ready, play

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("faults")]  # one server for all of them

# The calls of a deploy: create, update, rename, rename, stop, start, update. A rollback creates nothing.
CASES = [
    ("deploy", Point("before", 6), "laptop"),
    ("deploy", Point("at line", 1), "reset"),
    ("rollback", Point("before", 4), "black hole"),
    ("deploy", Point("after", 3), "process"),
    ("deploy", Point("at line", 9), "process"),
    ("deploy", Point("after", 5), "process and children"),
    ("rollback", Point("at line", 5), "process and children"),
    ("deploy", Point("before", 6), "engine"),
    ("deploy", Point("after", 6), "reboot"),
    ("first deploy", Point("before", 3), "process"),
    ("deploy", Point("after", 5), "disk full"),
    ("rollback", Point("before", 1), "disk stays full"),
    ("deploy", Point("at line", 1), "disk stays full"),
]


@pytest.mark.parametrize(("action", "point", "death"), CASES, ids=lambda value: str(value))
def test_whatever_dies_the_server_ends_in_one_piece(stage: Stage, action: str, point: Point, death: str) -> None:
    make_ready(stage, DEATHS[death].fills_disk)
    played = play(stage, action, point, DEATHS[death])
    assert played.came, "the run never came to that point"
    assert played.wrong == ()
