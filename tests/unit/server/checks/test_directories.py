"""The directories of hosts.yaml: what is not as it should be, who may put it right, and the command for root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.deploy import snapshot
from gpu_runbook.laptop.inventory.entries import FolderEntry as Entry
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, Check
from gpu_runbook.protocol.setup import Directory, NotDone
from gpu_runbook.server.checks import directories
from gpu_runbook.server.state.store import find_store
from gpu_runbook.server.verbs import setup
from tests.unit.scene import bare

ME = f"{os.geteuid()}:{os.getegid()}"


@pytest.fixture
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a login that owns what the test makes, and is not root, whoever runs the test."""
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid or 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: "closed" not in str(path))


def lacks(path: Path | str, **more: Any) -> list[tuple[str, str, bool]]:
    return [(lack.what, lack.command, lack.mine) for lack in directories.lacks(Directory(str(path), **more))]


def test_what_is_there_as_it_should_be_lacks_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    assert lacks(tmp_path) == lacks(tmp_path, owner=ME, mode=0o750) == []
    (tmp_path / "link").symlink_to(tmp_path)
    assert lacks(tmp_path / "link", owner=ME, mode=0o750) == []
    assert directories.check("tree", []).level == SKIPPED
    assert directories.check("tree", [Directory(str(tmp_path))]).level == OK


def test_each_fault_is_named_with_the_command_that_puts_it_right(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").touch()
    missing = tmp_path / "a" / "b"
    assert lacks(missing, owner=ME, mode=0o2775) == [
        (f"{missing} is missing", f"install -d -m 2775 -o {os.geteuid()} -g {os.getegid()} {missing}", True)
    ]
    assert lacks(missing) == [(f"{missing} is missing", f"install -d -m 0755 {missing}", True)]
    (found,) = lacks(tmp_path / "file")
    assert found == (f"{tmp_path}/file is no directory", f"mv {tmp_path}/file {tmp_path}/file.old", False)
    (found,) = lacks(tmp_path / "file" / "x")
    assert found == (f"{tmp_path}/file/x cannot be seen: Not a directory", "", False)
    assert lacks(tmp_path, owner="7:8", mode=0o700) == [
        (f"{tmp_path} belongs to {ME} instead of 7:8", f"chown 7:8 {tmp_path}", os.geteuid() == 0),
        (f"{tmp_path} has mode 0755 instead of 0700", f"chmod 0700 {tmp_path}", True),
    ]


def test_what_this_login_may_not_do_is_left_to_root(tmp_path: Path, no_root: None) -> None:
    (tmp_path / "closed").mkdir()
    row = directories.check(
        "tree",
        [Directory(f"{tmp_path}/closed/x/y"), Directory(f"{tmp_path}/mine"), Directory(f"{tmp_path}/theirs", "7:8")],
    )
    assert (row.level, row.figures) == (CRITICAL, {"directories": 3, "lacking": 3})
    mine = f"-o {os.geteuid()} -g {os.getegid()}"
    commands = f"install -d -m 0755 {mine} {tmp_path}/closed/x/y && install -d -m 0755 -o 7 -g 8 {tmp_path}/theirs"
    assert row.hint == f"fab setup; as root: {commands}"
    assert directories.check("tree", [Directory(f"{tmp_path}/theirs", "7:8")]).hint.startswith("as root: ")
    assert directories.check("tree", [Directory(f"{tmp_path}/mine")]).hint == "fab setup"
    assert [mine for _, _, mine in lacks("/", owner="7:8", mode=0o7)] == [False, False]
    os.chown(tmp_path / "closed", os.geteuid(), -1)
    assert [mine for _, _, mine in lacks(tmp_path / "closed", owner="7:8", mode=0o7)] == [False, True]


def test_paths_are_below_the_root_or_absolute_and_come_from_above(tmp_path: Path) -> None:
    scene = bare(tmp_path)
    entries = {"models/x": Entry(mode=0o750), ".": Entry(owner="1:2"), "/srv": Entry(), "models": Entry()}
    object.__setattr__(scene.inventory, "tree", entries)
    host = scene.resolved.host
    assert [folder.path for folder in snapshot.folders(scene.inventory, host)] == [
        *("/azaion", "/azaion/models", "/azaion/models/x", "/srv")
    ]
    assert snapshot.folders(scene.inventory, host)[0] == Directory("/azaion", "1:2")


def put_right(folder: Directory, dry_run: bool = False) -> tuple[list[str], list[NotDone]]:
    done: list[str] = []
    left: list[NotDone] = []
    setup._put_right(folder, dry_run, done, left)
    return done, left


def test_setup_makes_what_is_missing_and_touches_nothing_in_what_is_there(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir(0o700)
    (there / "model").write_text("weights")
    before = (there / "model").stat()
    wanted = [Directory(f"{tmp_path}/new/inner", ME, 0o2770), Directory(str(there), "", 0o755)]
    assert all(put_right(folder, dry_run=True)[0] for folder in wanted)
    assert not (tmp_path / "new").exists() and there.stat().st_mode & 0o777 == 0o700
    for folder in wanted:
        done, left = put_right(folder)
        assert (len(done), left) == (1, [])
        assert put_right(folder) == ([], [])  # the second time there is nothing to do
    assert (tmp_path / "new" / "inner").stat().st_mode & 0o7777 == 0o2770
    assert (there / "model").stat() == before


def test_what_fails_in_the_doing_is_left_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: Any, **more: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mkdir", refuse)
    done, (left,) = put_right(Directory(f"{tmp_path}/x"))
    assert (done, left.root, left.hint) == ([], True, f"install -d -m 0755 {tmp_path}/x")
    assert left.what == f"{tmp_path}/x is missing (Operation not permitted)"


def test_a_root_that_cannot_be_written_is_left_to_root_once(tmp_path: Path, no_root: None) -> None:
    closed = tmp_path / "closed"
    store = find_store(str(closed), f"{closed}/state")
    row = Check("root", CRITICAL, f"{closed} is not writable for me")
    assert list(setup._unfit(row, store)) == []  # it is missing: that is said with the directories
    closed.mkdir()
    (left,) = setup._unfit(row, store)
    assert left == NotDone(row.sentence, f"chown {os.geteuid()}:{os.getegid()} {closed}", True)
    done: list[str] = []
    setup._make_ours(store, [Check("state", CRITICAL, "")], False, done)
    assert (done, store.exists) == ([], False)


@pytest.mark.parametrize(
    ("complaint", "denied"),
    [
        ("login attempt to http://r:5000/v2/ failed with status: 401 Unauthorized", True),
        ("Get https://r/v2/: unauthorized: incorrect username or password", True),
        ("denied: denied", True),
        ("Error saving credentials: open /root/.docker/config.json: permission denied", False),
        ("Get http://r:4010/v2/: dial tcp 127.0.0.1:4010: connect: connection refused", False),
    ],
)
def test_a_refused_login_is_told_from_a_registry_that_is_not_there(complaint: str, denied: bool) -> None:
    assert bool(setup.DENIED.search(complaint)) == denied
