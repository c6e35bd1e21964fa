"""What fab logs says of log files: the newest lines by their times, those since a time, and then what is new."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.common.clock import moment
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.logs import FilePosition, LogRules
from gpu_runbook.server.logs import shown
from gpu_runbook.server.logs.shown import FileLogs

NOON = moment("2026-03-28T12:00:00Z")


class Said:
    """A folder of log files, and what is said of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rules = LogRules((f"{folder}/*.log",))
        self.events: list[dict[str, Any]] = []

    def write(self, text: str, name: str = "queue.log", at: float = NOON) -> None:
        with (self.folder / name).open("a") as file:
            file.write(text)
        os.utime(self.folder / name, (at, at))

    def shown(self, **more: Any) -> FileLogs:
        return FileLogs(self.events.append, "queue", self.rules, **more)

    def lines(self) -> list[str]:
        """What was said since the last time."""
        found = [line[2] for event in self.events if event["event"] == "file" for line in event["lines"]]
        self.events.clear()
        return found

    def positions(self) -> tuple[FilePosition, ...]:
        known = {
            (one["device"], one["inode"]): decode(FilePosition, one, "it")
            for event in self.events
            if event["event"] == "file"
            for one in event["positions"]
        }
        return tuple(known.values())


@pytest.fixture
def said(tmp_path: Path) -> Said:
    return Said(tmp_path)


def test_the_newest_lines_of_several_files_are_told_by_their_times(said: Said) -> None:
    said.write("2026-03-28 11:00:00 a\n2026-03-28 11:02:00 c\n  which goes on\n2026-03-28 11:04:00 e\n", "one.log")
    said.write("2026-03-28T11:01:00Z b\n2026-03-28T11:03:00Z d\n", "two.log", NOON + 1)
    assert said.shown(tail=5).say(follow=False)
    assert said.lines() == [
        "2026-03-28T11:01:00Z b",
        "2026-03-28 11:02:00 c",
        "  which goes on",
        "2026-03-28T11:03:00Z d",
        "2026-03-28 11:04:00 e",
    ]


def test_a_time_without_a_zone_is_of_the_zone_by_which_it_agrees_with_its_file(said: Said) -> None:
    """Whether the container lives by UTC or by another clock."""
    said.write("2026-03-28 13:50:00,500 two hours ahead\n2026-03-28 13:59:30 the last one\n", "east.log")
    said.write("2026-03-28 11:59:20 by UTC\n", "utc.log")
    said.write("2026-03-28 06:29:25 -5:30\n", "west.log")
    said.shown(tail=9).say(follow=False)
    lines = [line for event in said.events for line in event["lines"]]
    assert [(line[1], line[2][20:]) for line in lines] == [
        ("2026-03-28T11:50:00.500Z", "500 two hours ahead"),
        ("2026-03-28T11:59:20.000Z", "by UTC"),
        ("2026-03-28T11:59:25.000Z", "-5:30"),
        ("2026-03-28T11:59:30.000Z", "the last one"),
    ]


def test_lines_since_a_time_are_those_that_say_so(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    said.write("2026-03-28 11:50:00 before\nstill before\n2026-03-28 11:59:00 since\nas well\n")
    said.write("2026-03-28 11:40:00 of an old file\n", "old.log", NOON - 1200)
    said.shown(since=NOON - 300).say(follow=False)
    assert said.lines() == ["2026-03-28 11:59:00 since", "as well"]


def test_lines_that_say_no_time_count_as_of_when_their_file_was_written_to_and_that_is_said(said: Said) -> None:
    said.write("one\ntwo\n")
    said.write("long ago\n", "old.log", NOON - 1200)
    said.shown(since=NOON - 300).say(follow=False)
    untimed = [event for event in said.events if event["event"] == "untimed"]
    assert untimed == [{"event": "untimed", "service": "queue", "path": f"{said.folder}/queue.log"}]
    assert said.lines() == ["one", "two"]


def test_a_following_goes_on_where_it_was_over_a_rotation_and_a_lost_connection(said: Said) -> None:
    said.write("old\n" * 50)
    following = said.shown(tail=2)
    following.say(follow=True)
    known = said.positions()
    assert said.lines() == ["old", "old"]
    following.say(follow=True)
    assert said.events == []
    said.write("new\nunfini")
    following.say(follow=True)
    assert said.lines() == ["new"]
    said.write("shed\n")
    (said.folder / "queue.log").rename(said.folder / "queue.log.1")
    said.write("next\n")
    following.say(follow=True)
    assert said.lines() == ["unfinished", "next"]
    said.shown(tail=2, known=known).say(follow=True)
    assert said.lines() == ["new", "unfinished", "next"]


def test_a_following_of_what_is_not_there_yet_hears_it_from_its_beginning(said: Said) -> None:
    said.shown(tail=5).say(follow=True)
    assert said.events == [{"event": "file", "service": "queue", "lines": [], "positions": []}]
    said.events.clear()
    said.write("first\n")
    said.shown(tail=5, known=()).say(follow=True)
    assert said.lines() == ["first"]


def test_a_last_line_without_an_end_is_told_where_nothing_is_waited_for(said: Said) -> None:
    said.write("whole\nnot whole")
    said.shown(tail=5).say(follow=False)
    assert said.lines() == ["whole", "not whole"]


def test_a_long_log_is_told_in_pieces_with_where_to_go_on(said: Said) -> None:
    count = 20_000
    said.write("".join(f"{number:05}\n" for number in range(count)))
    said.shown().say(follow=False)
    assert len(said.events) > 10
    assert all(sum(len(line[2]) for line in event["lines"]) <= shown.AT_ONCE for event in said.events)
    middle = said.events[: len(said.events) // 2]
    [position] = middle[-1]["positions"]
    heard = [line[2] for event in middle for line in event["lines"]]
    assert said.lines() == [f"{number:05}" for number in range(count)]
    said.shown(known=(decode(FilePosition, position, "it"),)).say(follow=False)
    assert heard + said.lines() == [f"{number:05}" for number in range(count)]


def test_what_cannot_be_read_is_said_once(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_runbook.server.logs.files.NAMES", 1)
    said.write("x\n", "a.txt")
    said.write("x\n", "b.txt")
    following = said.shown(tail=1)
    for _ in range(3):
        following.say(follow=True)
    assert [event["event"] for event in said.events].count("unreadable") == 1
