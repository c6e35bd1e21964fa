"""The state moves out of the root: whole or not at all, wherever it is cut off, and nothing but what is ours."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import encoded
from gpu_runbook.protocol.requests import InstallRequest, StateMoveRequest
from gpu_runbook.protocol.schedule import Installed
from gpu_runbook.server.migration import copy
from gpu_runbook.server.migration import finish as state_moved
from gpu_runbook.server.models.apply import chosen
from gpu_runbook.server.run import recovery
from gpu_runbook.server.schedule import installation
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import lock, pause, record, stopped, store
from gpu_runbook.server.state import make as state_making
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.schedule_files import place
from gpu_runbook.server.state.store import Store, find_store, in_root
from gpu_runbook.server.system import crontab
from gpu_runbook.server.verbs import setup, state_move
from tests.data import old
from tests.unit.broken_disk import UNREACHED
from tests.unit.cut_off import let_go
from tests.unit.journals import add, begin

WHO = {"who": "ann", "laptop": "laptop"}


class Cut(BaseException):
    """The power fails."""


class Table:
    """A crontab."""

    def __init__(self) -> None:
        self.text = (old.scene(old.SETTLED) / "crontab").read_text()

    def read(self, needed: bool = True) -> str:
        return self.text

    def write(self, text: str) -> None:
        self.text = text

    def stands(self, text: str) -> bool:
        return text == self.text

    def block(self, root: str) -> str:
        return crontab.found(self.text, root) or ""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    made = Table()
    monkeypatch.setattr(crontab, "read", made.read)
    monkeypatch.setattr(crontab, "write", made.write)
    monkeypatch.setattr(crontab, "stands", made.stands)
    yield made


@pytest.fixture
def tmp_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In memory: on a real disk, of which nothing is tried here, thousands of files take most of the time."""
    monkeypatch.setattr(state_making, "file_system", lambda path: "ext4")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(tmp_path / "home/state")


@pytest.fixture
def root(tmp_path: Path, table: Table) -> str:
    """A server on which 0.1.0 was at work, and its check is installed."""
    folder = tmp_path / "azaion"
    folder.mkdir()
    old.placed(old.SETTLED, folder)
    table.text = table.text.replace("/azaion", str(folder))
    return str(folder)


