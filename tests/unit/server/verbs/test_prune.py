"""What may be removed: by ids that this root's own record and journals know, and never anything of a training run."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.commands import prune
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import End, JournalEvent, Line, Staged, as_line, encoded
from gpu_runbook.protocol.plan import BatchMarks, BatchStep, ConsumerStep, Plan, Spec, Watch
from gpu_runbook.protocol.prune import DiskLeft, Thing
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.server.checks import disk
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.retention import after_run, candidates
from gpu_runbook.server.retention.candidates import Needed, brought, may_go
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store
from tests.unit import docker_answers
from tests.unit.docker_answers import Answering, inspected, listed
from tests.unit.journals import begin, begin_of, left
from tests.unit.scene import deployed

NOW = 1776682800.0
HOUR = 3600
RUN, ONE, TWO = "20260420-101112", "1" * 64, "2" * 64
DONE = End("done", "it was done")
ENDS: dict[int, list[JournalEvent]] = {1: [begin(RUN), DONE], 2: [begin(RUN)], 3: [begin(RUN), DONE]}
TRAINING = BatchMarks("training", "training", "team=training", "registry/training", "registry/training:current")


def ident(name: str) -> str:
    """The id of a container that the tests call so."""
    return hashlib.sha256(name.encode()).hexdigest()


def line(event: JournalEvent) -> Line:
    return as_line(encoded(event))


def release(name: str) -> Release:
    return Release(
        name, "", "ann", "proven", {"q": Placed("consumer", "1", f"r/q@sha256:{name}", container=ident(f"c-{name}"))}
    )


KNOWN = Needed(
    kept=(release("r2"),),
    dropped=(release("r1"),),
    staying=frozenset({"r2", "failed"}),
    journals={"f": [line(Staged("q", ident(one))) for one in ("c-left", "c-failed")]},
    listed=[],
    batches=(TRAINING,),
)


def entry(container: str, **change: Any) -> ListedContainer:
    """A container as the engine lists it: at rest, parked, ours, and hours old."""
    labels = {"gpu-runbook.service": "q", "gpu-runbook.release": "gone"}
    change = {"State": "exited", "Labels": labels, "Created": NOW - 2 * HOUR, **change}
    return docker_answers.entry(listed(ident(container), f"q.{container}", **change))


def test_containers_of_dropped_releases_and_old_ones_that_a_run_has_staged_may_go() -> None:
    assert may_go(entry("c-r1", Created=NOW), KNOWN, NOW)
    assert may_go(entry("c-left"), KNOWN, NOW)
    assert may_go(entry("c-left", State="created"), KNOWN, NOW)


@pytest.mark.parametrize("state", ["running", "restarting", "paused", "removing", "a later engine's"])
def test_what_is_not_at_rest_stays(state: str) -> None:
    assert not may_go(entry("c-r1", State=state), KNOWN, NOW)


@pytest.mark.parametrize(
    "stays",
    [
        entry("c-r2"),
        entry("c-stranger"),  # our label, and no run of this root knows its id
        entry("c-left", Created=NOW - HOUR + 1),
        entry("c-left", Names=["/q"]),  # it holds the place
        entry("c-failed", Labels={"gpu-runbook.service": "q", "gpu-runbook.release": "failed"}),
    ],
    ids=["kept", "unknown", "young", "in its place", "of a failed release that is kept"],
)
def test_what_somebody_may_still_need_stays(stays: ListedContainer) -> None:
    assert not may_go(stays, KNOWN, NOW)


class Standing(Answering):
    """An engine that knows nothing but containers of ours, and shows one of them in a training's clothes."""

    shown: dict[str, Any]

    def __init__(self, **shown: Any) -> None:
        super().__init__("unix:///nowhere")
        object.__setattr__(self, "shown", shown)

    def inspection(self, name_or_id: str) -> dict[str, Any]:
        marks = {"gpu-runbook.service": "q", "gpu-runbook.release": "20260101-120000-ab12"}
        labels, image = {**marks, **self.shown.get("labels", {})}, self.shown.get("image", "registry/q:1")
        return {**inspected(name_or_id, self.shown.get("name", "q.r1"), labels, image), "SizeRw": 7}

    def made_from(self, name: str) -> dict[str, Any]:
        return docker_answers.image(labels=self.shown.get("handed_down"))


@pytest.mark.parametrize(
    ("shown", "goes"),
    [
        ({}, True),
        ({"name": "training"}, False),
        ({"labels": {"team": "training"}}, False),
        ({"image": "registry/training:current"}, False),
        ({"handed_down": {"team": "training"}}, False),
        ({"handed_down": {"gpu-runbook.release": "20260101-120000-ab12"}}, False),
        ({"labels": {"gpu-runbook.release": "../r1"}}, False),
    ],
    ids=["ours", "name", "label", "image", "label of its image", "a commit of ours", "no release"],
)
def test_what_goes_was_made_by_us_and_is_no_training(shown: dict[str, Any], goes: bool) -> None:
    known = dataclasses.replace(KNOWN, listed=[entry("c-r1")])
    found = list(candidates._containers(Standing(**shown), known))
    assert [(one.id, one.size) for one in found] == ([(ident("c-r1"), 7)] if goes else [])


