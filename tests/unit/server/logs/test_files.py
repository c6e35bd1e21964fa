"""Log files are read on, line by line, however they are rotated: no line is lost, and none is read twice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.logs import FilePosition
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.logs import files
from gpu_runbook.server.logs.files import LogFiles
from tests.unit.tricks import within

pytestmark = pytest.mark.usefixtures("no_descriptor_stays_open")


class Logs:
    """A folder with log files, and what is read of them."""

    def __init__(self, folder: Path, *patterns: str) -> None:
        self.folder = folder
        self.patterns = [f"{folder}/{pattern}" for pattern in patterns or ("*.log",)]
        self.read = LogFiles(self.patterns)

    def write(self, text: str, name: str = "queue.log") -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(text)
        return path

    def copy(self, name: str, source: str = "queue.log") -> None:
        shutil.copyfile(self.folder / source, self.folder / name)

    def rename(self, name: str, source: str = "queue.log") -> None:
        (self.folder / source).rename(self.folder / name)

    def cut(self, name: str = "queue.log") -> None:
        os.truncate(self.folder / name, 0)

    def later(self) -> None:
        """Another process reads on, by what was written down."""
        written = [encode(one) for one in self.read.positions()]
        self.read = LogFiles(self.patterns, [decode(FilePosition, one, "position") for one in written])

    def new(self, tail: bool = False, rest: bool = False) -> list[str]:
        return [line.text for line in self.read.new(files.TAIL if tail else files.AT_ONCE, tail, rest)]


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


def test_what_was_there_before_is_not_read(logs: Logs) -> None:
    logs.write("old\n")
    logs.write("old\n", "other.log")
    logs.read.begin()
    assert logs.new() == []
    logs.write("new\n")
    logs.write("newer\n", "another.log")
    assert (sorted(logs.new()), logs.new()) == (["new", "newer"], [])


def test_a_line_is_read_once_it_has_its_end(logs: Logs) -> None:
    logs.write("one\ntw")
    assert logs.new() == ["one"]
    logs.write("o\r\n\nthree")
    assert logs.new() == ["two", ""]
    assert (logs.new(rest=True), logs.new(rest=True)) == (["three"], [])


def renamed(logs: Logs) -> None:
    logs.rename("queue.log.1")
    logs.write("after\n")


def renamed_on(logs: Logs) -> None:
    """The process has its file open still, and writes on for a moment."""
    logs.rename("queue.log.1")
    logs.write("between\n", "queue.log.1")
    logs.write("after\n")


def copied(logs: Logs) -> None:
    logs.copy("queue.log.1")
    logs.cut()
    logs.write("after\n")


def copied_and_filled(logs: Logs) -> None:
    """What came since is longer than what was read before."""
    logs.copy("queue.log-20260328")
    logs.cut()
    logs.write(f"{'x' * 500}\nafter\n")


def next_day(logs: Logs) -> None:
    logs.write("after\n", "queue-2026-03-29.log")


def same_number(logs: Logs) -> None:
    """The file is gone, and the next one has its inode, as file systems like to have it."""
    logs.write("after\n", "draft")
    (logs.folder / "queue.log").write_text((logs.folder / "draft").read_text())
    logs.rename("gone", "draft")


ROTATIONS: dict[str, tuple[Callable[[Logs], None], list[str]]] = {
    "renamed": (renamed, ["last", "after"]),
    "renamed, and written on": (renamed_on, ["last", "between", "after"]),
    "copied and cut off": (copied, ["last", "after"]),
    "copied, cut off and filled again": (copied_and_filled, ["last", "x" * 500, "after"]),
    "the next day's name": (next_day, ["last", "after"]),
    "replaced": (same_number, ["after"]),
}


@pytest.mark.parametrize("later", [False, True], ids=["by the same process", "by another process"])
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_rotation_loses_no_line_and_reads_none_twice(logs: Logs, rotation: str, later: bool) -> None:
    rotate, expected = ROTATIONS[rotation]
    logs.write("2026-03-28 the first line of a day\n" * 20)
    logs.read.begin()
    logs.write("first\n")
    assert logs.new() == ["first"]
    logs.write("last\n")
    rotate(logs)
    if later:
        logs.later()
    assert logs.new() == expected
    assert logs.new() == []
    logs.write("and on\n")
    assert logs.new() == ["and on"]


def test_a_day_of_rotations_is_read_line_by_line(logs: Logs) -> None:
    """Every way in turn, with a look at any moment in between."""
    logs.read.begin()
    seen: list[str] = []
    for number in range(60):
        logs.write(f"{number}\n")
        if number % 5 == 0:
            seen += logs.new()
        if number % 7 == 3:
            for old in range(4, 0, -1):
                if (logs.folder / f"queue.log.{old}").exists():
                    logs.rename(f"queue.log.{old + 1}", f"queue.log.{old}")
            if number % 2:
                logs.rename("queue.log.1")
            else:
                logs.copy("queue.log.1")
                logs.cut()
        if number % 11 == 4:
            logs.later()
    assert sorted(map(int, [*seen, *logs.new()])) == list(range(60))


def test_a_copy_in_the_making_is_none_of_its_lines_again(logs: Logs) -> None:
    logs.write("".join(f"line {number}\n" for number in range(400)))
    assert len(logs.new()) == 400
    whole = (logs.folder / "queue.log").read_text()
    for share in (10, 300, 2000, len(whole)):
        (logs.folder / "queue.log.1").write_text(whole[:share])
        assert logs.new() == []
    logs.write("meanwhile\n")
    assert logs.new() == ["meanwhile"]
    logs.copy("queue.log.1")
    logs.write("lost by whoever rotates\n")
    logs.cut()
    logs.write("after\n")
    assert logs.new() == ["after"]


def test_a_copy_that_somebody_keeps_is_never_read(logs: Logs) -> None:
    logs.write("one\n")
    assert logs.new() == ["one"]
    logs.copy("queue.log.mine")
    for number in range(3):
        logs.write(f"{number}\n")
        assert logs.new() == [str(number)]
    logs.cut()
    logs.write("after\n")
    assert logs.new() == ["after"]


def test_another_file_that_begins_as_the_one_before_is_read(logs: Logs) -> None:
    logs.write("=== begun ===\none\n")
    logs.new()
    logs.rename("queue.log.1")
    logs.write("=== begun ===\n")
    assert logs.new() == ["=== begun ==="]


def test_a_new_file_that_begins_as_an_older_one_that_was_rotated_before_is_read(logs: Logs) -> None:
    logs.write("=== begun ===\none\n", "queue.log.1")
    logs.read.begin()
    logs.write("=== begun ===\n")
    assert logs.new() == ["=== begun ==="]


def test_a_hole_where_the_file_was_cut_off_is_passed_over(logs: Logs) -> None:
    path = logs.write("x" * 100_000 + "\n")
    assert len(logs.new()) == 1
    with path.open("r+b") as file:
        file.seek(50_000_000)
        logs.cut()
        file.write(b"behind the hole\n")
    assert logs.new() == ["behind the hole"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.log", ["a.log", "b-2026-03-28.log", "a.log.1", "a.log-20260328"]),
        ("b-%Y-%m-%d.log", ["b-2026-03-28.log"]),
        ("?.log", ["a.log", "a.log.1", "a.log-20260328"]),
        ("a.log", ["a.log", "a.log.1", "a.log-20260328"]),
        ("%Y-%m-%d/*.txt", ["2026-03-28/x.txt", "2026-03-29/y.txt"]),
        ("2026-*/x*t", ["2026-03-28/x.txt"]),
        ("none/*.log", []),
    ],
)
def test_a_pattern_names_files_whatever_the_day_and_what_is_left_of_them(
    tmp_path: Path, pattern: str, names: list[str]
) -> None:
    logs = Logs(tmp_path, pattern)
    there = ("a.log", "a.log.1", "a.log-20260328", "a.log.2.gz", "b-2026-03-28.log", "ab.txt", "2026-03-28/x.txt")
    for name in (*there, "2026-03-29/y.txt", "other/x.txt"):
        logs.write("x\n", name)
    assert sorted(str(Path(one.path).relative_to(tmp_path)) for one in logs.read.found()) == sorted(names)
    assert logs.read.unread == ""


def test_of_thousands_of_files_those_are_read_that_are_written_to(logs: Logs) -> None:
    for number in range(2000):
        os.utime(logs.write("old\n", f"{number}.log"), (number, number))
    logs.read.begin()
    assert len(logs.read.positions()) == files.MOST
    logs.write("it wakes\n", "7.log")
    logs.write("new\n", "new.log")
    assert sorted(logs.new()) == ["it wakes", "new"]


def test_a_folder_that_is_too_full_is_said(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "NAMES", 10)
    for number in range(11):
        logs.write("x\n", f"{number}.txt")
    assert logs.new() == []
    assert logs.read.unread == f"more than 10 names would have to be gone through, up to those in {logs.folder}"


def test_what_may_not_be_read_is_said_and_the_others_are_read(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.write("x\n")
    logs.write("y\n", "other.log")
    inside = guarded.inside

    def refused(folder: int, name: str) -> object:
        if name == "queue.log":
            raise PermissionError(13, "Permission denied")
        return inside(folder, name)

    monkeypatch.setattr(guarded, "inside", refused)
    assert logs.new() == ["y"]
    assert logs.read.unread == f"{logs.folder}/queue.log cannot be read (Permission denied)"


def test_a_long_line_is_cut_and_the_next_one_whole(logs: Logs) -> None:
    logs.write(f"{'x' * 3_000_000}\nnext\n{'y' * 20_000}\n")
    found = list(logs.read.new())
    assert [(len(line.text), line.cut) for line in found] == [(files.LINE, True), (4, False), (files.LINE, True)]
    logs.write("z" * 3_000_000)
    assert [len(text) for text in logs.new()] == [files.LINE]
    logs.write("z" * 300_000)
    assert logs.new() == []
    logs.write("z\nnext\n")
    assert logs.new() == ["next"]


def test_one_look_reads_no_more_than_its_bound_and_the_next_one_goes_on(logs: Logs) -> None:
    count = 3 * files.AT_ONCE // (files.EACH + 4)
    logs.write("".join(f"{number:04}\n" for number in range(count)))
    seen: list[str] = []
    looks = 0
    while len(seen) < count:
        found = logs.new()
        assert 0 < len(found) <= files.AT_ONCE // files.EACH
        seen += found
        looks += 1
    assert looks > 2 and seen == [f"{number:04}" for number in range(count)]


def test_of_what_came_meanwhile_the_end_can_be_had(logs: Logs) -> None:
    logs.write("".join(f"{number}\n" for number in range(200_000)))
    logs.write("".join(f"{number}\n" for number in range(1_000_000)), "other.log")
    found = logs.new(tail=True)
    assert found[-1] == "999999" and "199999" in found
    assert sum(len(text) + 1 for text in found) <= files.TAIL


def test_a_name_of_many_stars_takes_no_longer_than_others(tmp_path: Path) -> None:
    logs = Logs(tmp_path, "*a*a*a*a*a*a*a*b.log")
    for number in range(20):
        logs.write("x\n", f"{'a' * 240}{number}")
    assert within(5, logs.new) == []


@pytest.mark.parametrize("name", ["line\nbreak.log", "\x1b[31m.log", "\udcff.log"])
def test_a_name_that_cannot_be_shown_is_none(logs: Logs, name: str) -> None:
    logs.write("x\n", name)
    assert logs.new() == []


def test_a_file_of_two_names_is_read_once(logs: Logs) -> None:
    path = logs.write("x\n")
    os.link(path, logs.folder / "other.log")
    assert logs.new() == ["x"]
