"""Two laptops at the same instant: three rounds here, twenty in `make faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.rivals import rounds
from tests.faults.story import Stage

pytestmark = pytest.mark.real


def test_of_two_laptops_at_the_same_instant_one_wins_and_the_other_is_told_by_whom(
    stage: Stage, tmp_path: Path
) -> None:
    assert rounds(stage, tmp_path, 3) == []
