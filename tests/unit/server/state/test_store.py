"""Where the state of a server lies, and on what ground it may."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory.model import load_inventory
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.state import lock, store
from gpu_runbook.server.state import make as state_making
from gpu_runbook.server.state.make import file_system, make
from gpu_runbook.server.state.store import Marker, Store, find_store, in_root, place
from tests.data import old

MACHINE = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32


@pytest.fixture(autouse=True)
def a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine of that id."""
    path = tmp_path / "machine-id"
    path.write_text(MACHINE + "\n")
    monkeypatch.setattr(store, "MACHINE_IDS", (str(path),))
    yield path


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(tmp_path / "base")


def test_by_itself_it_lies_below_the_home_that_passwd_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/elsewhere")
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert place("/azaion", "") == f"{home}/.local/state/gpu-runbook/azaion@01234567"


def test_there_is_one_folder_for_each_machine_and_root(base: str, a_machine: Path) -> None:
    assert place("/azaion", base) == f"{base}/azaion@01234567"
    assert place("/data/azaion", base) == f"{base}/data,azaion@01234567"
    a_machine.write_text(OTHER)
    assert place("/azaion", base) == f"{base}/azaion@ffffffff"
    a_machine.write_text("uninitialized\n")
    assert place("/azaion", base) == f"{base}/azaion"


def test_a_home_that_fits_no_crontab_is_refused_with_the_line_that_makes_another_place(base: str) -> None:
    with pytest.raises(Refusal, match="no plain path") as refused:
        place("/azaion", base + "/100%")
    assert "install -d" in refused.value.hint and "state: /var/lib/gpu-runbook" in refused.value.hint


def test_it_is_made_for_this_login_alone_with_the_machine_it_was_made_on(tmp_path: Path, base: str) -> None:
    made = find_store(str(tmp_path), base)
    make(made)
    assert made.marked() == Marker(MACHINE)
    for path in (base, made.folder, made.runs, made.releases):
        assert oct(Path(path).stat().st_mode)[-4:] == "0700", path
    Path(made.folder).chmod(0o750)
    make(made)
    assert oct(Path(made.folder).stat().st_mode)[-4:] == "0700"


def test_one_of_another_machine_is_refused_and_both_ways_on_are_named(tmp_path: Path, base: str) -> None:
    made = find_store(str(tmp_path), base)
    make(made)
    Path(made.marker).write_text(json.dumps(encode(Marker(OTHER))))
    with pytest.raises(Refusal, match="was made on another machine") as refused:
        made.check_owner()
    assert "--move-state" in refused.value.hint and "--forget-state" in refused.value.hint


@pytest.mark.parametrize(
    ("kind", "unfit"),
    [(kind, True) for kind in ("nfs4", "cifs", "tmpfs", "fuse.sshfs", "fuseblk", "ceph", "ocfs2", "9p")]
    + [(kind, False) for kind in ("ext4", "xfs", "btrfs", "zfs", "overlay", "")],
)
def test_what_does_not_hold_is_no_ground(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch, kind: str, unfit: bool
) -> None:
    monkeypatch.setattr(state_making, "file_system", lambda path: kind)
    made = find_store(str(tmp_path), base)
    if not unfit:
        make(made)
        return
    with pytest.raises(Refusal, match=f"kind {kind}: what is written there does not hold") as refused:
        make(made)
    assert "install -d" in refused.value.hint
    assert not made.exists, "nothing is left behind"


