"""Every command that writes on a server, on a disk that fails: one sentence, the right exit status, never a defect."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.common import limits
from gpu_runbook.common.failure import failure
from gpu_runbook.common.parallel import Question, ask_all
from gpu_runbook.protocol.check import UNKNOWN, Check
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.journal import End
from gpu_runbook.protocol.models import ModelFile
from gpu_runbook.protocol.plan import ConfigFile, ConsumerStep, Occupant, Plan, Spec, Watch
from gpu_runbook.protocol.record import Placed, Record
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.retention import candidates
from gpu_runbook.server.run import process, watch
from gpu_runbook.server.run.verdict import Verdict
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import lock, record
from gpu_runbook.server.state import make as state_making
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system import crontab, files
from gpu_runbook.server.verbs import env, model_use, pause, prune, restart, state_make
from gpu_runbook.server.verbs import run as running
from gpu_runbook.server.verbs.schedule import remove
from tests.unit import broken_disk
from tests.unit.broken_disk import ERRORS, UNREACHED, Disk
from tests.unit.cut_off import let_go
from tests.unit.docker_answers import IMAGE
from tests.unit.journals import begin_of, left
from tests.unit.standing_docker import BEFORE, ID, PARKED, QUEUE, RECORD, RELEASE, Docker

RUN = "20990101-000000-abcd"
CONFIG = "password: hunter2\nmodel: /azaion/models/old/best.pt\n"
MODEL = "a model"
WHO = {"who": "ann", "laptop": "laptop"}
DROPPED, LOOSE = f"r/q@sha256:{'2' * 64}", f"r/q@sha256:{'3' * 64}"  # images, of a release and of a run alone


@dataclass
class Site:
    """A server on which two releases are known."""

    base: Path
    store: Store
    docker: Docker
    disk: Disk
    made: list[tuple[Path, os.stat_result]] = field(default_factory=list)
    texts: dict[Path, bytes] = field(default_factory=dict)

    @property
    def where(self) -> dict[str, Any]:
        return {"root": self.store.root, "state": str(self.base / "state"), "docker_host": ""}

    def make(self) -> None:
        config, state = Path(self.store.root, "config.yaml"), Path(self.store.folder)
        for made in (config.parent, state / "health", state / "env"):
            made.mkdir(parents=True)
        self.store.create()
        state_making.make(self.store)
        config.write_text(CONFIG)
        model = Path(self.store.root, "models/2026-04-20/best.pt")
        model.parent.mkdir(parents=True)
        model.write_text(MODEL)
        os.utime(model, (0, 0))
        record.save(self.store, RECORD)
        for release in (RELEASE, BEFORE):
            kept = Path(self.store.release(release, QUEUE), "config.yaml")
            kept.parent.mkdir(parents=True)
            kept.write_text(CONFIG)
        os.close(lock.acquire(self.store, {}))
        for name in ("check.pyz", "settings.json", "state.json", "lock"):
            (state / "health" / name).write_text("{}")
        (state / "paused.json").write_text('{"who": "ann", "laptop": "l", "since": "2026-04-20T02:15:00Z", ')
        self.made = [(path, path.stat()) for path in sorted(self.base.rglob("*"))]
        self.texts = {path: path.read_bytes() for path, _ in self.made if path.is_file()}

    def begin_anew(self) -> None:
        """As it was made: to lay it down again takes a third of the time."""
        self.disk.work()
        let_go()
        for folder in self.base.iterdir():
            shutil.rmtree(folder)
        for path, was in self.made:
            if path in self.texts:
                path.write_bytes(self.texts[path])
                path.chmod(was.st_mode & 0o7777)
                os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
            else:
                path.mkdir(was.st_mode & 0o7777)
        self.docker.begin_anew()

    def content(self) -> dict[str, bytes]:
        """All that is written down, but for who held the lock last, the room kept aside, and runs that were refused."""
        found = {}
        for folder, _, names in os.walk(self.base):
            for name in names:
                if name not in ("lock", "spare") and not folder.endswith("/runs"):
                    found[f"{folder}/{name}"] = Path(folder, name).read_bytes()
        return found


def inline(life: Callable[[Callable[[dict[str, Any]], None]], None]) -> dict[str, Any]:
    """Instead of a process of its own."""
    said: list[dict[str, Any]] = []
    life(said.append)
    return said[0]


def followed(store: Store, run: str, emit: Any) -> dict[str, Any]:
    lines = journals.read(store.journal(run))
    return {"run": run, "end": next((line.written for line in lines if line.word == "end"), None)}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for module in (process, prune, model_use, env):
        monkeypatch.setattr(module, "detached", inline)
    monkeypatch.setattr(process, "follow", followed)
    monkeypatch.setattr(guarded, "prepare", lambda *_, **__: None)
    for module in (prune, model_use, env, pause):
        monkeypatch.setattr(module, "refuse_astray", lambda *_: None)
    monkeypatch.setattr(
        watch, "watch", lambda docker, entries: {one.step.service: Verdict("proven", "well") for one in entries}
    )
    monkeypatch.setattr(state_making, "_fits", lambda store: None)
    docker, disk = Docker(monkeypatch), Disk(monkeypatch)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        found = Site(base := Path(folder), find_store(str(base / "azaion"), str(base / "state")), docker, disk)
        text = crontab.block(found.store.root, 300, "/usr/bin/python3", "/nowhere/check.pyz")
        monkeypatch.setattr(crontab, "read", lambda needed=True: text)
        monkeypatch.setattr(crontab, "write", lambda after: None)
        found.make()
        yield found
        disk.work()
        let_go()


def proven(docker: Any, entries: Sequence[Any]) -> dict[str, Verdict]:
    """A watch that lasts no time."""
    return {entry.step.service: Verdict("proven", "well") for entry in entries}


def plan(site: Site, action: str, **change: Any) -> dict[str, Any]:
    old = Occupant(ID, QUEUE, IMAGE, True, "2026-04-20T09:00:00Z", "unless-stopped", True, RELEASE)
    step = ConsumerStep(**{"service": QUEUE, "change": action, "tag": "1.0", "watch": Watch(), "old": old, **change})
    release, leaves = (BEFORE, RELEASE) if action == "replace" else (RELEASE, RELEASE)
    name = "rollback" if action == "replace" else action
    made = Plan(
        *(RUN, name, "gpu-1", site.store.root, release, "ann", "laptop", "0.2"),
        consumers=(step,),
        leaves=leaves,
        state=str(site.base / "state"),
    )
    return {"plan": encode(made), "secrets": {"configs": {}, "passwords": {}, "variables": {}, "hidden": []}}


def config(site: Site) -> ConfigFile:
    return ConfigFile(f"{site.store.root}/config.yaml", "", 0o600)


def model(site: Site) -> dict[str, Any]:
    told = ModelFile("2026-04-20", f"{site.store.root}/models/2026-04-20/best.pt", "whole", "whole", len(MODEL), 0)
    configs = {QUEUE: {**encode(config(site)), "model_key": "model"}}
    asked = {"folder": f"{site.store.root}/models", "configs": configs, "model": encode(told), "back": False, "was": ""}
    return {**asked, "force": True, "dry_run": False}


def asked(site: Site) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The verb behind each command, and what it is asked."""
    who, where = WHO, site.where
    place = {name: where[name] for name in ("root", "state")}
    rollback = {"container": PARKED, "config": config(site), "config_from": BEFORE}
    file = {"service": QUEUE, "path": f"{site.store.root}/queue.env", "variables": {"A": "b"}, "owner": "", "unset": []}
    return {
        "restart": (restart, plan(site, "restart", container=ID)),
        "stop": (restart, plan(site, "stop", container=ID)),
        "rollback": (running, plan(site, "replace", **rollback)),
        "pause": (pause, {**where, **who, "reason": "why", "seconds": 60}),
        "resume": (pause, {**where, **who, "reason": "", "seconds": 0}),
        "env.push": (env, {**where, **who, "files": [file], "texts": {QUEUE: "A=b\n"}}),
        "models.use": (model_use, {**where, **who, **model(site)}),
        "schedule.remove": (remove, place),
        "setup": (state_make, {**place, "state": str(site.base / "other")}),
    }


