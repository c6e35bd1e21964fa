"""A run that a person closes: what it is left as, what goes with it, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import Swapping
from gpu_runbook.protocol.plan import ConfigFile, ConsumerStep, Plan, Watch
from gpu_runbook.protocol.requests import CloseRequest
from gpu_runbook.protocol.swap import ConfigSwap, Swap
from gpu_runbook.server.run import leftovers, recovery
from gpu_runbook.server.state import journal, lock
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.verbs import close
from tasks.deploy import _closing
from tasks.invocation import run_id
from tests.hostile.forms import RUN
from tests.unit.journals import add, begin_of, left
from tests.unit.world import NEW, OLD, World, placed

OTHER = "20260420-101113-abcd"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(lock, "acquire", lambda store, holder: -1)  # each ends with a process of its own
    return placed(monkeypatch)


def cut_off(store: Store, tmp_path: Path, run: str = RUN) -> Swap:
    """A run that was cut off in its swap, with what it had staged beside config and offset file."""
    config, offset = str(tmp_path / "config.yaml"), str(tmp_path / "offset.yaml")
    step = ConsumerStep("queue", "replace", "1", Watch(), config=ConfigFile(config), offset=OffsetFile(offset))
    plan = Plan(run, "deploy", "gpu-1", store.root, run, "ann", "laptop", "0.1.0", (step,))
    staged = ConfigSwap(config, str(tmp_path / f".config.yaml.{run}"))
    swap = Swap("queue", "queue", NEW, f"queue.{run}", "always", OLD, "queue", "queue.r0", "always", old_ran=True)
    swap = dataclasses.replace(swap, config=staged, offset_kept="/none", offset_left="/none")
    left(store, run, begin_of(plan), Swapping(swap))
    Path(store.release(run, "queue")).mkdir(parents=True)
    for name in ("config.yaml", "offset.yaml"):
        for ending in ("", ".before"):
            (tmp_path / f".{name}.{run}{ending}").write_text("password: secret")
    return swap


def closed(store: Store, deploys: bool = False, run: str = RUN) -> dict[str, Any]:
    """What is answered, in this very process."""
    answers: list[dict[str, Any]] = []
    asked = CloseRequest(store.root, "", "", (), "ann", run, "it is night", deploys)
    close._live(asked, store, answers.append)
    (answer,) = answers
    return answer


def half_swapped(world: World) -> None:
    """Both were renamed, the old one is stopped."""
    world.names.update({OLD: "queue.r0", NEW: "queue"})
    world.policies[OLD] = "no"
    world.living.discard(OLD)


def test_the_end_says_who_closed_it_and_why(store: Store, world: World, tmp_path: Path) -> None:
    cut_off(store, tmp_path)
    half_swapped(world)
    answer = closed(store)
    assert answer == {"closed": f"run {RUN} was closed by ann at step swap: it is night", "notes": []}
    found = journal.state(store, RUN)
    assert (found.state, found.outcome, found.sentence) == ("ended", "needs-person", answer["closed"])


def test_the_old_one_has_its_place_again_and_nothing_is_started(store: Store, world: World, tmp_path: Path) -> None:
    cut_off(store, tmp_path)
    half_swapped(world)
    (tmp_path / "config.yaml").write_text("of the new one")
    closed(store)
    assert (world.names[OLD], world.policies[OLD]) == ("queue", "always")
    assert (world.names[NEW], world.policies[NEW]) == (f"queue.{RUN}", "no")
    assert not world.living
    assert not (tmp_path / "config.yaml").exists(), "there was none before"


def test_the_new_one_keeps_its_place_where_it_runs(store: Store, world: World, tmp_path: Path) -> None:
    cut_off(store, tmp_path)
    half_swapped(world)
    world.living.add(NEW)
    closed(store, deploys=True)
    assert (world.names[NEW], world.policies[NEW], world.policies[OLD]) == ("queue", "always", "no")
    assert world.living == {NEW}


@pytest.mark.parametrize("away", [True, False], ids=["engine away", "engine there"])
def test_what_may_hold_passwords_goes_in_any_case(store: Store, world: World, tmp_path: Path, away: bool) -> None:
    cut_off(store, tmp_path)
    world.away_until = 1e9 if away else 0.0
    assert bool(closed(store)["notes"]) == away
    assert [path.name for path in tmp_path.iterdir() if RUN in path.name] == []


def test_two_that_run_are_never_left_to_a_deploy(store: Store, world: World, tmp_path: Path) -> None:
    cut_off(store, tmp_path)
    world.living |= {OLD, NEW}
    with pytest.raises(Refusal, match=f"two consumers of queue run, {NEW[:12]} and {OLD[:12]}; run {RUN} was not"):
        closed(store, deploys=True)
    assert journal.state(store, RUN).state == "cut-off" and world.ran == []
    (note,) = closed(store)["notes"]
    assert note.startswith("containers were left as they are: two consumers of queue run")


def test_a_deploy_goes_past_none_that_the_engine_says_nothing_of(store: Store, world: World, tmp_path: Path) -> None:
    cut_off(store, tmp_path)
    world.away_until = 1e9
    with pytest.raises(Refusal, match="the docker engine answers and cannot act") as raised:
        closed(store, deploys=True)
    assert raised.value.kind == "person"
    assert journal.state(store, RUN).state == "cut-off"


def test_a_damaged_journal_is_closed_too(store: Store, world: World, tmp_path: Path) -> None:
    add(store, RUN, {"event": "begin", "plan": {"id": 7}})
    (note,) = closed(store, deploys=True)["notes"]
    assert note.startswith(f"the journal of run {RUN} is damaged, and containers were left as they are: ")


def test_one_that_has_ended_is_not_closed_again(store: Store, world: World, tmp_path: Path) -> None:
    cut_off(store, tmp_path)
    closed(store)
    with pytest.raises(Refusal, match=f"run {RUN} has ended: run {RUN} was closed by ann") as raised:
        closed(store)
    assert raised.value.kind == "input"


def test_one_that_is_not_there_is_bad_input(store: Store, world: World) -> None:
    asked = CloseRequest(store.root, str(Path(store.folder).parent), "", (), "ann", RUN, "it is night", False)
    with pytest.raises(Refusal) as raised:
        close.answer(encode(asked), lambda event: None)
    assert raised.value.kind == "input"


def test_what_other_ended_runs_have_left_goes_too_and_what_one_still_needs_stays(store: Store, tmp_path: Path) -> None:
    cut_off(store, tmp_path, OTHER)
    lines = journal.read(store.journal(OTHER))
    kept = [f".config.yaml.{RUN}", ".config.yaml.other", "config.yaml", f".else.yaml.{RUN}", f".config.yaml.{RUN}.x"]
    gone = [".config.yaml.20260101-000000-0000", ".config.yaml.20260101-000000-0000.before", ".config.yaml.back"]
    for name in [*kept, *gone]:
        (tmp_path / name).write_text("password: secret")
    book = Journal(store.journal(RUN))
    book.close()
    leftovers.remove(store, OTHER, lines)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(kept)


def test_whoever_brings_a_run_to_its_end_takes_away_what_it_has_left(
    store: Store, world: World, tmp_path: Path
) -> None:
    cut_off(store, tmp_path)
    half_swapped(world)
    recovery.cut_off_runs(store, world, -1, ())
    assert world.runs(OLD)
    assert [path.name for path in tmp_path.iterdir() if RUN in path.name] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((None, "night", "why"), "--close 'night' is no run"),
        ((None, RUN, None), "--close is given without a --reason"),
        ((None, None, "why"), "--reason is taken with --close alone"),
        ((RUN, RUN, "why"), "--run and --close cannot go together"),
        ((None, " ", "why"), "--close is given without a value"),
        ((None, RUN, " "), "--reason is given without a value"),
    ],
)
def test_what_cannot_be_meant_is_bad_input(words: tuple[str | None, ...], sentence: str) -> None:
    with pytest.raises(BadInput) as raised:
        _closing(*words)
    assert raised.value.message == sentence
    if "without a value" not in sentence:
        assert "fab " in raised.value.hint


def test_a_run_that_is_named_has_the_form_of_one() -> None:
    assert run_id("--supersede", None) == ""
    assert run_id("--supersede", RUN) == RUN
    with pytest.raises(BadInput, match=r"--supersede '\.\./\.\./etc' is no run"):
        run_id("--supersede", "../../etc")
    assert _closing(None, None, None) is None
    assert _closing(RUN, None, None) is None
    assert _closing(None, RUN, "why") == (RUN, "why")
