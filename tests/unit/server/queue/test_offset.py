from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.server.queue import offset
from gpu_runbook.server.queue.offset import OffsetError, Position


def no_sleep(seconds: float) -> None:
    """Retries at once."""


def written(tmp_path: Path, text: str) -> OffsetFile:
    path = tmp_path / "offset.yaml"
    path.write_bytes(text.encode())
    return OffsetFile(str(path))


def value(file: OffsetFile) -> int:
    return offset.read(file, no_sleep).value


@pytest.mark.parametrize(
    "text",
    [
        "offset: 123\n",
        "offset: 123",
        "offset:   123   # saved on exit\n",
        "'offset': 123\n",
        '{"offset": 123}',
        '{"stream": "a", "offset": 123}\n',
        "stream: azaion\r\noffset: 123\r\n",
        "nested:\n  offset: 5\noffset: 123\nlater: 9\n",
        "\ufeffoffset: 123\n",
    ],
)
def test_the_position_is_found(tmp_path: Path, text: str) -> None:
    assert value(written(tmp_path, text)) == 123


@pytest.mark.parametrize(
    "text",
    [
        *("", "   \n", "[1]", "other: 1\n", "  offset: 1\n"),
        *("offset:\n", "offset: true\n", "offset: -1\n", "offset: 1.5\n", "offset: '12'\n"),
        *('{"offset": true}', '{"offset": -1}', '{"offset": "1"}', '{"off', '{"other": 1}'),
    ],
)
def test_what_is_no_position_is_said_to_be_garbled(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(OffsetError, match=file.path) as caught:
        value(file)
    assert caught.value.kind == "garbled"


def test_a_missing_file_is_gone(tmp_path: Path) -> None:
    with pytest.raises(OffsetError, match="does not exist") as caught:
        value(OffsetFile(str(tmp_path / "offset.yaml")))
    assert caught.value.kind == "gone"


def test_a_pipe_is_unreadable_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "offset.yaml")
    with pytest.raises(OffsetError) as caught:
        value(OffsetFile(str(tmp_path / "offset.yaml")))
    assert caught.value.kind == "unreadable"


def test_a_directory_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(OffsetError, match="Is a directory") as caught:
        value(OffsetFile(str(tmp_path)))
    assert caught.value.kind == "unreadable"


def test_a_file_that_is_being_written_is_read_again(tmp_path: Path) -> None:
    file = written(tmp_path, "")
    stages = iter(["offset:", "offset: 12", "offset: 1234\n"])

    def write_on(seconds: float) -> None:
        Path(file.path).write_text(next(stages))

    assert offset.read(file, write_on).value == 1234


def test_a_number_without_an_end_of_line_has_to_stand_there_twice(tmp_path: Path) -> None:
    file = written(tmp_path, "offset: 12")

    def write_on(seconds: float) -> None:
        Path(file.path).write_text("offset: 1234\n")

    assert offset.read(file, write_on).value == 1234


def test_the_time_of_writing_comes_along(tmp_path: Path) -> None:
    file = written(tmp_path, "offset: 1\n")
    assert offset.read(file) == Position(1, Path(file.path).stat().st_mtime)


@given(st.integers(0, 10**18), st.booleans())
def test_what_yaml_and_json_writers_write_is_read(
    tmp_path_factory: pytest.TempPathFactory, number: int, as_json: bool
) -> None:
    text = json.dumps({"offset": number}) if as_json else yaml.safe_dump({"offset": number, "stream": "a"})
    assert value(written(tmp_path_factory.mktemp("offset"), text)) == number


def test_the_next_offset_depends_on_what_the_file_means() -> None:
    assert offset.next_offset(OffsetFile("f", means="next"), 7) == 7
    assert offset.next_offset(OffsetFile("f", means="last"), 7) == 8


def test_what_a_consumer_may_not_have_saved_yet_is_no_backlog() -> None:
    file = OffsetFile("f", saved_every=50)
    assert offset.backlog(file, 100, 99) == 0
    assert offset.backlog(file, 100, 149) == 0
    assert offset.backlog(file, 100, 150) == 51
    assert offset.backlog(file, 0, None) == 0


@pytest.mark.parametrize(
    ("means", "text", "expected"),
    [
        ("next", "offset: 123\n", "offset: 7\n"),
        ("last", "offset: 123\n", "offset: 6\n"),
        ("next", "a: 123\noffset:   123   # 123 of them\r\nb: 1", "a: 123\noffset:   7   # 123 of them\r\nb: 1"),
        ("next", "offset: 1234\noffset: 123\n", "offset: 1234\noffset: 7\n"),  # of several the last counts
        ("next", '{"stream": "a", "offset": 123}', '{"stream": "a", "offset": 7}\n'),
    ],
)
def test_a_position_is_put_back_and_nothing_else_of_the_file_changed(means: str, text: str, expected: str) -> None:
    assert offset.moved(OffsetFile("/azaion/offset.yaml", means=means), text, 7) == expected


def test_a_file_without_a_position_has_none_to_put_back() -> None:
    with pytest.raises(OffsetError):
        offset.moved(OffsetFile("/azaion/offset.yaml"), "other: 1\n", 7)
