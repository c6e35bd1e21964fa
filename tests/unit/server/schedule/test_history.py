"""The history of rounds: what is appended comes back, a broken line costs no other, and it does not grow for ever."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gpu_runbook.protocol.rounds import Gpu, Queue, Round
from gpu_runbook.server.schedule import history

DAY, EVERY = 86400.0, 300.0
BEGIN = 1_776_600_000  # 2026-04-19


def at(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGIN + seconds))


def found(seconds: float) -> Round:
    return Round(
        at=at(seconds),
        seconds=0.5,
        levels={"disk space": "critical", "GPU available": "ok"},
        said={"disk space": "/azaion is 96 % full"},
        disk={"/azaion": 96},
        gpus=(Gpu(0, 0, 1 << 30, 1 << 35, 71), Gpu(1)),
        queues={"annotation-queue": Queue(0, 10, 0, 0)},
        actions=("annotation-queue was started again",),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def rounds(path: Path, since: str = "") -> list[Round | None]:
    return [one for one, _ in history.read(str(path), since)]


def test_rounds_come_back_as_they_were_zeros_included(path: Path) -> None:
    for number in range(3):
        assert history.append(str(path), found(300 * number), 30 * DAY, EVERY) == ""
    assert rounds(path) == [found(300 * number) for number in range(3)]
    assert rounds(path, at(300)) == [found(300), found(600)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"null" not in path.read_bytes(), "what is empty takes no room"


def test_without_a_file_there_is_nothing(path: Path) -> None:
    assert rounds(path) == []


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"[]\n",
        b'{"at": 1}\n',
        b"\xff\n",
        b'{"at":"2026","strange":1}\n',
        b'{"at":"zzz"}\n',
        b'{"at":"2026-04-19T00:00:00Z","levels":{"a":"fine"}}\n',
        b"[" * 70_000,
    ],
)
def test_a_broken_line_costs_no_other(path: Path, broken: bytes) -> None:
    history.append(str(path), found(0), 30 * DAY, EVERY)
    path.write_bytes(path.read_bytes() + broken)
    history.append(str(path), found(300), 30 * DAY, EVERY)
    assert rounds(path) == [found(0), None, found(300)]


def test_a_line_torn_at_any_byte_is_followed_by_a_whole_one(path: Path) -> None:
    history.append(str(path), found(0), 30 * DAY, EVERY)
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole + whole[:length])
        history.append(str(path), found(300), 30 * DAY, EVERY)
        seen = rounds(path)
        assert (seen[0], seen[-1]) == (found(0), found(300)), f"torn at {length}"


def test_what_is_too_old_goes_and_nothing_else(path: Path) -> None:
    for number in range(300):
        history.append(str(path), found(number * 300), DAY / 2, EVERY)
    left = rounds(path)
    assert left == [found(number * 300) for number in range(300 - len(left), 300)]
    assert 144 <= len(left) <= 144 * history.SLACK + history.DOUBTED + 1
    assert not list(path.parent.glob(".*"))


def test_what_is_too_much_goes_the_oldest_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST", 4000)
    for number in range(50):
        history.append(str(path), found(number), 30 * DAY, EVERY)
        assert path.stat().st_size <= 4000 + 500
    left = rounds(path)
    assert left == [found(number) for number in range(50 - len(left), 50)]
    assert len(left) >= 5


def test_a_broken_first_line_does_not_have_the_file_written_anew_every_time(path: Path) -> None:
    path.write_bytes(b"nonsense\n")
    for number in range(3):
        history.append(str(path), found(number), 30 * DAY, EVERY)
    assert rounds(path) == [found(number) for number in range(3)]


def test_a_clock_that_is_set_back_costs_nothing(path: Path) -> None:
    for seconds in (0.0, 300.0, -40 * DAY, 600.0):
        history.append(str(path), found(seconds), 30 * DAY, EVERY)
    assert len(rounds(path)) == 4


def test_a_clock_that_is_far_ahead_for_ever_costs_no_round_that_is_young(path: Path) -> None:
    right = [number * 300.0 for number in range(288)]
    for seconds in right:
        history.append(str(path), found(seconds), DAY, EVERY)
    wrong = [365 * DAY + number * 300 for number in range(288)]
    moments = [at(seconds).encode() for seconds in right + wrong]
    for number, seconds in enumerate(wrong, start=len(right) + 1):
        history.append(str(path), found(seconds), DAY, EVERY)
        left = [line.split(b'"', 4)[3] for line in path.read_bytes().splitlines()]  # to read all takes far longer
        assert left == moments[number - len(left) : number]
        assert 288 <= len(left) <= 288 * history.SLACK + 1
    assert rounds(path) == [found(seconds) for seconds in (right + wrong)[-len(left) :]]


def test_a_clock_that_is_far_ahead_has_nothing_written_anew_every_round(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.append(str(path), found(0), DAY, EVERY)
    monkeypatch.delattr(history, "_write_anew")
    for number in range(20):
        assert history.append(str(path), found(365 * DAY + number * 300), DAY, EVERY) == ""


def test_a_full_disk_is_said(path: Path) -> None:
    assert "cannot be written" in history.append("/dev/full", found(0), DAY, EVERY)
    assert "cannot be written" in history.append(str(path / "nowhere" / "history.jsonl"), found(0), DAY, EVERY)
