"""One death of each kind, each at another point: the rest of the matrix is `make faults`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.deploy.laptop import new_laptop
from tests.faults import shim
from tests.faults.deaths import DEATHS
from tests.faults.shim import Point
from tests.faults.story import Stage, new_server, play

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("faults")]  # one server for all of them

# The calls of a deploy: create, update, rename, rename, stop, start, update.
CASES = [
    ("deploy", Point("before", 6), "laptop"),
    ("deploy", Point("after", 1), "reset"),
    ("deploy", Point("before", 5), "black hole"),
    ("deploy", Point("after", 3), "process"),
    ("deploy", Point("after", 5), "process and children"),
    ("deploy", Point("before", 6), "engine"),
    ("deploy", Point("after", 6), "reboot"),
    ("rollback", Point("after", 4), "process and children"),
    ("deploy", Point("at line", 9), "process"),
    ("first deploy", Point("before", 3), "process"),
]


@pytest.fixture(scope="module")
def stage(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for all cases: each has to leave it whole for the next."""
    stage = Stage(new_laptop(Path(tmp_path_factory.mktemp("laptop")), sandbox))
    new_server(stage)
    stage.laptop.deployed("--tag", stage.next_tag())
    yield stage
    shim.remove(sandbox)


@pytest.mark.parametrize(("action", "point", "death"), CASES, ids=lambda value: str(value))
def test_whatever_dies_the_server_ends_in_one_piece(stage: Stage, action: str, point: Point, death: str) -> None:
    played = play(stage, action, point, DEATHS[death])
    assert played.came, "the run never came to that point"
    assert played.wrong == ()
