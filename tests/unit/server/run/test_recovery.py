"""What needs no engine of recovering and tidying up: runs that were cut off before they touched anything."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.journal import End, encoded
from gpu_runbook.protocol.plan import Plan
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.server.docker.commands import Docker
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.queue import offset
from gpu_runbook.server.retention import after_run
from gpu_runbook.server.run import recovery
from gpu_runbook.server.run.outcome import claim
from gpu_runbook.server.state import journal, record
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.journals import add, begin, begin_of, left

OTHER = f"{RUN}-0f0f"
A, B, C = (f"20260419-101112-000{digit}" for digit in "abc")
PLAN = Plan(RUN, "deploy", "gpu-1", "/azaion", RUN, "ann", "laptop", "0.1.0")


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    """One that must not be asked: there is no engine behind it."""
    return Docker(Engine(f"unix://{tmp_path}/none.sock"), Journal(str(tmp_path / "run.jsonl")), -1, ())


def recovered(store: Store, docker: Docker, except_run: str = "") -> list[str]:
    return recovery.cut_off_runs(store, docker.engine, docker.lock, (), except_run)


def listed(folder: str) -> set[str]:
    return {entry.name for entry in Path(folder).iterdir()}


DONE = End("done", "it was done")


def test_a_run_that_never_began_is_ended(store: Store, docker: Docker) -> None:
    left(store, RUN)
    (sentence,) = recovered(store, docker)
    assert sentence == f"run {RUN} was cut off before it began; nothing was changed"
    assert journal.state(store, RUN).outcome == "cancelled"


def test_a_run_that_was_cut_off_before_its_swap_changed_nothing(store: Store, docker: Docker) -> None:
    left(store, RUN, begin_of(PLAN))
    (sentence,) = recovered(store, docker)
    assert sentence == f"run {RUN} was cut off before its swap; nothing was changed"
    assert recovered(store, docker) == []


def test_what_a_run_without_a_swap_kept_is_removed_since_it_holds_passwords(store: Store, docker: Docker) -> None:
    for name in (RUN, OTHER):
        Path(store.release(name, "q")).mkdir(parents=True)
        Path(store.release(name, "q"), "config.yaml").write_text("password: secret")
    left(store, RUN, begin_of(PLAN))
    recovered(store, docker)
    assert listed(store.releases) == {OTHER}


def test_runs_that_ended_or_live_or_recover_themselves_are_left_alone(store: Store, docker: Docker) -> None:
    left(store, A, begin(A), DONE)
    living = Journal(store.journal(B))
    left(store, C)
    assert recovered(store, docker, C) == []
    living.close()
    assert journal.state(store, C).state == "cut-off"


def test_a_damaged_journal_needs_a_person_once(store: Store, docker: Docker) -> None:
    add(store, A, encoded(begin_of(PLAN)) | {"plan": {"id": 7}})
    add(store, B, encoded(begin_of(PLAN)), {"event": "swap", "swap": {}})
    left(store, C, begin(C))
    sentences = recovered(store, docker)
    assert [sentence.split(": ")[0] for sentence in sentences] == [
        f"the journal of run {run} is damaged" for run in (A, B, C)
    ]
    assert [journal.state(store, run).outcome for run in (A, B, C)] == ["needs-person"] * 3
    assert recovered(store, docker) == []


@pytest.mark.parametrize(
    "line",
    [
        {"event": "staging", "service": "q", "name": "q.new", "config": "config.yaml"},
        {"event": "staged", "service": "q"},
        {"event": "undoing"},
        {"event": "recorded", "release": "../r1"},
        {"event": "restart", "service": "q", "container": "q", "grace": 30},
        {"event": "stop", "service": "q", "container": "0" * 64, "grace": -1},
    ],
    ids=lambda line: str(line["event"]),
)
def test_a_damaged_line_by_which_a_run_would_be_ended_needs_a_person(
    store: Store, docker: Docker, line: dict[str, Any]
) -> None:
    """Passed over, it would be gone forward where it went back, or left behind what holds passwords."""
    add(store, RUN, encoded(begin_of(PLAN)), line)
    (sentence,) = recovered(store, docker)
    assert sentence.startswith(f"the journal of run {RUN} is damaged: {RUN}.")


def test_a_damaged_line_that_nobody_follows_is_passed_over(store: Store, docker: Docker) -> None:
    lines: list[dict[str, Any]] = [{"event": "seen", "backlog": "?"}, {"event": "verdict"}, {"event": "tidied"}]
    add(store, RUN, encoded(begin_of(PLAN)), *lines, {"event": "command", "argv": "docker"})
    assert recovered(store, docker) == [f"run {RUN} was cut off before its swap; nothing was changed"]


def test_several_cut_runs_are_ended_oldest_first(store: Store, docker: Docker) -> None:
    for run in (B, A):
        left(store, run)
    assert [sentence.split()[1] for sentence in recovered(store, docker)] == [A, B]


def test_whoever_claims_first_decides(store: Store) -> None:
    assert claim(store.decision(RUN), "go")
    assert not claim(store.decision(RUN), "cancelled")
    assert Path(store.decision(RUN)).read_text() == "go"


def releases(*ids: str) -> tuple[Release, ...]:
    return tuple(
        Release(name, "2026-04-20T10:11:12Z", "ann", "proven", {"q": Placed("consumer", "1", "0" * 64)}) for name in ids
    )


@pytest.mark.parametrize(
    ("current", "keep", "kept", "dropped"),
    [
        ("r4", 2, ["r4", "r3"], ["r2", "r1"]),
        ("r4", 9, ["r4", "r3", "r2", "r1"], []),
        ("r3", 1, ["r4", "r3", "r2"], ["r1"]),
        ("r1", 1, ["r4", "r1"], ["r3", "r2"]),
        ("", 1, ["r4"], ["r3", "r2", "r1"]),
    ],
)
def test_the_newest_releases_the_one_in_force_and_the_one_before_it_are_kept(
    current: str, keep: int, kept: list[str], dropped: list[str]
) -> None:
    stays, goes = after_run.split(Record(current, releases("r4", "r3", "r2", "r1")), keep)
    assert ([entry.id for entry in stays], [entry.id for entry in goes]) == (kept, dropped)


def test_the_release_that_a_rollback_would_go_to_is_kept_however_many_were_left() -> None:
    newest, *left, good, old = releases("r5", "r4", "r3", "r2", "r1")
    gone_past = [dataclasses.replace(entry, left="run") for entry in left]
    stays, goes = after_run.split(Record("r5", (newest, *gone_past, good, old)), 2)
    assert ([entry.id for entry in stays], [entry.id for entry in goes]) == (["r5", "r4", "r2"], ["r3", "r1"])


def test_folders_that_no_kept_release_needs_go_and_those_of_open_runs_stay(store: Store, docker: Docker) -> None:
    old = "20200101-000000-0000"  # its journal is gone
    record.save(store, Record(RUN, releases(RUN)))
    for name in (RUN, A, B, C, f"adopted-{A}", old, "lost+found"):
        Path(store.release(name, "q")).mkdir(parents=True)
    left(store, A, DONE)
    left(store, B, begin(B))
    living = Journal(store.journal(C))
    assert after_run.tidy(store, docker, keep=5) == []
    living.close()
    assert listed(store.releases) == {RUN, B, C, "lost+found"}


@pytest.mark.parametrize("container", ["--volumes", "annotation-queue", 7, None])
def test_a_note_that_names_no_container_leads_to_none(store: Store, docker: Docker, container: object) -> None:
    """Such as somebody else may have written: there is no engine here that could be asked for it."""
    for name in (A, B, C):
        Path(store.release(name)).mkdir(parents=True)
        note = {"handled": [{"container": container}]}
        Path(store.release(name), "failed.json").write_text(json.dumps(note))
    assert after_run.tidy(store, docker, keep=5) == [
        f"the note of release {A} is damaged; its containers are left to a person"
    ]


def test_old_journals_go_with_their_decisions(store: Store, docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after_run, "KEEP_RUNS", 2)
    for run in (A, B, C):
        left(store, run, DONE)
        claim(store.decision(run), "go")
    after_run.tidy(store, docker, keep=5)
    assert listed(store.runs) == {f"{run}.{what}" for run in (B, C) for what in ("decision", "jsonl")}


@pytest.mark.parametrize(("means", "expected"), [("next", 7), ("last", 8)])
def test_the_position_at_a_swap_is_read_from_the_kept_copy(tmp_path: Path, means: str, expected: int) -> None:
    kept = tmp_path / "offset.yaml"
    kept.write_text("offset: 7\n")
    file = OffsetFile("/azaion/offset.yaml", means=means)
    assert offset.position(file, str(kept)) == expected
    assert offset.position(file, str(tmp_path / "none")) is None
    assert offset.position(None, str(kept)) is None
