"""The state moves out of an older version's folder: a case of each kind, all others are in `make faults`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.deploy.laptop import new_laptop
from tests.faults import moving
from tests.faults.servers import Case
from tests.faults.shim import CHANGE, Point

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # a case is many commands

# A move without runs to copy: makes its folder, takes the old check out, copies, exchanges, cleans up.
CASES = (
    moving.case_of("killed", Point(CHANGE, 5)),
    moving.case_of("killed", Point(CHANGE, 78)),  # in force, and neither cleaned up nor known to cron
    moving.case_of("killed, then a round", Point(CHANGE, 60)),
    moving.case_of("met by a round", Point(CHANGE, 20)),
    moving.case_of("met by the older version", Point(CHANGE, 40)),
)


@pytest.fixture(scope="module")
def scene(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[moving.Scene]:
    laptop = new_laptop(Path(tmp_path_factory.mktemp("laptop")), sandbox)
    with moving.made(laptop, Path(tmp_path_factory.mktemp("older"))) as scene:
        moving.prepare(scene)
        yield scene


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_move_that_is_cut_off_or_met_ends_in_one_folder_with_all_of_it(scene: moving.Scene, case: Case) -> None:
    outcome = case.play(scene)
    assert outcome.came, "it never came to that"
    assert outcome.wrong == ()