@pytest.fixture(autouse=True)
def a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is laid down is made from the old settings: what a real laptop sends is tried on real parts."""

    def lay_down(found: Store, asked: InstallRequest) -> list[str]:
        path = Path(place(found, "settings.json"))
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(asked.sources)
        Path(place(found, "check.pyz")).write_text("the new program")
        return ["program", "settings"]

    monkeypatch.setattr(installation, "lay_down", lay_down)


def moved(root: str, base: str, install: bool = True, said: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    settings = (old.scene(old.SETTLED) / "azaion/.deploy/health/settings.json").read_text().replace("/azaion", root)
    kept = decode(Installed, json.loads(settings), "settings").settings
    check = InstallRequest(kept, settings, "", "", **WHO) if install else None
    asked = StateMoveRequest(root, base, "", **WHO, what="root", install=check)
    state_move._live(in_root(root), Store(root, store.place(root, base)), asked, said)


def known(found: Store) -> dict[str, Any]:
    """What a server remembers, as values."""
    return {
        "record": record.load(found)[0],
        "runs": {
            run: journals.state(found, run)
            for run in journals.runs(found)
            if journals.state(found, run).action != state_moved.ACTION
        },
        "stopped": stopped.load(found)[0],
        "pause": pause.load(found, time.time())[0],
        "model": chosen(found),
        "salt": Path(found.salt).read_bytes(),
        "alerts": [one.message for one in (states.load(place(found, "state.json"))[0] or states.State()).pending],
        "history": Path(place(found, "history.jsonl")).read_bytes(),
        "configs": {
            str(path.relative_to(found.releases)): path.read_bytes() for path in Path(found.releases).rglob("*.yaml")
        },
    }


def test_all_that_was_remembered_is_remembered_and_the_check_goes_on(root: str, base: str, table: Table) -> None:
    before = known(find_store(root, base))
    assert before["alerts"] and before["stopped"] and before["configs"], "there is something to lose"
    told: list[dict[str, Any]] = []
    moved(root, base, said=told.append)
    new = find_store(root, base)
    assert not new.is_in_root and new.folder.startswith(base)
    assert known(new) == before
    assert new.marked().was == (f"{root}/.deploy",)
    assert told[0]["folder"] == new.folder and told[0]["left"] == ()
    assert f"{new.folder}/health/check.pyz" in table.block(root) and ".deploy" not in table.text
    assert "somebody" in table.text or len(table.text.splitlines()) > 3, "other people's lines stay"
    assert Path(place(new, "check.pyz")).read_text() == "the new program"
    assert [path.name for path in Path(root).glob(".deploy*")] == [".deploy"], "nothing else is left in the root"
    assert new.folder in Path(root, ".deploy").read_text()
    assert journals.state(new, journals.runs(new)[-1]).outcome == "done"


def test_what_a_container_may_have_written_is_not_run(root: str, base: str) -> None:
    evil = Path(root, ".deploy/health")
    (evil / "check.pyz").write_text("evil")
    (evil / "settings.json").write_text('{"evil": 1}')
    Path(root, ".deploy/folder.json").write_text('{"was": ["/evil"]}')
    moved(root, base)
    new = find_store(root, base)
    assert "evil" not in Path(place(new, "check.pyz")).read_text() + Path(place(new, "settings.json")).read_text()
    assert new.marked().was == (f"{root}/.deploy",)


def test_without_a_check_none_is_laid_down(root: str, base: str, table: Table) -> None:
    table.text = crontab.with_block(table.text, root, "")
    shutil.rmtree(f"{root}/.deploy/health")
    moved(root, base, install=False)
    assert table.block(root) == "" and not Path(place(find_store(root, base), "check.pyz")).exists()


def test_a_check_that_would_be_lost_keeps_everything_where_it_is(root: str, base: str, table: Table) -> None:
    before = known(in_root(root))
    with pytest.raises(Refusal, match="was not laid down anew; nothing was moved"):
        moved(root, base, install=False)
    assert known(find_store(root, base)) == before and table.block(root)


@pytest.mark.parametrize("when", ["out", "in"])
def test_a_crontab_that_cannot_be_written(
    root: str, base: str, table: Table, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is moved nothing is; after that, the next command finishes it."""
    written: list[str] = []

    def write(text: str) -> None:
        written.append(text)
        if len(written) == (1 if when == "out" else 2):
            raise Refusal("cron does not take the crontab: a mood", "see crontab -l")
        table.text = text

    monkeypatch.setattr(crontab, "write", write)
    with pytest.raises(Refusal, match="cron does not take") as refused:
        moved(root, base)
    found = find_store(root, base)
    assert found.is_in_root == (when == "out")
    if when == "out":
        assert "nothing was moved" in refused.value.message and table.block(root)
        return
    let_go()
    assert refused.value.kind == "person" and journals.last(found).state == "cut-off"  # type: ignore[union-attr]
    finished(found)
    assert f"{found.folder}/health/check.pyz" in table.block(root)


def finished(found: Store) -> None:
    """What the next command does first."""
    held = lock.acquire(found, {})
    recovery.cut_off_runs(found, NO_ENGINE, held, ())
    os.close(held)


NO_ENGINE: Any = None


def cut_points(root: str, base: str, monkeypatch: pytest.MonkeyPatch, at: int) -> tuple[int, int]:
    """Move, and let the power fail at the nth change of anything; how many there were, and how many before it came to
    the exchange of the folder.
    """
    count = depth = before = 0

    def counting(change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*words: Any, **more: Any) -> Any:
            nonlocal count, depth
            count += not depth  # a tree that is removed is one change, however many files it has
            if count == at and not depth:
                raise Cut
            depth += 1
            try:
                return change(*words, **more)
            finally:
                depth -= 1

        return counted

    def exchanged(one: str, other: str) -> bool:
        nonlocal before
        before = count
        return exchange(one, other)

    exchange = state_move._exchanged
    with monkeypatch.context() as patch:
        patch.setattr(state_move, "_exchanged", exchanged)
        for module, name in (
            (os, "rename"),
            (os, "replace"),
            (os, "unlink"),
            (os, "mkdir"),
            (crontab, "write"),
            (shutil, "rmtree"),
        ):
            patch.setattr(module, name, counting(getattr(module, name)))
        with contextlib.suppress(Cut):
            moved(root, base)
    return count, before


