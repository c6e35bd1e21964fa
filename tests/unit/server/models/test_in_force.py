"""A copy of a model, or a link to one, that is in force: which model it is, and how another takes its place."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.common import failure
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.models import ALL, PREVIOUS, Choice, Choices, Chosen, InForce, ModelFile, Models
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.requests import ModelUseRequest
from gpu_runbook.server.exposed import beside, guarded
from gpu_runbook.server.models import choices, in_force, model_files
from gpu_runbook.server.models.apply import chosen, with_chosen
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.verbs import history, model_use, models
from tests.unit.server.models.test_choices import as_nice_as_before, recovered
from tests.unit.server.models.test_model_files import OLDER, archive

__all__ = ["as_nice_as_before"]
FIRST, SECOND, THIRD = "azaion-2026-03-02", "azaion-2026-04-20", "azaion-2026-05-01"


def variant(content: bytes, mark: int) -> bytes:
    """Another whole model of the same size: the year of a part's date, which no checksum covers, is another."""
    changed = bytearray(content)
    changed[content.index(b"PK\x01\x02") + 15] ^= mark
    return bytes(changed)


CONTENT = {FIRST: archive(), SECOND: variant(archive(), 2), THIRD: archive(8)}
FOREIGN = variant(archive(), 4)


class Site:
    """A server's folder of models, with what is asked of it."""

    def __init__(self, store: Store, way: str) -> None:
        self.store, self.way, self.times = store, way, 0
        self.folder = Path(store.root, "models")
        self.current = self.folder / "azaion.pt"
        for name in (FIRST, SECOND):
            self.trained(name)

    def trained(self, name: str) -> Path:
        path = self.folder / name / "weights/best.pt"
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT[name])
        os.utime(path, (1_700_000_000, 1_700_000_000))
        return path

    def replaced(self, content: bytes) -> None:
        """By a training, in its own way: a copy over it."""
        self.current.unlink(missing_ok=True)
        self.current.write_bytes(content)
        self.times += 1
        os.utime(self.current, (1_700_000_000, 1_700_000_000 + self.times))

    def look(self, verify: str = "") -> Models:
        request = {
            "root": self.store.root,
            "state": f"{self.store.root}/state",
            "folder": str(self.folder),
            "files": ["weights/best.pt", "weights/last.pt"],
            "configs": {},
            "verify": verify,
            "name": "azaion-DATE",
            "way": self.way,
            "place": str(self.current),
            "who": "ann",
            "laptop": "l",
        }
        return decode(Models, json.loads(json.dumps(models.answer(request, lambda event: None))), "models")

    def asked(self, date: str = "", force: bool = False, dry_run: bool = False) -> dict[str, Any]:
        found = self.look(date or PREVIOUS)
        assert found.target is not None, "there is nothing to choose"
        assert found.target.state == "whole", found.target
        request = ModelUseRequest(
            root=self.store.root,
            state=f"{self.store.root}/state",
            docker_host="",
            folder=str(self.folder),
            configs={},
            model=found.target,
            back=not date,
            was=found.choices.path,
            who="ann",
            laptop="l",
            force=force,
            dry_run=dry_run,
            way=self.way,
            in_force=found.in_force,
        )
        return encode(request)

    def use(self, date: str = "", **how: bool) -> Chosen:
        return decode(Chosen, model_use.answer(self.asked(date, **how), lambda event: None), "chosen")

    def in_force(self) -> InForce:
        found = self.look().in_force
        assert found is not None
        return found

    def is_now(self) -> tuple[str, int]:
        """The directory of the model in force, and how often history says that somebody else replaced it."""
        return self.in_force().date, sum("run of ours" in one for one in self.sentences())

    def runs(self) -> list[str]:
        return journals.runs(self.store)

    def sentences(self) -> list[str]:
        asked = {"root": self.store.root, "state": f"{self.store.root}/state", "limit": 99}
        return [run["sentence"] for run in history.answer(asked, print)["runs"]]

    def hidden(self) -> list[str]:
        return sorted(one.name for one in self.folder.glob(".*"))


