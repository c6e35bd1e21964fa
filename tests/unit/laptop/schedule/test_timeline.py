"""The lines that tell some hours of rounds: strips, spells, lists that end, and the same for scripts."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gpu_runbook.laptop.schedule import timeline
from gpu_runbook.laptop.schedule.client import SeenRounds
from gpu_runbook.protocol.check import CRITICAL, LEVELS, OK, SKIPPED, UNKNOWN, WARNING
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.rounds import Gpu, Queue, Round

AT = "2026-04-20T12:00:00Z"
END = datetime(2026, 4, 20, 12, tzinfo=timezone.utc)
ROW, HOUR, EVERY = "disk space", 3600, 300


def before(minutes: float) -> str:
    return (END - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def one(minutes: float, level: str = "", silent: str = "", **more: Any) -> Round:
    """A round so many minutes before the end; without a level its row was not asked for."""
    levels = {ROW: level} if level else {}
    return Round(before(minutes), silent=silent, levels=levels, said={ROW: f"{level} {minutes}"}, **more)


def seen(*rounds: Round, every: int = EVERY, damaged: int = 0) -> SeenRounds:
    return SeenRounds(AT, every, damaged, rounds, ())


def strip(*rounds: Round, cells: int = 4) -> str:
    """The strip of the last hour."""
    return timeline.strip(seen(*rounds), ROW, HOUR, cells)


def texts(found: SeenRounds) -> list[str]:
    return [text for text, _ in timeline.lines("gpu-1", found, HOUR)]


def spells(*rounds: Round) -> list[tuple[str, str, str, str]]:
    return [(one.level, one.since[11:16], one.until[11:16], one.sentence) for one in timeline.spells(rounds)]


def test_rounds_lie_in_the_cell_of_their_time() -> None:
    assert strip(one(59, OK), one(31, WARNING), one(1, CRITICAL)) == "·▄ █"


def test_what_lies_at_the_edges_or_beyond_them_is_drawn_in_the_cell_at_the_edge() -> None:
    assert strip(one(90, CRITICAL), one(0, WARNING)) == strip(one(60, CRITICAL), one(-9, WARNING)) == "█  ▄"


def test_a_cell_without_a_round_or_without_the_row_is_empty() -> None:
    assert strip() == strip(one(1)) == "    "


WORST_LAST = [("", ""), (SKIPPED, ""), (CRITICAL, "a pause"), (OK, ""), (WARNING, ""), (UNKNOWN, ""), (CRITICAL, "")]


@pytest.mark.parametrize(("milder", "worse"), list(itertools.pairwise(WORST_LAST)))
def test_the_worst_of_a_cell_is_shown_whichever_came_first(milder: tuple[str, str], worse: tuple[str, str]) -> None:
    pair = [one(2, *milder), one(1, *worse)]
    assert strip(*pair, cells=1) == strip(*reversed(pair), cells=1) == strip(pair[1], cells=1)


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_has_a_sign_of_its_own(level: str) -> None:
    signs = [*timeline.SIGNS.values(), timeline.SILENT, timeline.NOTHING]
    assert signs.count(strip(one(1, level), cells=1)) == 1


@pytest.mark.parametrize("level", LEVELS)
def test_a_silent_round_shows_silence_whatever_it_saw(level: str) -> None:
    assert strip(one(1, level, "a deploy"), cells=1) == timeline.SILENT


anything = some.builds(
    one,
    some.floats(0, 60),
    some.sampled_from(["", *LEVELS]),
    some.sampled_from(["", "", "", "a pause"]),
)


@given(some.lists(anything, max_size=30), some.integers(1, timeline.CELLS))
def test_no_critical_round_that_was_told_is_lost_at_any_width(rounds: list[Round], cells: int) -> None:
    drawn = strip(*rounds, cells=cells)
    told = [found for found in rounds if not found.silent and found.levels.get(ROW) == CRITICAL]
    assert len(drawn) == cells
    assert ("█" in drawn) == bool(told)
    alone = [strip(found, cells=cells).index("█") for found in told]
    assert [drawn[cell] for cell in alone] == ["█"] * len(alone)


def test_a_spell_begins_goes_on_and_is_over() -> None:
    assert spells(one(50, OK), one(45, WARNING), one(40, WARNING), one(35, WARNING), one(30, OK)) == [
        ("warning", "11:15", "11:25", "warning 45")
    ]


def test_another_level_is_another_spell_and_so_is_the_same_one_after_it_was_well() -> None:
    rounds = [one(50, WARNING), one(45, CRITICAL), one(40, SKIPPED), one(35, CRITICAL), one(30, CRITICAL)]
    assert spells(*rounds) == [
        ("warning", "11:10", "11:10", "warning 50"),
        ("critical", "11:15", "11:15", "critical 45"),
        ("critical", "11:25", "11:30", "critical 35"),
    ]


def test_silent_rounds_neither_begin_nor_lengthen_nor_end_a_spell() -> None:
    assert spells(one(50, CRITICAL, "a pause"), one(45, WARNING, "a pause")) == []
    rounds = [one(50, CRITICAL), one(45, OK, "a pause"), one(40, CRITICAL), one(35, CRITICAL, "a pause")]
    assert spells(*rounds) == [("critical", "11:10", "11:20", "critical 50")]


def test_rows_have_spells_of_their_own_in_the_order_in_which_they_began() -> None:
    names = [{"a": OK, "b": CRITICAL}, {"a": WARNING, "b": CRITICAL}, {"a": WARNING, "b": OK}]
    rounds = [Round(before(30 - 5 * number), levels=levels) for number, levels in enumerate(names)]
    found = timeline.spells(rounds)
    assert [(one.name, one.since, one.until) for one in found] == [
        ("b", before(30), before(25)),
        ("a", before(25), before(20)),
    ]


def test_without_rounds_one_line_says_so_and_what_would_make_some() -> None:
    assert texts(seen()) == ["gpu-1: no rounds in the last 60 min"]
    assert texts(seen(every=0)) == ["gpu-1: no rounds in the last 60 min: fab schedule.install has them made"]


@pytest.mark.parametrize("rounds", [(), (one(1, OK),)])
def test_damaged_lines_are_counted_whether_or_not_there_are_rounds(rounds: tuple[Round, ...]) -> None:
    assert texts(seen(*rounds, damaged=3))[-1] == "  3 lines of the history cannot be read"
    assert not any("cannot be read" in text for text in texts(seen(*rounds)))


def test_spells_are_bounded_to_the_newest_and_say_how_many_are_not_shown() -> None:
    rounds = [one(59 - number, (WARNING, OK)[number % 2]) for number in range(2 * timeline.MOST + 10)]
    found = [text for text in texts(seen(*rounds)) if "warning: " in text]
    assert len(found) == timeline.MOST
    assert found[-1] == "  2026-04-20 11:49  warning: disk space: warning 11"
    assert "  … 5 earlier ones: --json has them all" in texts(seen(*rounds))


def test_what_was_done_and_said_is_bounded_by_itself() -> None:
    rounds = [one(59 - number, OK, actions=("restarted",), alerts=("over",)) for number in range(timeline.MOST)]
    found = texts(seen(*rounds))
    assert found[-1] == "  2026-04-20 11:20  alert: over"
    assert sum(text.endswith(("restarted", "over")) for text in found) == timeline.MOST
    assert "  … 20 earlier ones: --json has them all" in found


def test_a_list_that_fits_says_nothing_of_earlier_ones() -> None:
    rounds = [one(59 - number, OK, alerts=("over",)) for number in range(timeline.MOST)]
    assert not any("…" in text for text in texts(seen(*rounds)))


def test_there_are_no_more_cells_than_rounds_that_were_due() -> None:
    widths = [
        len(text.partition(ROW)[2].strip()) for text in texts(seen(*[one(5 * number, OK) for number in range(12)]))
    ]
    assert max(widths) == 12


def test_a_row_has_the_style_of_its_worst_and_the_legend_only_what_is_drawn() -> None:
    found = list(timeline.lines("gpu-1", seen(one(50, WARNING), one(30, CRITICAL), one(9, OK, "a pause")), HOUR))
    assert [style for text, style in found if text.startswith(f"  {ROW}")] == ["bold red"]
    legend = next(text for text, _ in found if "in silence" in text)
    assert " ".join(legend.split()) == "▄ warning █ critical ~ in silence: a run or a pause"


def test_figures_that_were_not_told_make_no_line_and_no_mistake() -> None:
    assert texts(seen(one(1, OK, gpus=(Gpu(0),), queues={"a": Queue()})))[4:] == ["  GPU 0: tells nothing"]


def test_figures_are_told_from_the_least_to_the_most_with_the_last() -> None:
    rounds = [one(9 - number, OK, disk={"/azaion": fill}) for number, fill in enumerate([50, 90, 70])]
    assert texts(seen(*rounds))[-1] == "  /azaion: 50–90 %, last 70 % full"


def test_what_scripts_get_is_what_was_seen() -> None:
    gpus, queues = (Gpu(0, 0, 0, None, 40), Gpu(1)), {"a": Queue(0, 5, 0, 0), "b": Queue()}
    rounds = (one(9, CRITICAL, "a pause", gpus=gpus, queues=queues, disk={"/": 0}, actions=("x",)), Round(before(1)))
    told = json.loads(json.dumps(timeline.as_result("gpu-1", seen(*rounds, damaged=2))))
    assert tuple(decode(Round, line, "round") for line in told.pop("rounds")) == rounds
    assert told == {"server": "gpu-1", "at": AT, "every": EVERY, "damaged": 2}


def test_what_scripts_get_leaves_out_what_is_empty() -> None:
    (told,) = timeline.as_result("gpu-1", seen(Round(AT)))["rounds"]
    assert told == {"at": AT, "seconds": 0.0}
