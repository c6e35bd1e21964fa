"""An offset from round to round: what advances, stands still, went back, or cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.server.schedule.standstill import Standstill, judge

EVERY, STALE = 300.0, 1800.0


def seen(offset: int, backlog: int) -> Check:
    """The row as one look makes it: a standstill within seconds is a warning there."""
    return Check(
        "offset advancing", WARNING if backlog else OK, "as seen", {"offset": offset, "backlog": backlog}, "see"
    )


def night(*rounds: tuple[int, int], step: float = EVERY) -> list[str]:
    """The levels of rounds that see (offset, backlog)."""
    known: Standstill | None = None
    levels = []
    for offset, backlog in rounds:
        check, known = judge(seen(offset, backlog), known, step, STALE)
        levels.append(check.level)
    return levels


def test_no_backlog_is_ok_moved_or_not() -> None:
    assert night(*[(5, 0)] * 20) == [OK] * 20


def test_a_backlog_that_moves_is_ok_however_slowly() -> None:
    assert night(*[(number, 900) for number in range(20)]) == [OK] * 20


def test_a_backlog_that_stands_still_is_critical_after_the_stale_time_and_not_before() -> None:
    assert night(*[(5, 900)] * 8) == [OK] * 6 + [CRITICAL] * 2


def test_the_time_begins_when_messages_wait_and_not_when_it_moved_last() -> None:
    assert night(*[(5, 0)] * 100, *[(5, 10)] * 6) == [OK] * 106


def test_moving_once_begins_the_time_anew() -> None:
    assert night(*[(5, 9)] * 6, *[(6, 9)] * 6, (6, 9)) == [OK] * 12 + [CRITICAL]


def test_a_clock_that_stands_or_goes_back_adds_nothing() -> None:
    assert night(*[(5, 900)] * 50, step=0.0) == [OK] * 50


def test_an_offset_that_went_back_is_a_warning_once() -> None:
    assert night((50, 0), (10, 40), (20, 30)) == [OK, WARNING, OK]


@pytest.mark.parametrize("level", [UNKNOWN, CRITICAL])
def test_what_cannot_be_told_stays_as_it_is_and_forgets_nothing(level: str) -> None:
    check, known = Check("offset advancing", level, "no stream", {"offset": 5}), Standstill(5, True, 1500.0)
    assert judge(check, known, EVERY, STALE) == (check, known)
    assert judge(seen(5, 9), known, EVERY, STALE)[0].level == CRITICAL


def test_a_consumer_that_was_stopped_on_purpose_begins_anew() -> None:
    check = Check("offset advancing", SKIPPED, "stopped on purpose")
    assert judge(check, Standstill(5, True, 9000.0), EVERY, STALE) == (check, None)


@pytest.mark.parametrize(
    ("rounds", "said"),
    [
        ([(5, 9)], "offset 5 is seen for the first time, up to 9 messages to go"),
        ([(5, 9), (8, 6)], "offset advances, 3 since the last round, up to 6 messages to go"),
        ([(5, 9)] * 3, "offset 5 has not advanced for 10 min, up to 9 messages to go; critical after 30 min"),
        ([(5, 1)] * 7, "offset 5 has not advanced for 30 min, up to 1 message to go"),
        ([(5, 9), (3, 9)], "offset went back from 5 to 3 since the last round"),
    ],
)
def test_each_is_said_in_a_sentence(rounds: list[tuple[int, int]], said: str) -> None:
    known: Standstill | None = None
    check: Any = None
    for offset, backlog in rounds:
        check, known = judge(seen(offset, backlog), known, EVERY, STALE)
    assert check.sentence == said