@pytest.fixture(params=["copy", "link"])
def site(request: pytest.FixtureRequest, store: Store) -> Site:
    return Site(store, request.param)


@pytest.fixture
def copies(store: Store) -> Site:
    return Site(store, "copy")


def test_a_model_is_put_in_place_and_taken_back(site: Site) -> None:
    assert site.in_force() == in_force.look(str(site.folder), str(site.current), set())
    (site.folder / "azaion.pt.sha256").write_text("0" * 64)  # of another one, long ago
    first = site.use(FIRST)
    assert (first.needed, dict(first.before)) == (True, {str(site.current): ""})
    assert (site.current.read_bytes(), site.current.is_symlink()) == (CONTENT[FIRST], site.way == "link")
    assert not site.use(FIRST).needed
    assert site.use(SECOND).needed
    assert (site.current.read_bytes(), *site.is_now()) == (CONTENT[SECOND], SECOND, 0)
    before = site.current.lstat()
    assert site.use(dry_run=True).needed
    assert site.current.lstat() == before
    assert site.use().needed
    assert (site.current.read_bytes(), *site.is_now()) == (CONTENT[FIRST], FIRST, 0)
    assert site.look(PREVIOUS).target is None
    assert site.hidden() == []
    if site.way == "link":
        assert str(site.current.readlink()) == f"{FIRST}/weights/best.pt"


@pytest.mark.parametrize("content", [FOREIGN, CONTENT[THIRD]])
def test_what_nobody_chose_here_comes_back_whether_a_directory_has_it_or_not(copies: Site, content: bytes) -> None:
    copies.replaced(content)
    copies.current.chmod(0o640)
    copies.use(FIRST)
    assert stat.S_IMODE(copies.current.stat().st_mode) == 0o640
    copies.use(SECOND)
    copies.use()
    copies.use()
    assert copies.current.read_bytes() == content
    assert copies.is_now() == ("", 0)
    assert copies.use(SECOND).needed
    assert copies.look(PREVIOUS).target is not None


def test_of_what_was_kept_beside_it_no_more_remains_than_is_remembered(copies: Site) -> None:
    for mark in (1, 4, 8, 16, 32):
        copies.replaced(variant(archive(), mark))
        copies.use(FIRST)
    (copies.folder / ".azaion.pt.20260420-101112-abcd").write_bytes(b"staged by a run that is over")
    (copies.folder / ".azaion.0123456789abcdef.kept.pt").write_bytes(b"of a choice that is forgotten")
    (copies.folder / ".azaion.pt.20260420-101112-abcd.before").write_bytes(b"set aside by it")
    (copies.folder / ".azaion.pt.mine").write_bytes(b"somebody's own")
    copies.use(SECOND)
    assert copies.hidden()[-1] == ".azaion.pt.mine"
    assert len(copies.hidden()) == 1 + in_force.KEPT


def test_a_training_that_replaces_the_copy_is_told_once_and_not_undone(copies: Site) -> None:
    copies.use(FIRST)
    assert copies.is_now() == (FIRST, 0)
    copies.trained(THIRD)
    copies.replaced(CONTENT[THIRD])
    found = copies.in_force()
    assert (found.date, found.was) == (THIRD, f"{copies.folder}/{FIRST}/weights/best.pt")
    assert copies.is_now() == (THIRD, 1)
    assert copies.in_force().was == ""
    assert copies.sentences()[0] == (
        f"{copies.current} was replaced, and not by a run of ours: it is {copies.folder}/{THIRD}/weights/best.pt now, "
        f"and was {copies.folder}/{FIRST}/weights/best.pt"
    )
    assert copies.current.read_bytes() == CONTENT[THIRD]
    copies.use()
    assert copies.is_now() == (FIRST, 1)
    copies.current.unlink()
    assert copies.is_now() == ("", 2)
    copies.use(THIRD)
    assert copies.is_now() == (THIRD, 2)


