"""Every way in which a run, a restart and a stop end: what is said, what the engine was told in which order, what runs.

An exit is data: what goes wrong, how the run ends, and the commands. The engine is `tests.unit.world`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gpu_runbook.common.container import KEPT
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import End, JournalEvent, Unfinished, told
from gpu_runbook.protocol.pause import IntendedStop
from gpu_runbook.protocol.plan import BatchMarks, BatchStep, ConsumerStep, Plan, Spec
from gpu_runbook.protocol.record import Release
from gpu_runbook.protocol.requests import Secrets
from gpu_runbook.server.docker import disk
from gpu_runbook.server.docker.commands import Docker
from gpu_runbook.server.retention import after_run
from gpu_runbook.server.run import restart, rollout, watch
from gpu_runbook.server.run.outcome import claim
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.run.verdict import Verdict
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import record, stopped
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.docker_answers import IMAGE
from tests.unit.journals import begin_of
from tests.unit.world import HELD, NEW, OLD, STEP, SWAP, World, placed, site

EARLIER = "20260419-101112-abcd"
TAG = BatchStep("training", "tag", "2", IMAGE, "team/training:current")
FAILS = {"queue": Verdict("failed", "it ended with 1")}
TIMES_OUT = {"queue": Verdict("unproven", "no message came")}
WELL = {"queue": Verdict("proven", "it handled 3 messages")}

# What the engine is told, container by container: old out, new in; and what leads back from there.
OUT = ("update old no", "rename old", "rename new queue", "stop old")
IN = ("start new", "update new always")
KEEP = "keep the image"
BACK = ("update new no", "stop new", "rename new", "rename old queue", "start old", "update old always")


@dataclass
class Server:
    """A server on which a run is carried out, and what goes wrong there."""

    store: Store
    world: World
    monkeypatch: pytest.MonkeyPatch
    verdicts: dict[str, Verdict] = field(default_factory=lambda: WELL)
    step: ConsumerStep = STEP
    more: dict[str, Any] = field(default_factory=dict)  # of the plan
    execute: Callable[[Site], End | None] = rollout.execute

    def fails(self, module: Any, name: str, error: Exception) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        self.monkeypatch.setattr(module, name, fail)

    def writes_no(self, word: str) -> None:
        """The journal takes no line of that kind."""
        write = Journal.write

        def full(journal: Journal, event: JournalEvent, sync: bool = True) -> bool:
            if event.word != word:
                return write(journal, event, sync)
            journal.why = "no space left on device"
            return False

        self.monkeypatch.setattr(Journal, "write", full)

    def carried_out(self) -> End | None:
        action = self.more.pop("action", "deploy")
        plan = Plan(RUN, action, "gpu-1", self.store.root, RUN, "ann", "laptop", "0.1.0", (self.step,), **self.more)
        journal = Journal(self.store.journal(RUN))
        journal.write(begin_of(plan))
        docker = Docker(self.world, journal, -1, plan.left_alone)
        return self.execute(Site(plan, Secrets(), {}, self.store, docker, journal))

    @property
    def told(self) -> list[str]:
        """The commands."""
        names = {OLD: "old", NEW: "new"}
        said = []
        for _, argv in self.world.ran:
            words = [names.get(word, word) for word in argv[1:]]
            match words:
                case ["update", _, policy, container]:
                    said.append(f"update {container} {policy}")
                case ["rename", container, "queue"]:
                    said.append(f"rename {container} queue")
                case ["rename", container, _]:
                    said.append(f"rename {container}")
                case ["stop", _, _, container]:
                    said.append(f"stop {container}")
                case ["tag", _, name] if name.startswith(KEPT):
                    said.append("keep the image")
                case ["tag" | "create" as word, *_]:
                    said.append(word)
                case _:
                    said.append(" ".join(words))
        return said

    def events(self) -> list[str]:
        return [line.word for line in journals.read(self.store.journal(RUN))]


@pytest.fixture
def server(store: Store, monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server(store, placed(monkeypatch), monkeypatch)
    monkeypatch.setattr(watch, "watch", lambda docker, entries: found.verdicts)
    monkeypatch.setattr(watch, "tail", lambda *_: ["its last line"])
    monkeypatch.setattr(disk, "trouble", lambda engine: "")
    return found


@dataclass(frozen=True)
class Exit:
    """`goes_wrong`: what is arranged. `sentence`: how it ends. `told`: the commands. `runs`: what runs then."""

    goes_wrong: Callable[[Server], None]
    outcome: str | None  # None: the run has no end yet
    sentence: str  # in the end, or in why it is unfinished
    told: tuple[str, ...]
    runs: set[str]
    release: str = ""  # the one in force afterwards


def nothing(server: Server) -> None:
    """All is well."""


def cut_off_before(server: Server) -> None:
    Journal(server.store.journal(EARLIER)).close()


def changed_since(server: Server) -> None:
    server.world.names[OLD] = "somebody-elses"


def is_a_run(server: Server) -> None:
    server.more["left_alone"] = (BatchMarks("training", "queue"),)


def no_room(server: Server) -> None:
    server.monkeypatch.setattr(disk, "trouble", lambda engine: "the disk of the engine is full")


def new_is_gone(server: Server) -> None:
    server.world.names.pop(NEW)


def not_creatable(server: Server) -> None:
    server.world.names.pop(NEW)
    server.step = dataclasses.replace(STEP, container="", spec=Spec("team/queue"))
    server.world.faults[f"queue.{RUN}"] = "invalid mount config"


def cancelled(server: Server) -> None:
    claim(server.store.decision(RUN), "cancelled")


def swap_not_written(server: Server) -> None:
    server.writes_no("swap")


def new_does_not_start(server: Server) -> None:
    server.world.faults[NEW] = "no such device"


def old_is_gone_meanwhile(server: Server) -> None:
    def failing(docker: Any, entries: Any) -> dict[str, Verdict]:
        server.world.names.pop(OLD)
        return FAILS

    server.monkeypatch.setattr(watch, "watch", failing)


def fails(server: Server) -> None:
    server.verdicts = FAILS


def fails_and_stays(server: Server) -> None:
    server.verdicts, server.more["undo_on_failure"] = FAILS, False


def rollback_fails(server: Server) -> None:
    record.save(
        server.store,
        record.with_release(
            record.load(server.store)[0], Release(EARLIER, "2026-04-19T10:11:12Z", "ann", "proven", {})
        ),
    )
    server.verdicts = FAILS
    server.more |= {"action": "rollback", "leaves": EARLIER}


def fails_and_is_not_led_back(server: Server) -> None:
    server.verdicts = FAILS
    server.fails(rollout, "back", Refusal("the disk is read-only"))


def times_out(server: Server) -> None:
    server.verdicts = TIMES_OUT


def record_not_written(server: Server) -> None:
    server.fails(record, "save", Refusal("record.json could not be written: no space left on device"))


def tag_not_moved(server: Server) -> None:
    server.more["batches"] = (TAG,)
    server.monkeypatch.setattr(World, "_tag", lambda *_: "no such image")


def not_tidied(server: Server) -> None:
    server.fails(after_run, "tidy", Refusal("the disk is read-only"))


EXITS = {
    "proven": Exit(nothing, "done", "is in force and proven (queue: it handled 3", (*OUT, *IN, KEEP), {NEW}, RUN),
    "unproven": Exit(times_out, "done", "is in force, unproven (queue: no message", (*OUT, *IN, KEEP), {NEW}, RUN),
    "not tidied": Exit(not_tidied, "done", "is in force and proven", (*OUT, *IN), {NEW}, RUN),
    "an earlier one was cut off": Exit(
        cut_off_before, "refused", f"run {EARLIER} was cut off since the look; nothing was changed", (), {OLD}
    ),
    "changed since the look": Exit(
        changed_since, "refused", "somebody changed queue since the look: now there is no such container", (), {OLD}
    ),
    "a run of a batch service": Exit(is_a_run, "refused", "it is left alone; nothing was changed", (), {OLD}),
    "no room to start": Exit(
        no_room, "refused", "queue was not stopped: it could not be started again, as the disk", (), {OLD}
    ),
    "its container is gone": Exit(new_is_gone, "refused", "is gone since the look; nothing was changed", (), {OLD}),
    "not creatable": Exit(
        not_creatable,
        "refused",
        "could not be created: invalid mount config; nothing was changed",
        ("create", "create"),
        {OLD},
    ),
    "cancelled": Exit(cancelled, "cancelled", "cancelled, nothing changed", ("rm new",), {OLD}),
    "swap not written down": Exit(
        swap_not_written, "refused", "no space left on device; nothing was changed", ("rm new",), {OLD}
    ),
    "the new one does not start": Exit(
        new_does_not_start,
        "rolled-back",
        "queue could not be exchanged: docker start failed: no such device; the previous queue is back",
        (*OUT, "start new", "start new", *BACK),
        {OLD},
    ),
    "it fails": Exit(
        fails,
        "rolled-back",
        "queue 1 failed its watch: it ended with 1; the previous queue is back",
        (*OUT, *IN, *BACK),
        {OLD},
    ),
    "it fails and is to stay": Exit(
        fails_and_stays, "needs-person", "it was left running, as --no-rollback says", (*OUT, *IN), {NEW}
    ),
    "a rollback fails": Exit(rollback_fails, "needs-person", "a rollback is not undone", (*OUT, *IN), {NEW}, RUN),
    "the old one was removed": Exit(
        old_is_gone_meanwhile,
        "needs-person",
        f"and it could not be undone: queue: the one it replaced ({OLD[:12]}) was removed meanwhile",
        (*OUT, *IN, *BACK[:3]),
        set(),
    ),
    "not led back": Exit(
        fails_and_is_not_led_back, None, "and it is not undone yet: queue: the disk is read-only", (*OUT, *IN), {NEW}
    ),
    "not recorded": Exit(record_not_written, None, "the record could not be written: record.json", (*OUT, *IN), {NEW}),
    "a tag is not moved": Exit(
        tag_not_moved,
        "needs-person",
        "team/training:current could not be moved to",
        (*OUT, *IN, "tag", KEEP),
        {NEW},
        RUN,
    ),
}


@pytest.mark.parametrize("name", EXITS)
def test_a_run_ends_as_it_says_and_leaves_what_it_says(server: Server, name: str) -> None:
    expected = EXITS[name]
    expected.goes_wrong(server)
    end = server.carried_out()
    if end:
        assert (end.outcome, expected.sentence in end.sentence) == (expected.outcome, True), end
    else:
        why = [line.written["why"] for line in journals.read(server.store.journal(RUN)) if "why" in line.written]
        assert expected.outcome is None and expected.sentence in why[-1], why
    assert server.told == list(expected.told)
    assert {one for one in (OLD, NEW) if server.world.runs(one)} == expected.runs
    known = record.load(server.store)[0]
    assert known.current == expected.release
    if name == "not tidied":
        assert end and end.details.notes == (
            "what is no longer needed could not be tidied away: the disk is read-only",
        )
    if end and end.outcome == "done":
        in_force = known.find(RUN)
        assert in_force is not None
        assert end.verdict == in_force.outcome == server.verdicts["queue"].outcome
    assert server.world.most_at_once == 1


def test_a_rollback_that_failed_and_could_not_be_recorded_has_no_end_yet(server: Server) -> None:
    here = site(server.store, server.world, action="rollback")
    server.monkeypatch.setattr(rollout, "_enter", lambda *arguments: "the record could not be written: no space")
    assert rollout._failed(here, [SWAP], "queue 1 failed its watch", "queue") is None
    (unfinished,) = told(journals.read(server.store.journal(RUN))[-1:], Unfinished)
    assert unfinished.why.endswith("; the record could not be written: no space")


GONE_ON = dataclasses.replace(STEP, change="restart", container=OLD, stop_grace=4)
STOPS = dataclasses.replace(GONE_ON, change="stop", reason="the broker is moved")
STOPPED = IntendedStop("ann", "2026-04-20T10:00:00Z", "the broker is moved")
AGAIN = ("stop old", "start old", "update old always")
FOR_GOOD = ("update old unless-stopped", "stop old")
UNENDING = ("stop old", "stop old")


def does_not_run(server: Server) -> None:
    server.world.living.discard(OLD)
    server.step = dataclasses.replace(server.step, old=dataclasses.replace(HELD, running=False))


def does_not_start(server: Server) -> None:
    server.world.faults[OLD] = "no such device"


def cannot_be_killed(server: Server) -> None:
    server.world.undying[OLD] = float("inf")


def had_to_be_killed(server: Server) -> None:
    server.world.exit_codes[OLD] = 137


def not_written_down(server: Server) -> None:
    server.writes_no(server.step.change)


def not_remembered(server: Server) -> None:
    server.fails(stopped, "remember", Refusal("stopped.json could not be written: no space left on device"))


KILLED = "queue did not stop within its grace of 4 s and was killed (137)"
RESTARTS = {
    "proven": Exit(nothing, "done", "s, and is proven: it handled 3 messages", AGAIN, {OLD}),
    "unproven": Exit(times_out, "done", "s, and is unproven: no message came", AGAIN, {OLD}),
    "killed": Exit(had_to_be_killed, "done", "queue was restarted, down for ", AGAIN, {OLD}),
    "it did not run": Exit(does_not_run, "done", "queue was started, and is proven", AGAIN, {OLD}),
    "it fails": Exit(fails, "needs-person", "s, and failed its watch: it ended with 1", AGAIN, {OLD}),
    "it does not start": Exit(
        does_not_start,
        "needs-person",
        "queue could not be restarted: docker start failed: no such device",
        ("stop old", "start old", "start old"),
        set(),
    ),
    "it does not end": Exit(
        cannot_be_killed, "needs-person", "it still runs, and may end at any moment", UNENDING, {OLD}
    ),
    "cut off before": Exit(cut_off_before, "refused", f"run {EARLIER} was cut off since the look", (), {OLD}),
    "changed since the look": Exit(changed_since, "refused", "somebody changed queue since the look", (), {OLD}),
    "a run of a batch service": Exit(is_a_run, "refused", "it is left alone; nothing was changed", (), {OLD}),
    "no room to start": Exit(no_room, "refused", "queue was not stopped", (), {OLD}),
    "cancelled": Exit(cancelled, "cancelled", "cancelled, nothing changed", (), {OLD}),
    "not written down": Exit(not_written_down, "refused", "no space left on device; nothing was changed", (), {OLD}),
}
STOPPINGS = {
    "stopped": Exit(nothing, "done", "queue is stopped and stays so: fab restart queue starts it", FOR_GOOD, set()),
    "killed": Exit(had_to_be_killed, "done", "queue is stopped and stays so", FOR_GOOD, set()),
    "it did not run": Exit(does_not_run, "done", "queue was stopped already", FOR_GOOD, set()),
    "it does not end": Exit(
        *(cannot_be_killed, "needs-person", "it still runs, and may end at any moment"),
        (FOR_GOOD[0], *UNENDING),
        {OLD},
    ),
    "not remembered": Exit(not_remembered, "refused", "no space left on device; nothing was changed", (), {OLD}),
    "no room matters not": Exit(no_room, "done", "queue is stopped and stays so", FOR_GOOD, set()),
    "cancelled": Exit(cancelled, "cancelled", "cancelled, nothing changed", (), {OLD}),
    "not written down": Exit(not_written_down, "refused", "no space left on device; nothing was changed", (), {OLD}),
}


@pytest.mark.parametrize(
    ("name", "step", "exits"),
    [(name, GONE_ON, RESTARTS) for name in RESTARTS] + [(name, STOPS, STOPPINGS) for name in STOPPINGS],
)
def test_a_restart_or_a_stop_ends_as_it_says(
    server: Server, name: str, step: ConsumerStep, exits: dict[str, Exit]
) -> None:
    expected, server.execute, server.step = exits[name], restart.execute, step
    server.more["action"] = step.change
    if step.change == "restart":
        stopped.remember(server.store, "queue", STOPPED)
    expected.goes_wrong(server)
    end = server.carried_out()
    assert end is not None
    assert (end.outcome, expected.sentence in end.sentence) == (expected.outcome, True), end
    assert (name == "killed") == any(KILLED in text for text in end.details.notes)
    assert server.told == list(expected.told)
    assert {one for one in (OLD, NEW) if server.world.runs(one)} == expected.runs
    remembered = "queue" in stopped.load(server.store)[0]
    changed = end.outcome in ("done", "needs-person")
    assert remembered == (changed if step.change == "stop" else not changed)
    if step.change == "restart" and end.outcome == "done":
        assert end.verdict == server.verdicts["queue"].outcome


@pytest.mark.parametrize("step", [GONE_ON, STOPS])
def test_what_was_not_seen_to_end_has_no_end(server: Server, step: ConsumerStep) -> None:
    server.execute, server.step, server.more["action"] = restart.execute, step, step.change
    server.world.away_until = 1000
    assert server.carried_out() is None
    assert server.events()[-1] == "unfinished"
    assert server.world.runs(OLD)
