"""The record, previous-tags.json: damage to it costs what was damaged, and every change leaves the rest alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.plan import Spec
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store

FIRST, SECOND, THIRD = (digit * 64 for digit in "123")
RUN = "20260420-101112-000"
R1, R2, R3, R4 = (f"{RUN}{digit}" for digit in "1234")
IMAGE = f"azaion/queue@sha256:{'0' * 64}"
SPEC = Spec(IMAGE, environment={"NAME": "größer"})
QUEUE = Placed("consumer", "1.0", IMAGE, container=FIRST, spec=SPEC, offset_at_swap=7)


def release(name: str, left: str = "") -> Release:
    return Release(name, "2026-04-20T10:11:12.000Z", "ann", "proven", {"annotation-queue": QUEUE}, left=left)


KNOWN = Record(R3, (release(R3), release(R2, left=f"{RUN}9"), release(R1)))


def test_what_is_saved_is_loaded(store: Store) -> None:
    assert record.load(store) == (Record(), ())
    record.save(store, KNOWN)
    assert record.load(store) == (KNOWN, ())


def test_a_person_can_read_it_and_nobody_else(store: Store) -> None:
    record.save(store, KNOWN)
    path = Path(store.record)
    assert path.stat().st_mode & 0o777 == 0o600
    assert f'\n      "id": "{R3}",\n' in path.read_text()
    assert "größer" in path.read_text()


def test_a_record_that_was_cut_anywhere_is_named_and_stops_nobody(store: Store) -> None:
    record.save(store, KNOWN)
    path = Path(store.record)
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        known, problems = record.load(store)
        assert known == Record()
        assert len(problems) == 1
        assert problems[0].startswith(f"{path} is damaged: ")


@pytest.mark.parametrize("text", ["[]", "7", '{"schema": 2, "releases": []}', '{"schema": 1}', "\0\0", "\xff"])
def test_what_is_no_record_is_named(store: Store, text: str) -> None:
    Path(store.record).write_text(text, encoding="latin-1")
    known, problems = record.load(store)
    assert (known, len(problems)) == (Record(), 1)


def test_a_damaged_entry_is_named_and_the_others_serve(store: Store) -> None:
    data = json.loads(json.dumps(encode(KNOWN)))
    data["releases"][0]["services"]["annotation-queue"]["spec"]["image"] = 7
    Path(store.record).write_text(json.dumps(data))
    known, problems = record.load(store)
    assert [entry.id for entry in known.releases] == [R2, R1]
    assert known.current == R3
    (problem,) = problems
    assert "releases[0].services.annotation-queue.spec.image: str was expected, not int" in problem


def test_a_damaged_record_is_kept_beside_the_new_one(store: Store) -> None:
    Path(store.record).write_text("{")
    record.save(store, KNOWN)
    assert Path(store.record + ".damaged").read_text() == "{"
    assert record.load(store) == (KNOWN, ())


def test_a_deploy_comes_first_and_is_in_force() -> None:
    known = record.with_release(KNOWN, release(R4))
    assert (known.current, [entry.id for entry in known.releases]) == (R4, [R4, R3, R2, R1])


def test_a_deploy_that_is_entered_twice_stands_there_once() -> None:
    known = record.with_release(record.with_release(KNOWN, release(R4)), release(R4))
    assert [entry.id for entry in known.releases] == [R4, R3, R2, R1]


def test_a_rollback_marks_what_it_leaves_and_clears_what_it_goes_to() -> None:
    known = record.rolled_back(KNOWN, R2, R3, f"{RUN}a", {})
    assert known.current == R2
    assert [(entry.id, entry.left) for entry in known.releases] == [(R3, f"{RUN}a"), (R2, ""), (R1, "")]


def test_a_rollback_to_what_is_in_force_on_record_marks_nothing() -> None:
    known = record.rolled_back(KNOWN, R3, R3, f"{RUN}a", {})
    assert known == KNOWN


def test_a_container_that_was_created_anew_takes_the_place_of_the_removed_one() -> None:
    known = record.rolled_back(KNOWN, R1, R3, f"{RUN}a", {"annotation-queue": SECOND, "other": THIRD})
    containers = {entry.id: entry.services["annotation-queue"].container for entry in known.releases}
    assert containers == {R3: FIRST, R2: FIRST, R1: SECOND}