def test_to_a_deploy_the_model_is_the_place_and_a_config_without_a_key_stays(site: Site) -> None:
    site.use(FIRST)
    assert chosen(site.store) == str(site.current)
    assert with_chosen(site.store, ConfigFile("/c"), "model: mine\n") == "model: mine\n"
    assert with_chosen(site.store, ConfigFile("/c", model_key="model"), "model: a\n") == f'model: "{site.current}"\n'


def test_a_look_reads_a_model_once(copies: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    copies.replaced(CONTENT[SECOND])
    read: list[str] = []
    real = model_files.read

    def reading(model: ModelFile, *more: Any) -> ModelFile:
        read.append(model.path)
        return real(model, *more)

    monkeypatch.setattr(model_files, "read", reading)
    assert copies.is_now() == (SECOND, 0)
    assert read == [str(copies.current), f"{copies.folder}/{SECOND}/weights/best.pt"]
    assert copies.is_now() == (SECOND, 0)
    assert len(read) == 2
    copies.look(ALL)
    assert read[2] == str(copies.current)


def test_of_many_models_that_are_as_long_only_the_one_it_is_is_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_force, "SAMPLE", 200)
    shutil.rmtree(site.folder / SECOND)
    whole = CONTENT[FIRST]
    for day, at in ((20, 11), (21, len(whole) // 2), (22, whole.rindex(b"PK\x01\x02") + 13)):
        (site.folder / f"azaion-2026-05-{day}/weights").mkdir(parents=True)
        changed = bytearray(whole)
        changed[at] ^= 4
        (site.folder / f"azaion-2026-05-{day}/weights/best.pt").write_bytes(changed)
    if site.way == "copy":
        site.replaced(CONTENT[FIRST])
    else:
        site.current.symlink_to(f"{FIRST}/weights/best.pt")
    read: list[str] = []
    real = model_files.read

    def reading(model: ModelFile, *more: Any) -> ModelFile:
        read.append(model.path)
        return real(model, *more)

    monkeypatch.setattr(model_files, "read", reading)
    assert site.is_now() == (FIRST, 0)
    one = f"{site.folder}/{FIRST}/weights/best.pt"
    assert read == ([str(site.current), one] if site.way == "copy" else [one])


def test_exported_files_that_are_older_are_named(copies: Site) -> None:
    for name in ("azaion.onnx", "azaion.Engine", "new.trt", ".azaion.onnx", "azaion.txt"):
        (copies.folder / name).write_bytes(b"x")
        os.utime(copies.folder / name, (1_600_000_000, 1_600_000_000))
    os.utime(copies.folder / "new.trt")
    (copies.folder / "folder.onnx").mkdir()
    copies.replaced(CONTENT[SECOND])
    found = copies.in_force()
    assert (found.older, found.exports) == (("azaion.Engine", "azaion.onnx"), ("new.trt",))


def written(path: Path) -> tuple[int, int, int]:
    there = path.lstat()
    return there.st_mode, there.st_ino, there.st_mtime_ns


def fifo(site: Site) -> None:
    site.current.unlink()
    os.mkfifo(site.current)


def folder(site: Site) -> None:
    site.current.unlink()
    site.current.mkdir()


def leads_out(site: Site) -> None:
    site.current.unlink()
    Path(site.store.root, "outside.pt").write_bytes(FOREIGN)
    site.current.symlink_to("../outside.pt")


def torn(site: Site) -> None:
    site.replaced(FOREIGN[:400])


def endless(site: Site) -> None:
    with site.current.open("r+b") as file:
        file.truncate(1 << 40)
    os.utime(site.current, (1_700_000_000, 1_700_000_000))


def growing(site: Site) -> None:
    site.current.write_bytes(FOREIGN[:400])


@pytest.mark.parametrize(
    ("breaks", "said", "by_force"),
    [
        (fifo, "it is not a file", False),
        (folder, "it is not a file", False),
        (leads_out, "it is a link that leads out of ", True),
        (torn, "it is not whole: its end is missing or damaged", True),
        (endless, "it is not whole", True),
        (growing, "it is being written now", False),
    ],
)
def test_what_is_in_the_way_is_one_sentence_and_nothing_is_changed(
    copies: Site, breaks: Callable[[Site], None], said: str, by_force: bool
) -> None:
    copies.use(FIRST)
    breaks(copies)
    before, was = written(copies.current), json.loads(Path(copies.store.model).read_text())
    with pytest.raises(Refusal, match=f"is not replaced: {said}.*nothing was changed"):
        copies.use(SECOND)
    assert written(copies.current) == before
    assert json.loads(Path(copies.store.model).read_text())["choices"] == was["choices"]
    if by_force:
        copies.use(SECOND, force=True)
        assert copies.is_now()[0] == SECOND
    else:
        with pytest.raises(Refusal):
            copies.use(SECOND, force=True)
    assert copies.hidden() == []


def test_what_changes_between_look_and_choice_is_refused(copies: Site) -> None:
    copies.replaced(FOREIGN)
    asked = copies.asked(FIRST)
    copies.replaced(CONTENT[SECOND])
    with pytest.raises(Refusal, match="was replaced after it was looked at; nothing was changed"):
        model_use.answer(asked, print)
    asked = copies.asked(FIRST)
    path = copies.folder / FIRST / "weights/best.pt"
    was = path.stat()
    path.write_bytes(FOREIGN)
    os.utime(path, ns=(was.st_mtime_ns, was.st_mtime_ns))  # by size and time it is the same
    with pytest.raises(Refusal, match="was written to after it was verified; nothing was changed"):
        model_use.answer(asked, print)
    assert (copies.current.read_bytes(), copies.hidden()) == (CONTENT[SECOND], [])
    assert copies.sentences()[0].endswith("nothing was changed")


@pytest.mark.parametrize("point", ["save_placed", "place", "sync", "settled"])
def test_a_death_at_any_step_leaves_one_whole_file_and_history_right(
    site: Site, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    site.use(FIRST)

    class Killed(BaseException):
        pass

    def killed(*any: object) -> None:
        raise Killed

    module = guarded if point in ("place", "sync") else choices
    with monkeypatch.context() as patched:
        asked = site.asked(SECOND)
        patched.setattr(module, point, killed)
        patched.setattr(failure, "failure", killed)
        with pytest.raises(Refusal, match="was killed"):
            model_use.answer(asked, print)
    assert [one for one in site.hidden() if one.startswith(".azaion.pt.")] == (
        site.hidden() if point in ("save_placed", "place") else []
    )
    expected = FIRST if point in ("save_placed", "place") else SECOND
    assert site.current.read_bytes() == CONTENT[expected]
    run = site.runs()[-1]
    while journals.alive(site.store.journal(run)):
        time.sleep(0.01)
    assert recovered(site.store) == [f"run {run} was cut off; fab models says which model {site.current} is"]
    assert site.hidden() == []
    assert site.is_now() == (expected, 0)
    assert [one.date for one in site.look().choices.choices] == [SECOND, FIRST][expected == FIRST :]
    if expected == SECOND:
        assert site.look().choices.choices[0].who == "ann"
        site.use()
    else:
        site.use(SECOND)
    assert site.is_now() == (FIRST if expected == SECOND else SECOND, 0)


def dies(monkeypatch: pytest.MonkeyPatch, site: Site, module: Any, point: str, after: bool = False) -> None:
    """In a run that chooses SECOND, before or `after` that function does its work."""

    class Killed(BaseException):
        pass

    real = getattr(module, point)

    def killed(*any: Any) -> None:
        if after:
            real(*any)
        raise Killed

    with monkeypatch.context() as patched:
        asked = site.asked(SECOND)
        patched.setattr(module, point, killed)
        patched.setattr(failure, "failure", killed)
        with pytest.raises(Refusal, match="was killed"):
            model_use.answer(asked, print)
    while journals.alive(site.store.journal(site.runs()[-1])):
        time.sleep(0.01)


@pytest.mark.parametrize("second_name", [True, False], ids=["by a second name", "by a copy"])
@pytest.mark.parametrize(
    ("module", "point", "after"),
    [
        pytest.param(in_force, "set_aside", True, id="set aside"),
        pytest.param(in_force, "keep", False, id="written down"),
        pytest.param(in_force, "keep", True, id="kept"),
        pytest.param(guarded, "remove", True, id="kept under both names"),
    ],
)
def test_a_death_while_what_is_replaced_is_kept_leaves_nothing_that_is_not_needed(
    copies: Site, monkeypatch: pytest.MonkeyPatch, module: Any, point: str, after: bool, second_name: bool
) -> None:
    copies.replaced(FOREIGN)
    copies.look()
    if not second_name:  # it is another owner's
        monkeypatch.setattr(guarded, "set_aside", lambda file, aside: None)
    dies(monkeypatch, copies, module, point, after)
    assert copies.current.read_bytes() == FOREIGN
    assert copies.hidden() != []
    (said,) = recovered(copies.store)
    assert said.startswith(f"run {copies.runs()[-1]} was cut off; ")
    assert not [name for name in copies.hidden() if name.startswith(".azaion.pt.")]
    assert copies.is_now() == ("", 0)
    copies.use(FIRST)
    assert len(copies.hidden()) == 1
    copies.use()
    assert copies.current.read_bytes() == FOREIGN


@pytest.mark.parametrize(
    ("target", "back"),
    [
        pytest.param(f"{FIRST}/weights/best.pt", f"{FIRST}/weights/best.pt", id="relative"),
        pytest.param(f"FOLDER/{FIRST}/weights/best.pt", f"{FIRST}/weights/best.pt", id="absolute"),
        pytest.param("latest/weights/best.pt", f"{FIRST}/weights/best.pt", id="through another link"),
        pytest.param(f"REAL/{FIRST}/weights/best.pt", f"{FIRST}/weights/best.pt", id="to where the folder leads"),
        pytest.param("mine/hand.pt", "mine/hand.pt", id="to a model of no dated directory"),
        pytest.param(f"FOLDER/{FIRST}/weights/last.pt", f"{FIRST}/weights/last.pt", id="to another file of a run"),
    ],
)
def test_a_link_that_was_made_by_hand_comes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, target: str, back: str
) -> None:
    monkeypatch.setattr(guarded, "_mounts", list)  # no container could have made the link to the disk
    site = Site(store, "link")
    elsewhere = Path(store.root, "disk")
    site.folder.rename(elsewhere)
    site.folder.symlink_to("disk")
    for name in ("mine/hand.pt", f"{FIRST}/weights/last.pt"):
        (site.folder / name).parent.mkdir(exist_ok=True)
        (site.folder / name).write_bytes(CONTENT[THIRD])
        os.utime(site.folder / name, (1_700_000_000, 1_700_000_000))
    (site.folder / "latest").symlink_to(FIRST)
    site.current.symlink_to(target.replace("FOLDER", str(site.folder)).replace("REAL", str(elsewhere)))
    was = site.current.read_bytes()
    site.use(SECOND)
    assert site.is_now() == (SECOND, 0)
    site.use()
    assert (site.current.read_bytes(), str(site.current.readlink())) == (was, back)
    assert site.is_now() == (FIRST if was == CONTENT[FIRST] else "", 0)


def test_a_link_that_leads_out_of_the_folder_is_none_of_the_models(store: Store) -> None:
    site = Site(store, "link")
    Path(store.root, "models-of-others").mkdir()
    Path(store.root, "models-of-others/best.pt").write_bytes(CONTENT[FIRST])
    for target in ("../models-of-others/best.pt", f"{store.root}/models-of-others/best.pt", "latest/best.pt"):
        (site.folder / "latest").unlink(missing_ok=True)
        (site.folder / "latest").symlink_to("../models-of-others")
        site.current.unlink(missing_ok=True)
        site.current.symlink_to(target)
        found = site.in_force()
        assert (found.kind, found.file.state, found.model) == ("link", "outside", ""), target
        with pytest.raises(Refusal, match=f"it is a link that leads out of {site.folder}; nothing was changed"):
            site.use(SECOND)
        assert str(site.current.readlink()) == target


def test_a_copy_tells_how_far_it_has_come(copies: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "PAUSE", -1.0)
    monkeypatch.setattr(model_files, "BLOCK", 200)
    told: list[dict[str, Any]] = []
    answer = model_use.answer(copies.asked(FIRST), told.append)
    assert answer["needed"]
    source = copies.folder / FIRST / "weights/best.pt"
    size = source.stat().st_size
    assert told[0] == {"event": "copying", "path": str(source), "done": 200, "total": size}
    assert [one["done"] for one in told] == [*range(200, size, 200), size]


def test_a_choice_that_cannot_be_written_down_leaves_nothing_beside_the_place(
    copies: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.replaced(FOREIGN)

    def full(*any: object) -> None:
        raise Refusal("no space")

    asked = copies.asked(FIRST)
    monkeypatch.setattr(choices, "save_placed", full)
    with pytest.raises(Refusal, match="no space; nothing was changed"):
        model_use.answer(asked, print)
    assert (copies.current.read_bytes(), copies.hidden()) == (FOREIGN, [])


@pytest.mark.parametrize("short", [0, 1])
def test_a_copy_leaves_room_for_what_training_saves(copies: Site, monkeypatch: pytest.MonkeyPatch, short: int) -> None:
    copies.use(FIRST)
    size = len(CONTENT[SECOND])
    monkeypatch.setattr(beside, "room", lambda path: 2 * size - short)
    if short:
        with pytest.raises(Refusal, match=f"no room for a copy in {copies.folder}: .*; nothing was changed"):
            copies.use(SECOND)
    else:
        copies.use(SECOND)
    assert (copies.is_now(), copies.hidden()) == ((FIRST if short else SECOND, 0), [])


def test_what_is_copied_goes_to_the_disk_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def sync(file: int) -> None:
        synced.append(os.fstat(file).st_size)
        real(file)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(beside, "STEP", 250)
    made = beside.stage_blocks(str(tmp_path / "m.pt"), [b"x" * 100] * 7, 0o640, None, "run")
    assert (made.st_size, stat.S_IMODE(made.st_mode), synced) == (700, 0o640, [300, 600])
    assert beside.room(str(tmp_path / "m.pt")) > 0


def test_a_server_that_chose_by_config_goes_on_with_a_copy(copies: Site) -> None:
    path = f"{copies.folder}/{FIRST}/weights/best.pt"
    known = choices.with_choice(Choices(), Choice(path, FIRST, "20260420-101112-000a", "ann"), "")
    choices.save(copies.store, known)
    copies.replaced(CONTENT[FIRST])
    assert copies.is_now() == (FIRST, 0)
    assert chosen(copies.store) == path  # as long as nobody has chosen anew
    assert copies.look().choices.current() == known.choices[0]
    copies.use(SECOND)
    copies.use()
    assert copies.is_now() == (FIRST, 0)


def test_what_is_far_longer_than_any_model_is_not_read(copies: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_force, "LARGER", 100)
    copies.replaced(FOREIGN)
    with copies.current.open("r+b") as file:
        file.write(OLDER)
        file.truncate(1 << 40)
    assert copies.in_force().file.sha256 == ""
    with pytest.raises(
        Refusal, match="is not replaced: it is far longer than any of the models, and was not read; noth"
    ):
        copies.use(FIRST)


def test_of_models_that_are_alike_by_size_no_more_than_some_are_read(
    copies: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_force, "MOST_ALIKE", 1)
    copies.replaced(CONTENT[FIRST])
    assert copies.is_now() == ("", 0)