COMMANDS = ("restart", "stop", "rollback", "pause", "resume", "models.use", "env.push", "schedule.remove", "setup")


def answered(verb: Any, request: dict[str, Any]) -> tuple[str, str, str]:
    """How a command ends on the laptop: kind of the error or outcome of the run, sentence and hint; all empty for done.

    As `run.conclude` of the laptop has it: a run without an end has been cut off.
    """
    try:
        answer = verb.answer(request, lambda event: None)
    except Exception as error:
        failed = failure(error)
        return failed["kind"], failed["message"], failed["hint"]
    if "end" not in answer or (answer["end"] or {}).get("outcome") == "done":
        return "", "", ""
    end = answer["end"] or {"outcome": "cut-off", "sentence": "", "hint": ""}
    return end["outcome"], end["sentence"], end.get("hint", "")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("error", ERRORS)
def test_on_a_disk_that_takes_nothing_a_command_is_refused_in_a_sentence(site: Site, command: str, error: int) -> None:
    verb, request = asked(site)[command]
    before = site.content()
    site.disk.fail(broken_disk.every_write, error)
    kind, sentence, hint = answered(verb, request)
    site.disk.work()
    assert (site.content(), site.docker.commands, site.docker.running) == (before, [], [ID])
    assert kind in ("refused", "person"), sentence
    assert (kind == "person") == (command == "schedule.remove"), "cron starts no check any more: that was done"
    assert os.strerror(error) in sentence and hint and "\n" not in sentence, sentence
    assert not {".config.yaml", ".queue.env"} & {path.name[:12] for path in Path(site.store.root).iterdir()}


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_call_fails_a_command_ends_in_a_sentence_and_one_consumer_runs_or_none_as_before(
    site: Site, command: str
) -> None:
    """One call after the other, the errors in turn: a call that is added to a command is among them by itself."""
    verb, request = asked(site)[command]
    site.disk.fail(broken_disk.one(UNREACHED), 0)
    assert answered(verb, request) == ("", "", "")
    calls, after = site.disk.calls, len(site.docker.running)
    assert len(calls) > 10
    for at, call in enumerate(calls):
        site.begin_anew()
        before, error = site.content(), ERRORS[at % len(ERRORS)]
        site.disk.fail(broken_disk.one(at), error)
        kind, sentence, hint = answered(verb, request)
        site.disk.work()
        let_go()
        said = f"{os.strerror(error)} at {call}: {kind}: {sentence} ({hint})"
        assert kind != "defect" and "defect" not in sentence and "Errno" not in sentence, said
        assert bool(sentence) == (kind not in ("", "cut-off")), said
        assert len(site.docker.running) in (1, after), said
        if kind == "refused" and command != "setup" and not call.startswith("fsync"):  # the last sync of a file
            assert (site.content(), site.docker.running) == (before, [ID]), said