def test_what_was_removed_meanwhile_needs_no_removal() -> None:
    known = dataclasses.replace(KNOWN, listed=[entry("c-r1")])
    assert list(candidates._containers(Answering("unix:///nowhere"), known)) == []


def test_images_are_known_by_the_plans_of_runs_that_have_ended() -> None:
    plan = Plan(
        *(f"{RUN}-0001", "deploy", "gpu-1", "/azaion", f"{RUN}-0001", "ann", "laptop", "0.1"),
        consumers=(
            ConsumerStep("q", "place", "1", Watch(), Spec(f"r/q@sha256:{ONE}")),
            ConsumerStep("p", "stop", "1", Watch()),
        ),
        batches=(BatchStep("t", "tag", "1", f"r/t@sha256:{TWO}", "r/t:current"),),
    )
    first, end = line(begin_of(plan)), line(DONE)
    damaged = Line("begin", first.written | {"plan": {"id": 7}})
    assert brought({"a": [first, end]}) == {f"r/q@sha256:{ONE}", f"r/t@sha256:{TWO}"}
    assert brought({"a": [first]}) == set()  # under way, or cut off
    assert brought({"a": [damaged, end], "b": [end], "c": []}) == set()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """One that does not answer."""
    return Engine(f"unix://{tmp_path}/none.sock")


def test_a_damaged_record_removes_nothing(store: Store, engine: Engine) -> None:
    record.save(store, Record("r1", (release("r1"),)))
    Path(store.record).write_text(Path(store.record).read_text().replace('"who": "ann"', '"who": 7'))
    with pytest.raises(Refusal, match=r"is damaged: .*; nothing was removed"):
        candidates.find(store, engine, 2, [TRAINING])


def test_old_journals_and_half_written_files_go_and_those_of_open_runs_stay(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(after_run, "KEEP_RUNS", 1)
    first = f"{RUN}-0001"
    for run, events in ((f"{RUN}-000{number}", ENDS[number]) for number in ENDS):
        left(store, run, *events)
    Path(store.decision(first)).write_text("go")
    old, young = (Path(store.folder, name) for name in (".record.1-2", ".record.3-4"))
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (0, 0))
    found = [*candidates._journals(store), *candidates._half_written(store)]
    sizes = Path(store.journal(first)).stat().st_size + len("go")
    assert [(one.kind, one.id, one.size) for one in found] == [("journal", first, sizes), ("file", str(old), 4)]


def test_at_least_two_releases_stay(tmp_path: Path) -> None:
    inventory = deployed(tmp_path, "r1").inventory
    assert [prune.keep(inventory, given) for given in (None, 2, 9)] == [3, 2, 9]
    assert prune.keep(dataclasses.replace(inventory, keep_releases=1), None) == 2
    with pytest.raises(BadInput, match="--keep 1: fab prune keeps at least 2 releases"):
        prune.keep(inventory, 1)


def test_it_is_told_thing_by_thing_and_journals_in_one_line() -> None:
    image = Thing("image", "r/q@sha256:1", "r/q@sha256:1", 3 << 20, "of no release that is kept")
    journals = [Thing("journal", str(n), str(n), 1024, "older than the newest 200") for n in range(9)]
    assert [text for text, _ in prune.lines("gpu-1", [image, *journals], 5, dry_run=True)] == [
        "gpu-1: fab prune would remove 10 things, at most 3.0 MiB",
        "  image        3.0 MiB  r/q@sha256:1  of no release that is kept",
        "  journal      9.0 KiB  9 of them  older than the newest 200",
    ]
    assert [text for text, _ in prune.lines("gpu-1", [], 5, dry_run=False)] == [
        "gpu-1: nothing to remove; the newest 5 releases stay"
    ]


@pytest.mark.parametrize(
    ("left", "said"),
    [(DiskLeft("/var/lib/docker", 41, 20 << 30), "; /var/lib/docker 41 % full (20.0 GiB left)"), (None, "")],
)
def test_what_is_left_then_is_said_as_the_row_of_the_disk_says_it(left: DiskLeft | None, said: str) -> None:
    assert prune._disk(left) == said
    if left:
        room = disk.Room(left.path, "/", 100 << 30, 80 << 30, left.available, left.percent, None)
        assert disk.judge("disk space", [room], 80, 95).sentence == said[2:]
