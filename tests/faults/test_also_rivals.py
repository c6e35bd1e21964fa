"""Two laptops at the same instant: three rounds here, twenty in `make faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.rivals import one_round
from tests.faults.story import Stage

pytestmark = pytest.mark.real


@pytest.mark.parametrize("number", [0, 1, 2])
def test_of_two_laptops_at_the_same_instant_one_wins_and_the_other_is_told_by_whom(
    stage: Stage, tmp_path: Path, number: int
) -> None:
    assert one_round(stage, tmp_path, number) == []