def brought(site: Site) -> None:
    """A release beyond those that are kept, an image that a run has brought, and a file that was half written."""
    placed = Placed("consumer", "0.9", DROPPED, f"sha256:{'2' * 64}")
    gone = dataclasses.replace(RECORD.releases[1], id="20260101-090000-abcd", services={QUEUE: placed})
    record.save(site.store, Record(RELEASE, (*RECORD.releases, gone)))
    Path(site.store.release(gone.id)).mkdir()
    step = ConsumerStep(QUEUE, "place", "1", Watch(), Spec(LOOSE))
    made = Plan(RUN, "deploy", "gpu-1", "/azaion", RUN, "ann", "laptop", "0.2", consumers=(step,))
    left(site.store, "20260102-000000-abcd", begin_of(made), End("done", "it was done"))
    half = Path(site.store.folder, ".half")
    half.write_text("half")
    os.utime(half, (0, 0))
    for name in (DROPPED, LOOSE):
        site.docker.engine.images[name] = {"Id": f"sha256:{name[-1] * 64}", "Config": {}, "Size": 1 << 20}


def pruned(site: Site, fails: broken_disk.Fails, error: int) -> dict[str, Any]:
    brought(site)
    things = prune.answer({**site.where, "keep": 2, "batches": []}, lambda event: None)["things"]
    agreed = [[thing["kind"], thing["id"]] for thing in things]
    assert {kind for kind, _ in agreed} == {"release", "image", "file"} and len(agreed) == 4
    site.disk.fail(fails, error)
    request = {**site.where, "keep": 2, "batches": [], "agreed": agreed, "who": "ann", "laptop": "laptop"}
    try:
        return prune.answer(request, lambda event: None)
    finally:
        site.disk.work()
        let_go()


