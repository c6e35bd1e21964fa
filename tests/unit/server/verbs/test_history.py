"""What was done, as the journals tell it: damaged ones are named, and hide no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.commands.history import lines, shown, told
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.history import PastRun, ServiceChange
from gpu_runbook.protocol.journal import Command, End, JournalEvent, Recovering, Staged, Swapped, as_line, encoded
from gpu_runbook.protocol.plan import ConsumerStep, Plan, Spec, Watch
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.verbs import history
from tests.unit.journals import add, begin_of, left
from tests.unit.world import NEW

FIRST, SECOND, THIRD = "20260420-101112-aaaa", "20260421-101112-bbbb", "20260422-101112-cccc"
IMAGE = "registry.lan:5000/azaion/queue@sha256:"


def image(tag: str) -> str:
    return IMAGE + tag.replace(".", "").ljust(64, "0")


def plan(run: str, tag: str, leaves: str = "", **change: Any) -> Plan:
    step = ConsumerStep("queue", "replace", tag, Watch(), Spec(image(tag)))
    known = Plan(run, "deploy", "gpu-1", "/azaion", run, "ann", "laptop", "0.1", (step,), leaves=leaves)
    return dataclasses.replace(known, **change)


def written(store: Store, plan: Plan, *events: JournalEvent) -> Path:
    """The journal of a run that has begun with a plan."""
    return left(store, plan.id, begin_of(plan), *events)


def done(sentence: str = "it is in force") -> End:
    return End("done", sentence)


def asked(store: Store, **more: Any) -> list[PastRun]:
    answer = history.answer(
        {"root": store.root, "state": f"{store.root}/state", "limit": 10, **more}, lambda event: None
    )
    return [decode(PastRun, run, "pastrun") for run in answer["runs"]]


def text(pasts: list[PastRun]) -> str:
    return "\n".join(line for line, _ in lines("gpu-1", pasts))


def test_each_run_says_from_which_image_to_which_newest_first(store: Store) -> None:
    written(store, plan(FIRST, "1.0"), done())
    written(store, plan(SECOND, "1.1", leaves=FIRST), Swapped("queue", NEW, None, 0.12, 0), done())
    back = dataclasses.replace(plan(THIRD, "1.0").consumers[0], spec=None)
    written(store, plan(THIRD, "1.0", SECOND, action="rollback", release=FIRST, consumers=(back,)), done())
    third, second, first = asked(store)
    assert first.changes == (ServiceChange("queue", "", "", "1.0", image("1.0")),)
    assert second.changes == (ServiceChange("queue", "1.0", image("1.0"), "1.1", image("1.1")),)
    assert third.changes == (ServiceChange("queue", "1.1", image("1.1"), "1.0", image("1.0")),)
    assert (second.who, second.laptop, second.action, second.outage) == ("ann", "laptop", "deploy", 0.12)
    assert "down for 0.12 s" in text([second])
    assert "queue: nothing → 1.0 (sha256:100000000000)" in text([first])


def test_what_a_run_left_alone_is_no_change(store: Store) -> None:
    step = dataclasses.replace(plan(FIRST, "1.0").consumers[0], change="none")
    written(store, plan(FIRST, "1.0", consumers=(step,)), done())
    assert asked(store)[0].changes == ()


def test_a_run_that_was_cut_off_is_told_as_that(store: Store) -> None:
    written(store, plan(FIRST, "1.0"))
    (past,) = asked(store)
    assert past.state == "cut-off"
    assert "cut off" in text([past])


def test_one_that_was_brought_to_an_end_later_says_no_time_it_took(store: Store) -> None:
    written(store, plan(FIRST, "1.0"), Recovering(), done("undone"))
    assert asked(store)[0].seconds is None
    written(store, plan(SECOND, "1.0"), done())
    assert asked(store)[0].seconds is not None


@pytest.mark.parametrize("damage", [b"\0\0\0\n", b'{"event": "swapped", \n', b"[]\n"])
def test_a_damaged_journal_is_named_and_the_rest_is_told(store: Store, damage: bytes) -> None:
    path = written(store, plan(FIRST, "1.0"), done())
    path.write_bytes(path.read_bytes() + damage)
    written(store, plan(SECOND, "1.1", leaves=FIRST), done())
    second, first = asked(store)
    assert (first.damaged, second.damaged) == (1, 0)
    assert first.outcome == "done"
    assert f"1 line of its journal cannot be read: runs/{FIRST}.jsonl in the state" in text([second, first])


@pytest.mark.parametrize("plan_found", [None, 7, {"id": 7}, {}])
def test_a_plan_that_is_none_costs_only_what_it_would_have_said(store: Store, plan_found: Any) -> None:
    begin = encoded(begin_of(plan(FIRST, "1.0"))) | {"plan": plan_found}
    swapped = encoded(Swapped("queue", NEW, None)) | {"outage": "long"}
    add(store, FIRST, begin, swapped, {**encoded(done("so it was")), "t": "late"})
    (past,) = asked(store)
    assert (past.who, past.sentence, past.changes, past.outage, past.seconds) == ("ann", "so it was", (), None, None)


def test_as_many_as_were_asked_for(store: Store) -> None:
    for run in (FIRST, SECOND, THIRD):
        written(store, plan(run, "1.0"), done())
    assert [past.run for past in asked(store, limit=2)] == [THIRD, SECOND]
    assert text([]) == "gpu-1: there has been no run yet"


def test_a_run_that_is_shown_comes_with_every_line(store: Store) -> None:
    written(store, plan(FIRST, "1.0"), Staged("queue", NEW), done())
    written(store, plan(SECOND, "1.0"), done())
    heard: list[dict[str, Any]] = []
    (found,) = history.answer({"root": store.root, "state": f"{store.root}/state", "show": FIRST}, heard.append)["runs"]
    assert found["run"] == FIRST
    journal = [event["line"] for event in heard]
    assert [line["event"] for line in journal] == ["begin", "staged", "end"]
    said = "\n".join(line for line, _ in shown(decode(PastRun, found, "pastrun"), list(map(as_line, journal))))
    assert "queue: container and config are ready" in said
    assert "done: it is in force" in said


def test_a_run_that_nobody_knows_is_refused(store: Store) -> None:
    for wanted in ("", SECOND):
        with pytest.raises(Refusal, match=rf"^there (has been no run|is no run {SECOND})"):
            history.answer({"root": store.root, "state": f"{store.root}/state", "show": wanted}, lambda event: None)
        written(store, plan(FIRST, "1.0"), done())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"t": 1.5, **encoded(Command(("docker", "stop", "q"), 0, 0.1))}, "    1.500 s  $ docker stop q"),
        (
            {"t": 2.0, **encoded(Command(("docker", "start", "q"), 1, 0.1, "no such image"))},
            "    2.000 s  $ docker start q  → 1: no such image",
        ),
        ({"event": "swap", "t": 0.0, "swap": {}}, "    0.000 s  a line (swap) that cannot be understood"),
        ({"event": "swap", "swap": 7}, "a line (swap) that cannot be understood"),
        ({"event": "tidied", "t": 3.0}, None),
    ],
)
def test_a_line_is_told_with_its_time(line: dict[str, Any], expected: str | None) -> None:
    assert told(as_line(line)) == expected


def test_a_row_that_was_gone_past_is_told_with_its_reason(store: Store) -> None:
    written(store, plan(FIRST, "1.0", skipped={"training CI": "the runner is down"}), done())
    (past,) = asked(store)
    assert past.skipped == {"training CI": "the runner is down"}
    assert "went past training CI: the runner is down" in text([past])
