"""Config and position come back as they were: where there is no room, and whatever a container did in their place."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gpu_runbook.protocol.swap import ConfigSwap, Swap
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.run import replay, stage, swap
from gpu_runbook.server.state.store import Store
from tests.unit.tricks import TRICKS, within

pytestmark = pytest.mark.usefixtures("no_descriptor_stays_open")


def me(mode: int = 0o600) -> tuple[int, int, int]:
    return mode, os.geteuid(), os.getegid()


@pytest.fixture
def taken(root: Path, store: Store) -> ConfigSwap:
    """A config that is kept and set aside, and a new one in its place."""
    path = root / "config.yaml"
    path.write_bytes(b"o" * 5000)
    path.chmod(0o640)
    before, *whose = stage._keep_present(str(path), store.folder, guarded.aside(f"{root}/.config.yaml.run"))
    found = ConfigSwap(str(path), f"{root}/.config.yaml.run", before, *whose)
    guarded.place(guarded.stage(str(path), b"new", 0o600, None, "run"), str(path))
    return found


def without_room(config: ConfigSwap) -> str:
    """Put it back where no file takes more than 1000 bytes; what was refused."""
    program = (
        "import json, resource, sys\n"
        "from gpu_runbook.server.run.swap import ConfigSwap, put_config_back\n"
        "from gpu_runbook.protocol.errors import Refusal\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "try: put_config_back(ConfigSwap(**json.loads(sys.argv[1])))\n"
        "except Refusal as refusal: print(refusal.message)"
    )
    words = [sys.executable, "-c", program, json.dumps(dataclasses.asdict(config))]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_a_config_comes_back_without_room_though_it_is_kept_on_another_disk(root: Path, taken: ConfigSwap) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as disk:
        kept = Path(disk) / "before.yaml"
        kept.write_bytes(Path(taken.before).read_bytes())
        assert kept.stat().st_dev != root.stat().st_dev
        inode = (root / ".config.yaml.run.before").stat().st_ino
        assert without_room(dataclasses.replace(taken, before=str(kept))) == ""
    there = root / "config.yaml"
    assert (there.read_bytes(), there.stat().st_mode & 0o777, there.stat().st_ino) == (b"o" * 5000, 0o640, inode)
    assert [one.name for one in root.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("trick", [*TRICKS, "other text", "other mode", "gone"])
def test_what_was_set_aside_and_is_not_as_it_was_is_written_from_the_kept_copy(
    root: Path, canary: Path, taken: ConfigSwap, trick: str
) -> None:
    aside = root / ".config.yaml.run.before"
    if trick == "other text":
        aside.write_bytes(b"e" * 5000)
    elif trick == "other mode":
        aside.chmod(0o666)
    else:
        aside.unlink()
        if trick in TRICKS:
            TRICKS[trick](aside, canary)
    swap.put_config_back(taken)
    there = root / "config.yaml"
    assert not there.is_symlink() and there.stat().st_nlink == 1
    assert (there.read_bytes(), guarded.identity(there.stat())) == (b"o" * 5000, me(0o640))
    swap.close(Swap("queue", "queue", "", "", "", config=taken))
    assert {one.name for one in root.iterdir()} <= {"config.yaml", aside.name if trick == "folder" else ""}


@pytest.mark.parametrize("blocked", ["config.yaml", ".config.yaml.run", ".config.yaml.back"])
def test_a_folder_in_the_way_keeps_no_consumer_down(root: Path, taken: ConfigSwap, blocked: str) -> None:
    (root / ".config.yaml.run.before").unlink()
    (root / blocked).unlink(missing_ok=True)
    (root / blocked).mkdir()
    (root / blocked / "in it").touch()
    swap.put_config_back(taken)
    assert (root / "config.yaml").read_bytes() == b"o" * 5000
    assert len(list(root.rglob("in it"))) == 1  # it is nothing of ours, and stays


@pytest.mark.parametrize("trick", [*TRICKS, "gone"])
def test_a_position_that_was_put_back_is_brought_to_where_it_was(
    root: Path, canary: Path, store: Store, trick: str
) -> None:
    path, staged, kept = root / "offset.yaml", str(root / ".offset.yaml.run"), f"{store.folder}/offset.yaml"
    path.write_text("offset: 160\n")
    assert swap._copy(str(path), kept) == ""
    guarded.stage(str(path), b"offset: 100\n", 0o600, None, "run")
    replay.place(staged, str(path), kept)
    assert path.read_text() == "offset: 100\n"
    (root / ".offset.yaml.run.before").unlink()
    path.unlink()
    if trick in TRICKS:
        TRICKS[trick](path, canary)
    replay.undo(staged, str(path), kept)
    assert (path.is_symlink(), path.read_text()) == (False, "offset: 160\n")


def test_a_position_comes_back_without_room(root: Path, store: Store) -> None:
    path, staged, kept = root / "offset.yaml", str(root / ".offset.yaml.run"), f"{store.folder}/offset.yaml"
    path.write_text("offset: 160" + " " * 5000 + "\n")
    inode = path.stat().st_ino
    swap._copy(str(path), kept)
    guarded.stage(str(path), b"offset: 100\n", 0o600, None, "run")
    replay.place(staged, str(path), kept)
    program = (
        "import resource, sys\nfrom gpu_runbook.server.run import replay\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "replay.undo(*sys.argv[1:])"
    )
    subprocess.run([sys.executable, "-c", program, staged, str(path), kept], check=True)
    assert path.stat().st_ino == inode and [one.name for one in root.iterdir()] == ["offset.yaml"]


def test_what_could_not_be_kept_of_a_position_is_said(root: Path, store: Store) -> None:
    path, kept = root / "offset.yaml", f"{store.folder}/offset.yaml"
    os.mkfifo(path)
    found = within(5, lambda: swap._copy(str(path), kept))
    assert found == f"the position in {path} could not be kept: it is not a file"
    path.unlink()
    assert swap._copy(str(path), kept) == ""  # there is none, as before a first message
