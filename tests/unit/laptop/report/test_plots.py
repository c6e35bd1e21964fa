"""What a report plots and lists: thinned lines, figures with their units, runs and events."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gpu_runbook.laptop.report import events
from gpu_runbook.laptop.report.downsample import MOST_POINTS, thin
from gpu_runbook.laptop.report.plots import GIB, figures
from gpu_runbook.laptop.report.values import course
from gpu_runbook.laptop.report.view import view
from gpu_runbook.protocol.history import PastRun, ServiceChange
from gpu_runbook.protocol.rounds import Gpu, Queue, Round
from tests.unit.rounds import at, report


class TestLines:
    def test_few_points_stay_as_they_are(self) -> None:
        found = thin([0.0, 300.0, 600.0], [[1, None, 3]], 750)
        assert (found.times, found.columns) == ([0, 300, 600], [[1, None, 3]])

    def test_a_gap_in_time_breaks_every_line(self) -> None:
        found = thin([0.0, 300.0, 3000.0], [[1, 2, 3], [4, 5, 6]], 750)
        assert (found.times, found.columns) == ([0, 300, 1650, 3000], [[1, 2, None, 3], [4, 5, None, 6]])

    @settings(max_examples=15, deadline=None)
    @given(some.integers(), some.integers(MOST_POINTS - 100, 3 * MOST_POINTS))
    def test_many_points_become_few_and_the_extremes_stay(self, seed: int, count: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        times = list(itertools.accumulate(chance.choices([60.0, 300.0, 5000.0], [20, 20, 1], k=count)))
        values: list[Any] = [chance.choice([None, 1, 2, 3]) for _ in times]
        high, low = chance.sample(range(count), 2)
        values[high], values[low] = 1000, -1000
        found = thin(times, [values, [None] * count], 750)
        assert len(found.times) <= MOST_POINTS
        assert found.times == sorted(found.times)
        known = [value for value in found.columns[0] if value is not None]
        assert (max(known), min(known)) == (1000, -1000)
        assert (known.index(1000) < known.index(-1000)) == (high < low)
        assert set(found.columns[1]) == {None}

    def test_the_longest_gaps_stay_where_there_is_much(self) -> None:
        times = [index * 300.0 + (10_000 if index > 4000 else 0) for index in range(8640)]
        found = thin(times, [[1] * 8640], 750)
        assert found.columns[0].count(None) == 1
        assert len(found.times) <= MOST_POINTS

    def test_there_is_nothing_to_thin_out_of_nothing(self) -> None:
        assert thin([], [], 750).times == []


class TestFigures:
    def plotted(self, *rounds: Round) -> dict[str, list[tuple[str, list[Any]]]]:
        found = figures(course(report(*rounds)))
        return {plot.title: [(line.label, line.values) for line in plot.lines] for plot in found.plots}

    def test_the_rate_is_of_messages_in_a_second(self) -> None:
        rounds = [
            Round(at(minutes), queues={"q": Queue(offset)})
            for minutes, offset in [(20, 100), (15, 400), (10, 250), (5, 250)]
        ]
        assert self.plotted(*rounds)["Messages handled"] == [("q", [None, 1.0, None, 0.0])]

    def test_there_is_no_rate_over_a_gap_or_without_an_offset(self) -> None:
        rounds = [
            Round(at(minutes), queues={"q": Queue(offset)})
            for minutes, offset in [(50, 0), (45, 300), (10, 600), (5, None)]
        ]
        assert self.plotted(*rounds)["Messages handled"] == [("q", [None, 1.0, None, None, None])]

    def test_what_never_has_a_value_is_not_plotted(self) -> None:
        rounds = [Round(at(5), gpus=(Gpu(0, use=3),), queues={"q": Queue()}, disk={"/azaion": 71})]
        assert self.plotted(*rounds) == {"Disk": [("/azaion", [71])], "GPU use": [("GPU 0", [3])]}

    def test_memory_is_told_in_gib_and_of_how_much(self) -> None:
        (plot,) = figures(course(report(Round(at(5), gpus=(Gpu(1, None, 3 * GIB // 2, 80 * GIB),))))).plots
        (line,) = plot.lines
        assert (plot.unit, line.label, line.values, line.total) == ("GiB", "GPU 1", [1.5], "of 80 GiB")

    def test_figures_beyond_all_reason_are_none(self) -> None:
        rounds = [
            Round(at(5), queues={"q": Queue(backlog=10**400)}, disk={"/": -(10**400)}, gpus=(Gpu(0, memory=10**400),))
        ]
        assert self.plotted(*rounds) == {}

    def test_more_lines_than_can_be_told_apart_are_counted(self) -> None:
        shown = view(report(Round(at(5), disk={f"/{index}": 1 for index in range(20)})), 1)
        assert shown.past and shown.past.notes == ["Disk: 4 lines more are not drawn"]


class TestHappened:
    def test_the_engine_counts_anew_for_a_new_container(self) -> None:
        counts = [3, 5, None, 6, 1, 1, 0]
        rounds = [Round(at(40 - 5 * index), queues={"q": Queue(restarts=count)}) for index, count in enumerate(counts)]
        texts = [event.text for event in events.events(course(report(*rounds)))]
        assert [text.rpartition(", ")[2] for text in texts] == ["1 time", "1 time", "2 times"]

    def test_actions_and_alerts_come_newest_first(self) -> None:
        rounds = [Round(at(10), alerts=("first",)), Round(at(5), actions=("second",))]
        found = events.events(course(report(*rounds)))
        assert [(event.kind, event.text) for event in found] == [("action", "second"), ("alert", "first")]

    def test_events_too_near_to_each_other_are_one_mark(self) -> None:
        rounds = [Round(at(10), alerts=("a", "b")), Round(at(5), alerts=("c",))]
        axis = course(report(*rounds))
        found = events.marks(events.events(axis), axis)
        assert [mark.text for mark in found] == ["alert: b (and 1 more about this time)", "alert: c"]

    def test_runs_of_the_time_shown_and_the_one_before(self) -> None:
        image = "registry/queue@sha256:0123456789abcdef"
        change = ServiceChange("queue", "", image, "1.2", image)
        new = PastRun(
            "2", "ended", "deploy", "ann", "laptop", at(30), "rolled-back", "it failed", outage=1.25, changes=(change,)
        )
        old = dataclasses.replace(new, run="1", at=at(90), outcome="done")
        strange = dataclasses.replace(new, run="0", at="?")
        (run,), before = events.runs((new, old, strange), course(report()))
        assert (run.percent, run.ended, run.outcome, run.down, run.changed) == (
            50,
            "rolled back",
            "rolled-back",
            "1.2 s",
            True,
        )
        assert run.changes == ("queue: sha256:0123456789ab → 1.2",)
        assert before and before.ended == "done"

    @pytest.mark.parametrize(
        ("state", "outcome", "style", "word"),
        [
            ("under-way", "", "unended", "under way"),
            ("cut-off", "", "unended", "cut off"),
            ("ended", "needs-person", "needs-person", "needs person"),
            ("ended", "x' style='", "other", "x' style='"),
            ("ended", "", "other", "ended"),
        ],
    )
    def test_how_a_run_ended(self, state: str, outcome: str, style: str, word: str) -> None:
        (run,), _ = events.runs((PastRun("1", state, "deploy", "", "", at(5), outcome, ""),), course(report()))
        assert (run.outcome, run.ended, run.who) == (style, word, "nobody knows whom")
