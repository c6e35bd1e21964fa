"""Files on the server: whole at every moment, and nothing left beside them; and the folder they lie in."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.swap import ConfigSwap
from gpu_runbook.server.run.swap import put_config_back
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system import files

WITHOUT_ROOM = """
import resource, sys
from gpu_runbook.server.system import files
from gpu_runbook.protocol.errors import Refusal
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    files.write(sys.argv[1], b"n" * 5000)
except Refusal as refusal:
    print(refusal.message, refusal.kind)
"""
AS_NOBODY = """
import os, sys
from gpu_runbook.server.system import files
from gpu_runbook.protocol.errors import Refusal
if os.geteuid() == 0:
    os.setuid(65534)
try:
    files.write(sys.argv[1] + "/config.yaml", b"", 0o600, (0, 0))
except Refusal as refusal:
    print(refusal.message.replace(sys.argv[1] + "/", ""))
"""
FOR_EVER = """
import sys
from gpu_runbook.server.system import files
print("up", flush=True)
while True:
    files.write(sys.argv[1], b"a" * 200_000)
    files.write(sys.argv[1], b"b" * 200_000)
"""


def listed(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_a_file_is_written_with_its_mode_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    files.write(str(path), b"one", 0o640)
    files.write(str(path), b"two", 0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777, listed(tmp_path)) == (b"two", 0o600, {"config.yaml"})


def test_a_staged_file_has_its_final_mode_before_it_is_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    staged = files.stage(str(path), b"secret", 0o600)
    assert not path.exists()
    assert Path(staged).stat().st_mode & 0o777 == 0o600
    files.place(staged, str(path))
    assert (path.read_bytes(), listed(tmp_path)) == (b"secret", {"config.yaml"})


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"old")
    ended = subprocess.run([sys.executable, "-c", WITHOUT_ROOM, str(path)], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == f"{path} cannot be written: File too large refused"
    assert (path.read_bytes(), listed(tmp_path)) == (b"old", {"config.yaml"})


def test_an_owner_is_given_where_the_folder_hands_down_another_group(tmp_path: Path) -> None:
    """What the folder hands down is not what was wanted, though it is this login who makes the file."""
    given: list[tuple[int, ...]] = []
    mine = os.geteuid(), os.getegid() + 1  # as if the folder had given the file another group than this one
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fchown", lambda handle, *owner: given.append(owner))
        patch.setattr(os, "getegid", lambda: mine[1])
        files.write(str(tmp_path / "file"), b"text", owner=mine)
    assert given == [mine]


def test_an_owner_that_cannot_be_given_leaves_nothing_behind() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below tmp_path, which nobody but root may enter
        Path(folder).chmod(0o777)
        ended = subprocess.run([sys.executable, "-c", AS_NOBODY, folder], capture_output=True, text=True, check=True)
        assert (
            ended.stdout == "config.yaml cannot be written with mode 0600 and owner (0, 0): Operation not permitted\n"
        )
        assert listed(Path(folder)) == set()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"nowhere/config\.yaml cannot be written: No such file or directory") as caught:
        files.write(str(tmp_path / "nowhere" / "config.yaml"), b"")
    assert caught.value.kind == "refused"


def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    files.write(str(path), b"a" * 200_000)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", FOR_EVER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"up\n"
            inode = path.stat().st_ino
            while path.stat().st_ino == inode:
                assert writer.poll() is None
            writer.kill()
        assert path.read_bytes() in (b"a" * 200_000, b"b" * 200_000)


def test_what_is_not_there_reads_as_none_and_is_removed_already(tmp_path: Path) -> None:
    path = tmp_path / "gone"
    assert files.read(str(path)) is None
    files.remove(str(path))
    path.write_text("here")
    files.remove(str(path))
    assert not path.exists()


def swap_of(folder: Path, before: str) -> ConfigSwap:
    me = (os.getuid(), os.getgid())
    return ConfigSwap(str(folder / "config.yaml"), str(folder / ".config.yaml.x"), before, 0o640, *me)


def test_a_config_is_put_back_as_it_was(tmp_path: Path) -> None:
    kept, path = tmp_path / "before.yaml", tmp_path / "config.yaml"
    kept.write_text("old")
    path.write_text("new")
    (tmp_path / ".config.yaml.x").write_text("new")
    for _ in range(2):  # the second time after a cut
        put_config_back(swap_of(tmp_path, str(kept)))
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("old", 0o640)
        assert listed(tmp_path) == {"before.yaml", "config.yaml"}


def test_a_config_that_was_not_there_is_gone_again(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("new")
    put_config_back(swap_of(tmp_path, ""))
    put_config_back(swap_of(tmp_path, ""))
    assert listed(tmp_path) == set()


def test_a_config_has_its_old_mode_again_though_its_text_was_the_same(tmp_path: Path) -> None:
    kept, path = tmp_path / "before.yaml", tmp_path / "config.yaml"
    kept.write_text("same")
    path.write_text("same")
    path.chmod(0o600)
    put_config_back(swap_of(tmp_path, str(kept)))
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_a_death_leaves_of_a_config_is_taken_away_by_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, path = tmp_path / "before.yaml", tmp_path / "config.yaml"
    kept.write_text("old")
    path.write_text("new")

    def dies(*words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(files, "place", dies)
        put_config_back(swap_of(tmp_path, str(kept)))
    assert len(listed(tmp_path)) == 3
    monkeypatch.setattr(os, "getpid", lambda: 4711)  # the next try is another process
    put_config_back(swap_of(tmp_path, str(kept)))
    assert listed(tmp_path) == {"before.yaml", "config.yaml"}


def test_a_folder_that_somebody_has_opened_is_ours_alone_again(tmp_path: Path) -> None:
    store = find_store(str(tmp_path), f"{tmp_path}/state")
    make(store)
    for folder in (store.folder, store.runs, store.releases):
        Path(folder).chmod(0o755)
    make(store)
    assert [Path(folder).stat().st_mode & 0o777 for folder in (store.folder, store.runs, store.releases)] == [0o700] * 3


def test_the_folder_is_ours_alone_and_its_salt_stays(tmp_path: Path) -> None:
    store = find_store(str(tmp_path), f"{tmp_path}/state")
    assert (store.exists, store.keyed_hash("hunter2")) == (False, "")
    make(store)
    hashed = store.keyed_hash("hunter2")
    make(store)
    assert (store.exists, store.keyed_hash("hunter2"), store.keyed_hash("hunter3") == hashed) == (True, hashed, False)
    assert len(hashed) == 16
    for folder in (store.folder, store.runs, store.releases):
        assert Path(folder).stat().st_mode & 0o777 == 0o700


def test_no_two_servers_hash_a_secret_alike(tmp_path: Path) -> None:
    stores = [Store(str(tmp_path / name), str(tmp_path / name / "state")) for name in ("one", "two")]
    for store in stores:
        Path(store.root).mkdir()
        make(store)
    assert stores[0].keyed_hash("hunter2") != stores[1].keyed_hash("hunter2")


def test_the_folder_is_made_without_a_root_and_makes_none(tmp_path: Path) -> None:
    root = tmp_path / "azaion"
    make(find_store(str(root), f"{tmp_path}/state"))
    assert not root.exists()


def test_the_folder_of_another_login_is_refused_by_name(tmp_path: Path) -> None:
    store = find_store(str(tmp_path), f"{tmp_path}/state")
    if os.geteuid() == 0:
        make(store)
        os.chown(store.folder, 1, 1)
    else:  # who cannot give a folder away points at one of root's
        Path(store.folder).parent.mkdir(parents=True)
        Path(store.folder).symlink_to("/")
    owner, login = ("daemon", "root") if os.geteuid() == 0 else ("root", pwd.getpwuid(os.geteuid()).pw_name)
    with pytest.raises(Refusal, match=f"belongs to {owner}, and this login is {login}"):
        make(store)


def test_room_is_kept_aside_until_less_than_it_is_left(tmp_path: Path) -> None:
    kept = tmp_path / "spare"
    files.reserve(str(kept), 1 << 20)
    assert kept.stat().st_blocks * 512 >= 1 << 20
    assert kept.stat().st_mode & 0o777 == 0o600
    files.give_up(str(kept), files.room(str(tmp_path)) // 2)
    assert kept.exists()
    files.give_up(str(kept), files.room(str(tmp_path)) * 2)
    assert not kept.exists()
    files.give_up(str(kept), files.room(str(tmp_path)) * 2)


def test_room_that_is_not_there_is_not_kept(tmp_path: Path) -> None:
    program = (
        "import resource, sys; from gpu_runbook.server.system import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "files.reserve(sys.argv[1], 5000)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "spare")], check=True)
    assert list(tmp_path.iterdir()) == []


def test_the_kept_config_itself_comes_back_where_there_is_no_room_for_a_copy(tmp_path: Path) -> None:
    kept, path, staged = tmp_path / "before.yaml", tmp_path / "config.yaml", tmp_path / ".config.yaml.run"
    kept.write_text("o" * 5000)
    path.write_text("new")
    swap = ConfigSwap(str(path), str(staged), str(kept), 0o640, os.geteuid(), os.getegid())
    program = (
        "import json, resource, sys; from gpu_runbook.server.run.swap import ConfigSwap, put_config_back\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "put_config_back(ConfigSwap(**json.loads(sys.argv[1])))"
    )
    subprocess.run([sys.executable, "-c", program, json.dumps(dataclasses.asdict(swap))], check=True)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("o" * 5000, 0o640)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["before.yaml", "config.yaml"]
