"""A few rounds with somebody evil, and a short day; a hundred rounds and two long days are in `make faults`."""

from __future__ import annotations

from random import Random

import pytest

from tests.faults import day, evil
from tests.faults.servers import Case
from tests.faults.story import Stage, leave

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # a case is many commands

HOME = 1  # a seed for which the link leads to a file of the login's own
ROUNDS = (
    evil.consumer("exchanged with a link", "config.yaml", evil.CHANGES[0], seed=HOME),
    evil.consumer("other content at every read", "offset.yaml", evil.ROUND),
)


@pytest.mark.parametrize("case", ROUNDS, ids=lambda case: case.name)
def test_an_evil_neighbour_gets_nothing_and_keeps_nobody_waiting(stage: Stage, case: Case) -> None:
    leave(stage)
    assert case.play(stage).wrong == ()


def test_in_a_short_day_nothing_is_lost_and_nobody_is_left_untold(stage: Stage) -> None:
    acts = iter((day.without_channel,))
    wrong, _ = day.live(stage, Random(1), lambda lived: next(acts, None))  # noqa: S311  acts, not secrets
    assert wrong == []
