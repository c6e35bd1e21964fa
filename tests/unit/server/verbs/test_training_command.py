"""The newest whole file that a run goes on from: what is being written, damaged or oddly named is passed over."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import pytest

from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.checks import batch
from gpu_runbook.server.verbs import training_command


def saved(folder: Path, name: str, age: float, whole: bool = True) -> Path:
    """What PyTorch saves, or the first half of it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("last/data.pkl", b"x" * 1000)
    if not whole:
        path.write_bytes(path.read_bytes()[:500])
    os.utime(path, (0, time.time() - age))
    return path


def found(folder: Path) -> tuple[str, str]:
    seen = training_command._checkpoint(Wanted("training", "batch", checkpoints=str(folder), checkpoint="last.pt"))
    return seen.name, seen.passed


def test_the_newest_whole_one_is_found_as_deep_as_a_run_saves_it(tmp_path: Path) -> None:
    saved(tmp_path, "azaion-2026-03-01/weights/last.pt", 4000)
    saved(tmp_path, "azaion-2026-02-01/weights/last.pt", 9000)
    saved(tmp_path, "azaion-2026-02-01/weights/best.pt", 500)
    saved(tmp_path, "azaion-2026-02-01/weights/old/last.pt", 500)
    (tmp_path / "last.pt").symlink_to("/etc/passwd")
    assert found(tmp_path) == ("azaion-2026-03-01/weights/last.pt", "")
    assert batch.newest(str(tmp_path), "last.pt").name == "azaion-2026-03-01/weights/last.pt"
    saved(tmp_path, "last.pt.d/last.pt", 2000)
    assert found(tmp_path) == ("last.pt.d/last.pt", "")


@pytest.mark.parametrize(
    ("age", "why"),
    [(4.0, "it is being written now"), (4000.0, "it is not whole: its end is missing or damaged")],
    ids=["that is written", "that is damaged"],
)
def test_one_that_is_not_whole_is_passed_over_and_said(tmp_path: Path, age: float, why: str) -> None:
    saved(tmp_path, "a/last.pt", age, whole=False)
    assert found(tmp_path) == ("", f'"a/last.pt" is passed over: {why}')
    saved(tmp_path, "b/last.pt", age + 10)
    assert found(tmp_path) == ("b/last.pt", f'"a/last.pt" is passed over: {why}')


def test_one_that_somebody_has_open_for_writing_is_passed_over(tmp_path: Path) -> None:
    with saved(tmp_path, "a/last.pt", 4000).open("ab"):
        assert found(tmp_path) == ("", '"a/last.pt" is passed over: it is being written now')
    assert found(tmp_path) == ("a/last.pt", "")


def test_one_that_changes_while_it_is_looked_at_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "a/last.pt", 10)
    monkeypatch.setattr(time, "sleep", lambda _: os.utime(path))
    assert found(tmp_path) == ("", '"a/last.pt" is passed over: it is being written now')


def test_a_name_that_would_do_something_in_a_shell_is_passed_over(tmp_path: Path) -> None:
    saved(tmp_path, "$(reboot)/last.pt", 4000)
    assert found(tmp_path) == ("", '"$(reboot)/last.pt" is passed over: its name fits on no command line')


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    missing = Wanted("training", "batch", checkpoints=f"{tmp_path}/none", checkpoint="last.pt")
    assert training_command._checkpoint(missing).trouble == "No such file or directory"
