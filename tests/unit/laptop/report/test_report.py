"""What the page of `fab report` is drawn from: its time, its strips, its sentences, and text that stays text."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gpu_runbook.laptop.report import clock, timeline
from gpu_runbook.laptop.report.page import TEMPLATES, embedded, fingerprint, page
from gpu_runbook.laptop.report.timeline import Stretch, coarse, share, stretches, summary
from gpu_runbook.laptop.report.values import Course, course, step
from gpu_runbook.laptop.report.view import view
from gpu_runbook.protocol.check import LEVELS, Check
from gpu_runbook.protocol.rounds import Round
from tests.unit.rounds import AT, CHECK, END, HOUR, at, levels, report, steady


def told(found: list[Stretch]) -> list[tuple[str, float]]:
    """Level and length in minutes of each."""
    return [(one.level, round(one.seconds / 60, 1)) for one in found]


class TestCourse:
    def test_rounds_are_put_in_order_and_within_the_time_shown(self) -> None:
        found = course(report(*levels((20, "ok"), (30, "warning"), (90, "ok"), (-5, "ok"))))
        assert [one.levels[CHECK] for _, one in found.rounds] == ["warning", "ok"]
        assert found.outside == 2

    @pytest.mark.parametrize(
        "text", ["", "yesterday", "2026-04-20", "2026-13-40T00:00:00Z", "2026-04-20T10:00:00.1e999Z"]
    )
    def test_a_round_without_a_time_costs_no_other(self, text: str) -> None:
        found = course(report(Round(text), *steady(3)))
        assert (len(found.rounds), found.untimed) == (3, 1)

    def test_of_two_rounds_at_once_the_later_line_stands(self) -> None:
        found = course(report(*levels((10, "ok"), (10, "critical"))))
        assert [one.levels[CHECK] for _, one in found.rounds] == ["critical"]

    def test_a_server_whose_own_time_cannot_be_read_is_shown_up_to_its_last_round(self) -> None:
        found = course(report(*steady(3), at="now"))
        assert found.end == END - 300
        assert len(found.rounds) == 3

    def test_a_gap_is_more_than_two_and_a_half_steps(self) -> None:
        near = course(report(*levels((20, "ok"), (7.5, "ok")), since=25 * 60))
        far = course(report(*levels((20.1, "ok"), (7.5, "ok")), since=25 * 60))
        assert near.gaps == []
        assert far.gaps == [(END - 15.1 * 60, END - 7.5 * 60)]

    def test_the_time_before_the_first_round_and_after_the_last_is_a_gap_too(self) -> None:
        found = course(report(*levels((40, "ok"))))
        assert found.gaps == [(END - HOUR, END - 40 * 60), (END - 35 * 60, END)]

    def test_without_rounds_all_is_a_gap(self) -> None:
        assert course(report()).gaps == [(END - HOUR, END)]

    def test_steps_that_were_usual_before_the_setting_was_changed_are_no_gaps(self) -> None:
        assert step([index * 300.0 for index in range(20)], 60) == 300
        assert step([index * 60.0 for index in range(20)], 300) == 300
        assert step([0.0, 300.0, 9000.0], 60) == 60
        assert step([0.0, 120.0, 240.0], 0) == 120
        assert step([], 0) == 300


class TestStrips:
    def test_equal_rounds_become_one_stretch(self) -> None:
        found = stretches(
            CHECK, course(report(*levels((20, "ok"), (15, "ok"), (10, "critical"), (5, "ok")), since=20 * 60))
        )
        assert told(found) == [("ok", 10), ("critical", 5), ("ok", 5)]

    def test_a_gap_is_a_stretch_of_its_own(self) -> None:
        found = stretches(
            CHECK, course(report(*levels((60, "ok"), (55, "ok"), (20, "ok"), (15, "ok"), (10, "ok"), (5, "ok"))))
        )
        assert told(found) == [("ok", 10), ("gap", 30), ("ok", 20)]

    def test_a_round_that_did_not_ask_leaves_a_hole_and_is_no_gap(self) -> None:
        rounds = (
            levels((60, "ok"), (55, "ok")),
            (Round(at(50)),),
            levels(*((45 - 5 * index, "ok") for index in range(9))),
        )
        assert told(stretches(CHECK, course(report(*(one for part in rounds for one in part))))) == [
            ("ok", 10),
            ("ok", 45),
        ]

    def test_silence_begins_a_stretch(self) -> None:
        rounds = steady(12)
        quiet = tuple(dataclasses.replace(one, silent="paused by ann") for one in rounds[4:6])
        found = stretches(CHECK, course(report(*rounds[:4], *quiet, *rounds[6:])))
        assert [one.silent for one in found] == ["", "paused by ann", ""]
        assert "(silent: paused by ann)" in found[1].text

    def test_what_is_no_level_is_unknown(self) -> None:
        found = stretches(CHECK, course(report(*steady(12, "x onclick=alert(1)"))))
        assert {one.level for one in found} == {"unknown"}

    def test_the_last_sentence_of_a_stretch_is_told(self) -> None:
        rounds = [
            dataclasses.replace(one, said={CHECK: f"{80 + index} % full"})
            for index, one in enumerate(steady(12, "warning"))
        ]
        (found,) = stretches(CHECK, course(report(*rounds)))
        assert found.text == "warning for 1 h, 20 Apr 09:00 to 10:00 UTC: 91 % full"

    def test_a_critical_in_the_very_second_of_the_report_is_not_lost(self) -> None:
        found = stretches(CHECK, course(report(*steady(12), *levels((0, "critical")))))
        assert found[-1].level == "critical"

    @settings(max_examples=15, deadline=None)
    @given(some.integers(), some.integers(timeline.FINEST, 2000))
    def test_what_is_drawn_as_one_is_as_bad_as_its_worst(self, seed: int, count: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        row = chance.choices(LEVELS, [90, 3, 1, 1, 1] if seed % 2 else None, k=count)
        rounds = tuple((float(index), Round("", levels={CHECK: level})) for index, level in enumerate(row))
        fine = stretches(CHECK, axis := Course(0.0, float(count), 1.0, rounds))
        drawn = coarse(fine, axis)
        assert len(drawn) <= 3 * timeline.FINEST
        assert sum(one.rounds for one in drawn) == count
        worst = timeline.WORST_FIRST.index
        over = iter(drawn)
        there = next(over)
        for one in fine:
            while there.end <= one.start:
                there = next(over)
            assert there.start <= one.start and one.end <= there.end
            assert worst(there.level) <= worst(one.level)

    def test_the_share_is_rounded_down(self) -> None:
        parts = [Stretch("ok", 0, 99_999), Stretch("critical", 99_999, 100_000), Stretch("gap", 100_000, 900_000)]
        assert share(parts) == 99.9
        assert share(parts[:1]) == 100
        assert share(parts[2:]) is None
        assert share([Stretch("skipped", 0, 10)]) is None

    def test_a_summary_begins_with_the_worst(self) -> None:
        found = stretches(
            CHECK, course(report(*levels((60, "ok"), (55, "critical"), (50, "ok"), (45, "critical")), since=HOUR))
        )
        assert summary(found) == "critical for 10 min (2 times), ok for 10 min, no round for 40 min (1 time)"

    def test_trouble_of_this_very_second_is_told(self) -> None:
        found = [Stretch("ok", 0, 600), Stretch("critical", 600, 600)]
        assert summary(found) == "critical for 0 s (1 time), ok for 10 min"
        assert summary([Stretch("critical", 0, 600), Stretch("ok", 600, 600)]) == "critical for 10 min (1 time)"

    def test_checks_that_are_not_asked_any_more_have_a_strip_and_too_many_are_counted(self) -> None:
        many = Round(at(5), levels={f"check {index}": "ok" for index in range(60)})
        drawn, _, left_out = timeline.strips(report(many, checks=(Check("now", "ok", ""),)), course(report(many)))
        assert [strip.name for strip in drawn[:2]] == ["now", "check 0"]
        assert (len(drawn), left_out) == (40, 21)


class TestView:
    def test_what_is_to_be_known_of_the_history_is_said(self) -> None:
        rounds = (*steady(12, apart=3), Round("?"), *levels((99, "ok")))
        shown = view(report(*rounds, every=60, damaged=2), 1).past
        assert shown and shown.notes == [
            "3 lines of the history cannot be read",
            "1 round of another time is not shown",
        ]
        late = view(report(*levels((40, "ok"))), 1).past
        assert late and late.notes == ["the last round was 40 min before this report"]

    def test_why_there_is_nothing_to_draw(self) -> None:
        never, missing = view(report(every=0), 1).past, view(report(), 1).past
        assert never and never.empty == "no round yet: fab schedule.install starts them"
        assert missing and missing.empty == (
            "no round in these 1 h, although one is due every 5 min: fab schedule.show says what is known"
        )

    def test_the_worst_row_speaks_for_the_server(self) -> None:
        checks = (
            Check("a", "ok", "fine"),
            Check("b", "warning", "hm"),
            Check("c", "critical", "down"),
            Check("d", "x", "?"),
        )
        now = view(report(checks=checks), 1).now
        assert (now.level, now.sentence, now.counts) == (
            "critical",
            "c: down",
            "1 critical, 1 unknown, 1 warning, 1 ok",
        )
        well = view(report(checks=(checks[0], Check("e", "skipped", ""))), 1).now
        assert (well.level, well.sentence) == ("ok", "nothing is wrong with 1 check")


class TestPage:
    def test_no_text_ends_the_element_it_stands_in(self) -> None:
        text = embedded({"</script>": ["<!-- & \u2028 \ud800", 1.5, None]})
        assert not set("<>&\u2028\ud800") & set(text)
        assert json.loads(text) == {"</script>": ["<!-- & \ufffd \ufffd", 1.5, None]}

    def test_the_policy_names_our_two_scripts_and_no_other(self) -> None:
        html = page([], AT)
        scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
        assert policy and "default-src 'none'" in policy[1]
        assert re.findall(r"'sha256-[^']*'", policy[1]) == [f"'{fingerprint(script)}'" for script in scripts]
        assert len(scripts) == 2

    def test_half_a_surrogate_does_not_keep_the_page_from_being_written(self) -> None:
        html = page([report(checks=(Check("a", "ok", "\ud800\x1b[31m\u202e"),))], AT)
        assert "\ufffd[31m\ufffd" in html
        html.encode()

    def test_a_page_names_its_place_in_time(self) -> None:
        assert 'Made <time datetime="2026-04-20T10:00:00Z">2026-04-20 10:00:00</time> UTC' in page([], AT)
        assert "Made some day UTC" in page([], "some day")

    def test_the_vendored_files_are_those_that_are_named(self) -> None:
        readme = (TEMPLATES / "vendor" / "README.md").read_text(encoding="utf-8")
        for name in ("uPlot.iife.min.js", "uPlot.min.css"):
            file = TEMPLATES / "vendor" / name
            assert f"| {name} | {hashlib.sha256(file.read_bytes()).hexdigest()} |" in readme
            assert "</script" not in file.read_text(encoding="utf-8")
        assert "MIT" in (TEMPLATES / "vendor" / "LICENSE").read_text(encoding="utf-8")

    def test_importing_it_costs_no_template_engine(self) -> None:
        code = "import sys, gpu_runbook.laptop.report.page; sys.exit('jinja2' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestClock:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0 s"),
            (59, "59 s"),
            (300, "5 min"),
            (3590, "1 h"),
            (3600 * 26 + 60, "26 h 1 min"),
            (86400 * 7, "7 days"),
            (86400 * 2 + 3600 * 4, "2 days 4 h"),
        ],
    )
    def test_lengths(self, seconds: float, text: str) -> None:
        assert clock.length(seconds) == text

    @pytest.mark.parametrize("hours", [1, 6, 24, 72, 168, 720, 9000])
    def test_ticks_are_few_and_lie_at_round_times(self, hours: int) -> None:
        found = clock.ticks(Course(END - hours * HOUR, END, 300, ()))
        assert 1 <= len(found) <= clock.MOST_TICKS + 1
        assert [label for _, label in found if not re.fullmatch(r"\d\d:\d[05]|\d\d? [A-Z][a-z]{2}", label)] == []