def test_prune_makes_room_on_a_disk_without_inodes(site: Site) -> None:
    """The room kept aside is one: the record goes first, which gives it back, and then the journal takes it."""
    answer = pruned(site, broken_disk.Inodes(0), errno.ENOSPC)
    assert (len(answer["removed"]), answer["notes"]) == (4, ())
    assert site.docker.engine.images == {} and not Path(site.store.spare).exists()
    assert [release.id for release in record.load(site.store)[0].releases] == [RELEASE, BEFORE]
    assert journals.state(site.store, answer["run"]).outcome == "done"


def test_prune_makes_room_for_the_record_by_what_is_of_no_release(site: Site) -> None:
    """Where there is no room kept aside any more: then what else can go makes it."""

    def no_spare(number: int, name: str, writes: bool) -> bool:
        return name.endswith("/spare") or inodes(number, name, writes)

    inodes = broken_disk.Inodes(0)
    answer = pruned(site, no_spare, errno.ENOSPC)
    assert len(answer["removed"]) == 4 and site.docker.engine.images == {}
    assert [release.id for release in record.load(site.store)[0].releases] == [RELEASE, BEFORE]
    assert (answer["run"], len(answer["notes"])) == ("", 1)
    assert answer["notes"][0].startswith("fab history does not tell of it: no run can be written down in ")


@pytest.mark.parametrize("error", ERRORS)
def test_prune_leaves_what_the_record_names_where_that_cannot_be_written(site: Site, error: int) -> None:
    answer = pruned(site, broken_disk.every_write, error)
    assert answer["removed"] == (("image", LOOSE),)
    assert [*site.docker.engine.images] == [DROPPED]
    assert [release.id for release in record.load(site.store)[0].releases][2:] == ["20260101-090000-abcd"]
    stays = [note for note in answer["notes"] if " stays: " in note]
    assert len(stays) == 3 and all(os.strerror(error) in note for note in stays)


@pytest.mark.parametrize("error", ERRORS)
def test_prune_that_can_remove_nothing_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    monkeypatch.setattr(candidates, "brought", lambda told: set())
    request = {**site.where, "keep": 2, "batches": [], "agreed": [["file", f"{site.store.folder}/.half"]], **WHO}
    half = Path(site.store.folder, ".half")
    half.write_text("half")
    os.utime(half, (0, 0))
    site.disk.fail(broken_disk.every_write, error)
    kind, sentence, hint = answered(prune, request)
    assert kind == "refused" and hint and sentence.endswith(f": {os.strerror(error)}; nothing was removed"), sentence


def test_a_room_for_a_run_that_is_kept_aside_and_cannot_be_made_refuses_nothing(site: Site) -> None:
    """As on a disk without inodes, after a run has let go of it."""
    Path(site.store.spare).unlink()
    site.disk.fail(broken_disk.every_new_file, errno.ENOSPC)
    site.store.create()


@pytest.mark.parametrize("error", ERRORS)
def test_a_file_that_cannot_be_used_is_no_defect_wherever_it_was(error: int) -> None:
    def ask(name: str) -> Check:
        raise OSError(error, os.strerror(error), "/azaion/x")

    (row,) = ask_all([Question("a row", ask)])
    said = f"/azaion/x cannot be used: {os.strerror(error)}"
    hint = limits.HINT if error == errno.EMFILE else files.SEE
    assert (row.level, row.sentence, row.hint) == (UNKNOWN, said, hint)
    assert failure(OSError(error, os.strerror(error)))["kind"] == "refused"


def test_every_other_error_is_a_defect_and_its_text_is_not_told() -> None:
    def ask(name: str) -> Check:
        raise OSError(errno.EBADF, "a secret")

    (row,) = ask_all([Question("a row", ask)])
    assert (row.level, row.hint) == (UNKNOWN, "a defect of this check: please report it")
    assert row.sentence.startswith("this check failed by itself (OSError in ") and "secret" not in row.sentence
