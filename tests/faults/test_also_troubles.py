"""Two deaths in one run, a helper that dies, an engine that is away: a case each, all others are in `make faults`."""

from __future__ import annotations

import pytest

from tests.faults import away, clock, disk, matrix, twice
from tests.faults.deaths import DEATHS
from tests.faults.helpers import ROUND
from tests.faults.servers import Case
from tests.faults.shim import Point
from tests.faults.story import Stage, make_ready

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # a case is many commands

# The calls of a deploy: create, update, rename, rename, stop, start, update.
BETWEEN_STOP_AND_START = Point("after", 5)
CASES = (
    twice.case_of(
        twice.TwoDeaths,
        *("deploy", (Point("before", 4), DEATHS["laptop"]), (Point("after", 2), DEATHS["process"])),
    ),
    twice.case_of(
        twice.HelperDies,
        *("deploy", (BETWEEN_STOP_AND_START, DEATHS["process and children"]), (Point("at line", 1), DEATHS["process"])),
        helper=ROUND,
    ),
    matrix.case_of("deploy", Point("before", 5), matrix.ALL["engine absent"]),
    matrix.case_of("deploy", Point("before", 6), matrix.ALL["containerd absent"]),
    away.impatient(matrix.case_of("deploy", Point("after", 5), matrix.ALL["engine away"])),
    clock.story("deployed then, rolled back now", "a year ahead"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whatever_else_goes_wrong_the_server_ends_in_one_piece(stage: Stage, case: Case) -> None:
    make_ready(stage, disk.PLAIN)
    outcome = case.play(stage)
    assert outcome.came, "it never came to that"
    assert outcome.wrong == ()