def test_where_nothing_can_be_locked_is_no_ground(tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(Refusal, match="takes no locks"):
        make(find_store(str(tmp_path), base))


def test_the_kind_of_a_file_system_is_that_of_the_innermost_mount() -> None:
    assert file_system("/proc/self") == "proc"
    assert file_system("/dev/shm") == "tmpfs"


def test_as_long_as_nothing_was_moved_the_old_folder_is_in_force_and_that_is_said(tmp_path: Path, base: str) -> None:
    root = str(tmp_path / "azaion")
    heard: list[dict[str, str]] = []
    assert not find_store(root, base, heard.append).is_in_root and heard == []
    in_root_of(root)
    found = find_store(root, base, heard.append)
    assert found == in_root(root) and found.is_in_root
    assert [event["event"] for event in heard] == ["notice"]
    assert f"{root}/.deploy, where containers can write" in heard[0]["text"]
    assert place(root, base) in heard[0]["text"]


def test_once_the_new_folder_is_whole_an_old_one_that_comes_back_is_nothing(tmp_path: Path, base: str) -> None:
    root = str(tmp_path / "azaion")
    new = find_store(root, base)
    make(new)
    in_root_of(root)  # as a container would make it
    assert find_store(root, base) == new
    Path(new.arriving).touch()
    assert find_store(root, base).is_in_root, "a copy that is not whole is not in force"


@pytest.mark.parametrize("what", ["file", "link", "empty"])
def test_what_is_no_folder_of_ours_is_none(tmp_path: Path, base: str, what: str) -> None:
    root = tmp_path / "azaion"
    root.mkdir()
    if what == "file":
        (root / ".deploy").write_text("gpu-runbook keeps its state elsewhere\n")
    elif what == "link":
        in_root_of(str(tmp_path / "other"))
        (root / ".deploy").symlink_to(tmp_path / "other/.deploy")
    else:
        (root / ".deploy").mkdir()
    assert not find_store(str(root), base).is_in_root


def test_a_link_within_the_old_folder_is_refused(tmp_path: Path, base: str) -> None:
    root = str(tmp_path / "azaion")
    in_root_of(root)
    Path(root, ".deploy/releases").rmdir()
    Path(root, ".deploy/releases").symlink_to("/etc")
    with pytest.raises(Refusal, match=r"releases is no directory: a container may have changed it"):
        find_store(root, base).check_owner()


def test_a_lock_that_was_moved_away_meanwhile_holds_nothing(tmp_path: Path, base: str) -> None:
    root = str(tmp_path / "azaion")
    in_root_of(root)
    known = find_store(root, base)
    os.close(lock.acquire(known, {}))
    Path(known.folder).rename(f"{root}/.deploy.moved")
    with pytest.raises(Refusal, match="was moved away") as refused:
        lock.acquire(known, {})
    assert refused.value.hint == "run it again"
    Path(known.folder).write_text("a file now")
    with pytest.raises(Refusal, match="was moved away"):
        lock.acquire(known, {})


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path, base: str) -> None:
    root = str(tmp_path / "azaion")
    in_root_of(root)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    Path(in_root(root).lock).symlink_to(victim)
    with pytest.raises(Refusal, match="lock cannot be opened: Too many levels of symbolic links"):
        lock.acquire(in_root(root), {"who": "x"})
    assert victim.read_text() == "mine"


def in_root_of(root: str) -> None:
    for name in ("runs", "releases"):
        Path(root, ".deploy", name).mkdir(parents=True)


HOSTS = """\
defaults: {{{defaults}}}
hosts:
  gpu-1: {{address: gpu-1.lan, root: /azaion{host}}}
services:
  queue: {{kind: consumer, image: azaion/queue, mounts: ["/srv/queue:/queue"]}}
"""


@pytest.mark.parametrize(
    ("defaults", "host", "sentence"),
    [
        ("", ", state: /azaion/state", "hosts.yaml:3: hosts.gpu-1.state: is below the root (/azaion)"),
        ("state: /azaion", "", "hosts.yaml:1: defaults.state: is below the root (/azaion)"),
        ("", ", state: /srv/queue/state", "hosts.gpu-1.state: is not apart from /srv/queue, which queue mounts"),
        ("", ", state: /srv", "hosts.gpu-1.state: is not apart from /srv/queue, which queue mounts"),
        ("", ", state: state", "hosts.gpu-1.state: an absolute path is expected"),
        ("", ", state: /var/../azaion", "hosts.gpu-1.state: an absolute path is expected"),
    ],
)
def test_a_state_that_containers_reach_is_bad_input(tmp_path: Path, defaults: str, host: str, sentence: str) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(HOSTS.format(defaults=defaults, host=host))
    with pytest.raises(BadInput) as refused:
        load_inventory(path)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("host", "state"),
    [("", ""), (", sudo: true", "/var/lib/gpu-runbook"), (", sudo: true, state: /srv/state", "/srv/state")],
)
def test_a_server_is_asked_with_its_root_and_its_state(tmp_path: Path, host: str, state: str) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(HOSTS.format(defaults="", host=host))
    assert load_inventory(path).hosts["gpu-1"].place == ("/azaion", state)


def test_a_marker_of_a_later_version_or_a_damaged_one_costs_nothing(tmp_path: Path, base: str) -> None:
    made = find_store(str(tmp_path), base)
    make(made)
    for text in ("", "{", '{"more": 1}', "[" * 9999):
        Path(made.marker).write_text(text)
        assert made.marked() == Marker()
        made.check_owner()


def test_the_old_data_is_found_where_it_lies(tmp_path: Path, base: str) -> None:
    root = str(old.placed(old.SETTLED, tmp_path))
    found = find_store(root, base)
    assert found.is_in_root
    found.check_owner()
    assert dataclasses.replace(found) == Store(root, f"{root}/.deploy")
