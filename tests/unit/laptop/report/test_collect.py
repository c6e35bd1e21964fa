"""Where `fab report` writes its page: a file of its own, never through what somebody else could have put there."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.report import collect
from gpu_runbook.protocol.health import Request
from tests.report import made
from tests.unit.in_process import session


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def written(path: Path) -> str:
    collect.writable(path)
    collect.write(path, [made.unreachable()])
    assert [one.name for one in path.parent.iterdir() if one.name.startswith(".")] == []
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_page_is_a_new_file_with_the_mode_of_any_other(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "week.html"
    with umask(mask):
        assert written(path).startswith("<!doctype html>")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_who_has_the_old_page_open_goes_on_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "week.html"
    path.write_text("old")
    with path.open() as old:
        assert written(path) != "old"
        assert old.read() == "old"


def linked(path: Path) -> None:
    path.with_suffix(".precious").write_text("precious")
    path.symlink_to(path.with_suffix(".precious"))


def linked_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_suffix(".none"))


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (linked, "is a link"),
        (linked_to_nothing, "is a link"),
        (pipe, "is no regular file"),
        (folder, "cannot be written|is no regular file"),
    ],
)
def test_what_is_no_file_is_neither_followed_nor_replaced(
    tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    """Whether it was there before anything was asked, or came while the servers answered."""
    path = tmp_path / "week.html"
    make(path)
    before = {one.name: (one.lstat().st_ino, one.lstat().st_mtime_ns) for one in tmp_path.iterdir()}
    with pytest.raises(BadInput, match=f"^{re.escape(str(path))} ({sentence})$"):
        collect.writable(path)
    with pytest.raises(BadInput, match=f"^{re.escape(str(path))} ({sentence})$"):
        collect.write(path, [made.unreachable()])
    assert {one.name: (one.lstat().st_ino, one.lstat().st_mtime_ns) for one in tmp_path.iterdir()} == before


@pytest.mark.parametrize("path", [Path("/dev/null"), Path("/dev/stdout")])
def test_a_device_stays_what_it_is(path: Path) -> None:
    with pytest.raises(BadInput, match=rf"^{path} (is no regular file|is a link|cannot be written)$"):
        collect.writable(path)


def test_a_folder_that_is_not_there_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        collect.writable(tmp_path / "none" / "week.html")


def test_a_name_that_is_guessed_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / f".report.{'00' * 8}").symlink_to(precious)
    with pytest.raises(BadInput, match="cannot be written: File exists"):
        collect.write(tmp_path / "week.html", [made.unreachable()])
    assert precious.read_text() == "precious"


def test_a_full_disk_leaves_the_old_page_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "week.html"
    path.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadInput, match="cannot be written: No space left on device"):
        collect.write(path, [made.unreachable()])
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("week.html", "old")]


def test_a_server_whose_variables_cannot_be_read_is_on_the_page_and_says_so() -> None:
    def questions() -> Request:
        raise Refused("gpu-1: /etc/azaion/.env is not for its owner alone (mode 0644)", "chmod 600 it")

    found = collect.of_server(session(), ("/azaion", ""), questions, 60)
    assert found.error == "gpu-1: /etc/azaion/.env is not for its owner alone (mode 0644). chmod 600 it"