@contextlib.contextmanager
def made_again(folder: Path) -> Iterator[None]:
    """A container, or a laptop of the older version, makes a folder where the old one was."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    (folder / "runs").mkdir(parents=True)
    yield
    shutil.rmtree(folder)
    kept.rename(folder)


@pytest.mark.parametrize("exchanges", [True, False])
def test_cut_off_anywhere_one_folder_is_in_force_with_all_of_it(
    root: str, base: str, table: Table, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exchanges: bool
) -> None:
    if not exchanges:  # which is true of some file systems
        monkeypatch.setattr(state_move, "_exchanged", lambda one, other: False)
    Path(root, ".deploy/health/check.pyz").write_text("")
    shutil.copytree(root, tmp_path / "kept", symlinks=True)
    text, whole = table.text, known(in_root(root))
    total, before = cut_points(root, base, monkeypatch, UNREACHED)
    assert total > 30 and before > 20
    stayed = went = 0
    # Up to the exchange both are one.
    for at in range(1 if exchanges else before, total + 1):
        for path in (Path(root), Path(base)):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(tmp_path / "kept", root, symlinks=True)
        table.text = text
        cut_points(root, base, monkeypatch, at)
        let_go()
        found = find_store(root, base)
        assert known(found) == whole, f"cut at change {at}"
        place = Path(root, ".deploy")
        assert not exchanges or place.exists(), "an older laptop never comes to a root where nothing is"
        if place.is_file():
            with made_again(place):
                assert known(find_store(root, base)) == whole, f"after a cut at change {at}"
        if found.is_in_root:
            stayed += 1
            moved(root, base)
        else:
            went += 1
            (last,) = [journals.state(found, run) for run in journals.runs(found)[-1:]]
            cut = last.id if last.state == "cut-off" else ""  # the last one comes to its end
            assert setup._unfinished(found) == cut, "fab setup, given again, goes on with it"
            finished(found)
        let_go()
        after = find_store(root, base)
        assert setup._unfinished(after) == ""
        assert not after.is_in_root and known(after) == whole, f"finished after a cut at change {at}"
        assert f"{after.folder}/health/check.pyz" in table.block(root), f"the check is back after a cut at change {at}"
        assert Path(root, ".deploy").is_file() and not Path(after.arriving).exists()
        assert [path.name for path in Path(root).glob(".deploy*")] == [".deploy"], f"after a cut at change {at}"
        assert [run for run in journals.runs(after) if journals.state(after, run).state == "cut-off"] == []
    assert stayed and went, "it was cut off before and after the rename"


@pytest.mark.parametrize(
    "trick",
    [
        lambda folder: _instead(folder / "previous-tags.json", lambda path: os.mkfifo(path)),
        lambda folder: _instead(folder / "salt", lambda path: path.symlink_to("/etc/shadow")),
        lambda folder: _instead(folder / "runs", lambda path: path.symlink_to("/etc")),
        lambda folder: _instead(folder / "model.json", lambda path: path.mkdir()),
        lambda folder: os.truncate(folder / "stopped.json", 1 << 40),
        lambda folder: [(folder / "runs" / f"20260101-000000-{n:04x}.jsonl").touch() for n in range(60)],
    ],
)
def test_what_is_not_what_it_should_be_is_named_and_nothing_is_moved(
    root: str, base: str, table: Table, trick: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "MOST", 50)
    trick(Path(root, ".deploy"))
    try:
        moved(root, base)
    except Refusal as refusal:
        assert "nothing was moved" in refusal.message and "\n" not in refusal.message
    else:
        raise AssertionError("it was moved")
    assert find_store(root, base).is_in_root
    assert not Path(store.place(root, base)).exists() and table.block(root)


def _instead(path: Path, make: Callable[[Path], Any]) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    make(path)


def test_what_is_none_of_ours_stays_behind_and_is_named(root: str, base: str) -> None:
    evil = Path(root, ".deploy")
    (evil / "evil.sh").write_text("#!/bin/sh")
    (evil / "releases/not an id").mkdir()
    (evil / "runs/evil\nrow.jsonl").touch()
    told: list[dict[str, Any]] = []
    moved(root, base, said=told.append)
    assert told[0]["left"] == ("evil.sh", "releases/not an id", "runs/evil\nrow.jsonl")
    (aside,) = Path(root).glob(".deploy.moved-*")
    assert (aside / "evil.sh").exists(), "it is a person's to look at"


def test_a_run_at_work_in_the_old_folder_comes_first(root: str, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    held = lock.acquire(in_root(root), {"who": "bob", "action": "deploy", "since": "now"})
    with pytest.raises(Refusal, match="bob holds the lock"):
        moved(root, base)
    os.close(held)


def test_a_run_that_was_cut_off_is_finished_first(root: str, base: str) -> None:
    Path(in_root(root).journal("20990101-000000-abcd")).write_text('{"event": "begin", "action": "deploy"}\n')
    with pytest.raises(Refusal, match=r"run 20990101-000000-abcd has not ended \(cut-off\); nothing was moved"):
        moved(root, base)


def test_a_round_at_work_comes_to_its_end_first(root: str, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_move, "PATIENCE", 0.2)
    with open(place(in_root(root), "lock"), "w") as file:  # noqa: PTH123
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Refusal, match="a round of the check does not come to its end; nothing was moved"):
            moved(root, base)
    let_go()
    moved(root, base)


def test_an_older_version_ends_in_a_refusal(root: str, base: str, tmp_path: Path) -> None:
    """Its first words about the place are these; the whole of it is tried on real parts."""
    moved(root, base)
    with pytest.raises(NotADirectoryError):
        Path(root, ".deploy/runs").mkdir()


def test_two_states_are_for_a_person(root: str, base: str) -> None:
    new = Store(root, store.place(root, base))
    make(new)
    Path(new.record).write_text("{}")
    with pytest.raises(Refusal, match="both hold a state; nothing was moved"):
        moved(root, base)


def test_settings_of_the_move_are_those_of_the_laptop(root: str, base: str) -> None:
    moved(root, base)
    found = json.loads(Path(place(find_store(root, base), "settings.json")).read_text())
    assert decode(Installed, found, "installed").settings.root == root


@pytest.mark.parametrize("where", ["old", "new"])
def test_a_journal_that_tells_of_a_move_removes_nothing(root: str, base: str, tmp_path: Path, where: str) -> None:
    """Containers can write in the old folder, and what they have written there came along."""
    kept = tmp_path / "models"
    kept.mkdir()
    if where == "new":
        moved(root, base)
        let_go()
    found, run = find_store(root, base), "20990101-000000-abcd"
    add(found, run, encoded(begin(run, state_moved.ACTION)) | {"root": root, "was": str(kept), "left": []})
    finished(found)
    assert kept.is_dir()
    assert journals.state(found, run).outcome == ("needs-person" if where == "old" else "done")


@pytest.mark.parametrize("change", [{"run": "../../x"}, {"was": "models"}, {"was": None}])
def test_a_move_without_ids_and_paths_is_for_a_person(root: str, base: str, change: dict[str, Any]) -> None:
    moved(root, base)
    let_go()
    found, run = find_store(root, base), "20990101-000000-abcd"
    moving = encoded(begin(run, state_moved.ACTION)) | {"root": root, "was": f"{root}/.deploy", "left": []}
    add(found, run, moving | change)
    finished(found)
    assert journals.state(found, run).sentence.startswith(f"the journal of run {run} is damaged: ")


def test_a_journal_that_came_while_they_were_copied_is_not_taken_over(
    root: str, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, run = copy.copied, "20990101-000000-abcd"

    def late(source: str, target: str) -> list[str]:
        Path(in_root(root).journal(run)).write_text('{"event": "begin", "action": "deploy"}\n')
        return copied(source, target)

    monkeypatch.setattr(state_move, "copied", late)
    with pytest.raises(Refusal, match=f"{root}/.deploy/runs changed while it was copied; nothing was moved"):
        moved(root, base)
    assert find_store(root, base).is_in_root
