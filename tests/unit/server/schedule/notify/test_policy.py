"""Soft, hard, worse, still and over: who is told what, round after round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.server.schedule.notify.policy import Alarms, judge

EVERY, REPEAT = 300.0, 14400.0
DISK = "disk space"


def night(*rounds: Any, **changes: Any) -> list[list[str]]:
    """What is told in each round: `what level name`. A round is the level of the row `x`, or a level for each row."""
    alarms: Alarms = {}
    told = []
    for number, levels in enumerate(rounds):
        rows = {"x": levels} if isinstance(levels, str) else levels
        checks = [Check(name, level, f"{name} is {level}") for name, level in rows.items()]
        alarms, news = judge(alarms, checks, f"round {number}", EVERY, REPEAT, {DISK}, **changes)
        told.append([f"{one.what} {one.check.level} {one.check.name}" for one in news])
    return told


def test_a_first_failure_is_soft_and_a_second_one_is_told_once() -> None:
    assert night(OK, CRITICAL, CRITICAL, CRITICAL) == [[], [], ["new critical x"], []]


def test_a_failure_that_was_never_told_is_over_in_silence() -> None:
    assert night(CRITICAL, OK, WARNING, OK) == [[], [], [], []]


@pytest.mark.parametrize("well", [OK, SKIPPED])
def test_what_was_told_is_told_to_be_over_once(well: str) -> None:
    assert night(CRITICAL, CRITICAL, well, well) == [[], ["new critical x"], [f"over {well} x"], []]


def test_soft_failures_of_any_kind_add_up() -> None:
    assert night(WARNING, UNKNOWN) == [[], ["new unknown x"]]


def test_what_gets_worse_is_told_at_once_and_what_gets_better_is_not() -> None:
    assert night(WARNING, WARNING, CRITICAL, WARNING, CRITICAL) == [[], ["new warning x"], ["worse critical x"], [], []]
    assert night(WARNING, WARNING, UNKNOWN) == [[], ["new warning x"], []]


def test_a_full_disk_needs_no_second_round_but_a_filling_one_does() -> None:
    assert night({DISK: CRITICAL}) == [[f"new critical {DISK}"]]
    assert night({DISK: WARNING}, {DISK: WARNING}) == [[], [f"new warning {DISK}"]]


def test_what_lasts_is_told_again_after_some_hours_and_not_before() -> None:
    told = night(*[CRITICAL] * 99)
    assert [number for number, lines in enumerate(told) if lines] == [1, 49, 97]
    assert told[49] == ["still critical x"]


def test_what_depends_on_something_broken_is_neither_raised_nor_over() -> None:
    alarms: Alarms = {}
    for level in (CRITICAL, CRITICAL):
        alarms, _ = judge(alarms, [Check("x", level, "")], "then", EVERY, REPEAT)
    for level in (UNKNOWN, OK):
        alarms, news = judge(alarms, [Check("x", level, "")], "now", EVERY, REPEAT, frozen={"x"})
        assert (news, alarms["x"].told, alarms["x"].count) == ([], CRITICAL, 2)
    assert judge({}, [Check("x", UNKNOWN, "")], "now", EVERY, REPEAT, frozen={"x"}) == ({}, [])


def test_one_round_tells_all_that_is_new_and_a_row_that_is_gone_is_over() -> None:
    bad = {"a": CRITICAL, "b": WARNING}
    assert night(bad, bad, {"b": WARNING}) == [[], ["new critical a", "new warning b"], ["over ok a"]]


def test_the_moment_at_which_it_began_stays() -> None:
    alarms: Alarms = {}
    news: Sequence[Any] = ()
    for number in range(3):
        alarms, news = judge(alarms, [Check("x", CRITICAL, "")], f"round {number}", EVERY, REPEAT)
    alarms, news = judge(alarms, [Check("x", OK, "")], "round 3", EVERY, REPEAT)
    assert [one.since for one in news] == ["round 0"]
    assert alarms == {}
