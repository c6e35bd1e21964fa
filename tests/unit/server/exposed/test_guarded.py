"""Names below the mounts of an evil container: no reader waits, takes too much, or follows a link of its making."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.env_file import EnvFile
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.setup import Directory, NotDone
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.checks import batch, directories, env_file, preflight
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.exposed.writable_folders import WritableFolder
from gpu_runbook.server.facts import snapshot
from gpu_runbook.server.logs.files import LogFiles
from gpu_runbook.server.models import choices, model_files
from gpu_runbook.server.models.apply import point
from gpu_runbook.server.queue import offset
from gpu_runbook.server.run import stage, swap
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.verbs import env, model_use, setup
from tests.unit.tricks import CANARY, NUMBER, TRICKS, changed_at_any_moment, exchanged, reached, within

pytestmark = pytest.mark.usefixtures("no_descriptor_stays_open")
NOWHERE = Engine("unix:///nowhere")


def wanted(path: Path) -> Wanted:
    config = ConfigFile(str(path), model_key="model")
    return Wanted("queue", "consumer", config=config, text="model: x\n", offset=OffsetFile(str(path)))


def keep_present(path: Path, store: Store) -> object:
    return stage._keep_present(str(path), store.folder, f"{path}.aside")


def copied(path: Path, store: Store) -> object:
    return swap._copy(str(path), f"{store.folder}/offset.yaml")


def pushed(path: Path, store: Store) -> object:
    entry = EnvFile("queue", str(path), {"A": "1"})
    found = env_file.compared(entry)
    staged = env._stage([(entry, found)], {"queue": "A=1\n"})
    env._keep(store, entry, found)
    return staged


def pointed(path: Path, store: Store) -> None:
    point(store, "run", {"queue": wanted(path).config or ConfigFile("")})


def brought_back(path: Path, store: Store) -> object:
    return guarded.bring_back(str(path), f"{path}.place", b"kept")


READERS: dict[str, Callable[[Path, Store], object]] = {
    "offset": lambda path, store: offset.read(OffsetFile(str(path)), lambda seconds: None),
    "offset of a watch": lambda path, store: offset.upcoming(OffsetFile(str(path))),
    "offset of a preflight": lambda path, store: preflight.offset("row", wanted(path), NOWHERE, store, []),
    "offset at the swap": copied,
    "config of a preflight": lambda path, store: preflight.config("row", wanted(path)),
    "config of a look": lambda path, store: (
        snapshot._in_place(store, wanted(path)),
        snapshot._same_config(store, wanted(path)),
    ),
    "config that is kept": keep_present,
    "config that names a model": lambda path, store: choices.named(ConfigFile(str(path), model_key="model"), "/x"),
    "config to be pointed at a model": lambda path, store: model_use._read(str(path)),
    "config that is pointed at a model": pointed,
    "what was set aside": brought_back,
    "env file": lambda path, store: env_file.check("row", EnvFile("queue", str(path), {"A": "1"})),
    "env file that is replaced": pushed,
    "model": lambda path, store: model_files.looked_at(str(path), "", set()),
    "dated model": lambda path, store: model_files.seen(str(path.parent.parent), path.parent.name, path.name, set()),
    "models": lambda path, store: model_files.directories(str(path)),
    "checkpoints": lambda path, store: batch.newest(str(path)),
    "log file": lambda path, store: [line.text for line in LogFiles([f"{path.parent}/na*"]).new(rest=True)],
    "log files in a folder": lambda path, store: list(LogFiles([f"{path.parent}/n?me/o*"]).new(rest=True)),
    "tree": lambda path, store: list(directories.lacks(Directory(str(path), "7:8", 0o700))),
}


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_waits_for_anything_or_takes_what_it_must_not_have(
    root: Path, canary: Path, store: Store, reader: str, trick: str
) -> None:
    (root / "2026-04-20").mkdir()
    path = root / "2026-04-20" / "name"
    TRICKS[trick](path, canary)
    before = guarded.identity(canary.stat()), canary.read_text()
    given = within(5, lambda: READERS[reader](path, store))
    assert not isinstance(given, Exception) or isinstance(given, OSError | Refusal | offset.OffsetError), repr(given)
    assert NUMBER not in repr(given) and CANARY not in repr(given)
    assert not holding(store, CANARY)
    assert (guarded.identity(canary.stat()), canary.read_text()) == before


def holding(store: Store, text: str) -> list[Path]:
    """The files of ours that have a text in them."""
    return [one for one in Path(store.folder).rglob("*") if one.is_file() and text.encode() in one.read_bytes()]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("trick", ["link", "pipe", "folder"])
def test_a_name_that_changes_at_any_moment_is_read_as_one_or_the_other(
    root: Path, canary: Path, store: Store, reader: str, trick: str
) -> None:
    (root / "2026-04-20").mkdir()
    path = root / "2026-04-20" / "name"

    def lay(one: Path, other: Path) -> None:
        one.write_text("offset: 1\nmodel: /x/1\nA=1\n")
        TRICKS[trick](other, canary)

    for given in changed_at_any_moment(path, lay, lambda: READERS[reader](path, store)):
        assert not isinstance(given, Exception) or isinstance(given, OSError | Refusal | offset.OffsetError)
        assert NUMBER not in repr(given) and CANARY not in repr(given)
    assert not holding(store, CANARY)
    assert CANARY in canary.read_text()


def test_a_folder_on_the_way_that_changes_all_the_time_leads_nowhere_else(root: Path, canary: Path) -> None:
    (root / "models").mkdir()
    (root / "models" / "canary").write_text("mine")
    (root / "evil").symlink_to(canary.parent)
    until = time.monotonic() + 0.3
    seen: set[bytes | str | None] = set()
    with exchanged(root / "models", root / "evil"):
        while time.monotonic() < until:
            try:
                found = guarded.read(str(root / "models" / "canary"))
                seen.add(found[0] if found else None)
            except guarded.Unfit as error:
                seen.add(str(error)[:20])
    assert b"mine" in seen and not any(isinstance(one, bytes) and NUMBER.encode() in one for one in seen)


def test_a_refused_link_is_one_sentence_with_what_to_do(root: Path, canary: Path) -> None:
    (root / "config.yaml").symlink_to(canary)
    said = f"{root}/config.yaml is a link to {str(canary)!r}, which container queue could have made: {guarded.HINT}"
    with pytest.raises(guarded.Unfit) as caught:
        guarded.read(str(root / "config.yaml"))
    assert str(caught.value) == caught.value.strerror == said
    row = preflight.config("queue config", wanted(root / "config.yaml"))
    assert (row.sentence, row.hint) == (f"{root}/config.yaml cannot be read: {said}", "")


def test_a_link_of_the_administrator_is_followed_and_the_row_says_where_it_leads(root: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "config.yaml").write_text("model: x\n")
    (tmp_path / "linked").symlink_to("disk/../disk")
    path = tmp_path / "linked" / "config.yaml"
    assert guarded.read(str(path)) is not None
    row = preflight.config("queue config", wanted(path))
    assert row.sentence == f"{path} (which leads to {tmp_path}/disk/config.yaml) can be replaced"
    checked = directories.check("tree", [Directory(str(tmp_path / "linked"))])
    assert checked.sentence.endswith(f"as it says; {tmp_path}/linked (which leads to {tmp_path}/disk)")
    assert guarded.leads(str(tmp_path / "disk")) == guarded.leads(str(tmp_path / "none")) == ""


def test_a_link_that_was_followed_is_asked_about_again_only_when_it_is_another(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def mounts() -> list[WritableFolder]:
        asked.append(1)
        return [WritableFolder(str(root), "container queue")]

    monkeypatch.setattr(guarded, "_mounts", mounts)
    for _ in range(3):
        (tmp_path / "linked").symlink_to(root)
        for _ in range(3):
            guarded.found(str(tmp_path / "linked"))
        (tmp_path / "linked").rename(tmp_path / "moved")
        (tmp_path / "moved").unlink()
    assert len(asked) == 3


def test_without_an_engine_only_what_is_below_the_root_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root" / "disk").mkdir(parents=True)
    (tmp_path / "root" / "models").symlink_to("disk")
    (tmp_path / "linked").symlink_to("root")
    monkeypatch.setattr(guarded, "_settled", (str(tmp_path / "root"), "unix:///nowhere", frozenset()))
    guarded.found(str(tmp_path / "linked" / "disk"))
    with pytest.raises(guarded.Unfit, match=r"a container \(the docker engine does not say\) could have made"):
        guarded.found(str(tmp_path / "linked" / "models"))


@pytest.mark.parametrize(
    ("target", "inside"),
    [
        ("../2026-04-20/best.pt", True),
        ("deep/best.pt", True),
        ("{folder}/2026-04-20/best.pt", True),
        ("../../models/2026-04-20/best.pt", True),
        ("../../home/canary", False),
        ("{folder}/../home/canary", False),
        ("dot/dot/dot/../../../../home/canary", False),
        ("dot/dot/dot/../../../../../home/canary", False),
        ("out/canary", False),
        ("/proc/self/cwd", False),
    ],
)
def test_links_among_models_lead_about_below_their_folder_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, inside: bool
) -> None:
    folder = tmp_path / "models"
    for name in ("2026-04-20", "2026-05-01/deep"):
        (folder / name).mkdir(parents=True)
        (folder / name / "best.pt").write_text("whole")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "canary").write_text(CANARY)
    (folder / "2026-05-01" / "dot").symlink_to(".")
    (folder / "2026-05-01" / "out").symlink_to("../../home")
    (folder / "2026-05-01" / "best.engine").symlink_to(target.format(folder=folder))
    reached(monkeypatch, folder)
    found = model_files.seen(str(folder), "2026-05-01", ["best.engine"], set())
    assert found.state in (("whole",) if inside else ("outside", "missing")), found
    if not inside:
        assert found.state == "missing" or found.sentence == f"it is a link that leads out of {folder}"


def test_a_directory_that_others_may_exchange_is_neither_given_away_nor_opened_up(root: Path, canary: Path) -> None:
    home = canary.parent
    before = home.stat().st_uid, home.stat().st_mode
    for name, trick in TRICKS.items():
        path = root / name.replace(" ", "-")
        trick(path, home)
        done: list[str] = []
        left: list[NotDone] = []
        setup._put_right(Directory(str(path), f"{os.geteuid()}:{os.getegid()}", 0o777), False, done, left)
        assert left or name == "folder"
    (root / "models").mkdir()
    (lack,) = directories.lacks(Directory(str(root / "models"), mode=0o700))
    (root / "models").rename(root / "was")
    (root / "models").mkdir(mode=0o755)
    with pytest.raises(guarded.Unfit, match="somebody has put another in its place"):
        setup._apply(Directory(str(root / "models"), mode=0o700), lack)
    assert (home.stat().st_uid, home.stat().st_mode) == before
    assert (root / "models").stat().st_mode & 0o777 == 0o755


def test_a_new_directory_that_somebody_exchanges_at_once_is_not_given_away(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "theirs").mkdir(mode=0o750)
    (root / "theirs" / "secret").touch()
    mkdir = os.mkdir

    def exchanging(name: str, mode: int, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        (root / name).rmdir()
        (root / "theirs").rename(root / name)

    monkeypatch.setattr(os, "mkdir", exchanging)
    done: list[str] = []
    left: list[NotDone] = []
    setup._put_right(Directory(str(root / "models"), "", 0o777), False, done, left)
    assert (done, left[0].what) == ([], f"{root}/models is missing (somebody has put another in its place)")
    assert (root / "models").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("trick", TRICKS)
def test_a_new_config_takes_its_place_whatever_stands_there(root: Path, canary: Path, trick: str) -> None:
    path = root / "config.yaml"
    TRICKS[trick](path, canary)
    guarded.place(guarded.stage(str(path), b"new", 0o600, None, "run"), str(path))
    assert (path.is_symlink(), path.read_bytes()) == (False, b"new")
    assert CANARY in canary.read_text()


def test_no_memory_for_a_file_is_a_sentence_about_it(tmp_path: Path) -> None:
    class Full:
        def read(self, size: int) -> bytes:
            raise MemoryError

    with pytest.raises(guarded.Unfit, match="there is no memory to read it"):
        guarded.content(Full())  # type: ignore[arg-type]


def test_a_lease_that_a_container_holds_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "offset.yaml"
    path.write_text("offset: 1\n")
    program = (
        "import fcntl, signal, sys\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\n"
        "file = open(sys.argv[1], 'r+')\nfcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    words = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        given = within(5, lambda: offset.read(OffsetFile(str(path)), lambda seconds: None))
        holder.communicate("")
    assert isinstance(given, offset.OffsetError) and "cannot be read" in given.message
