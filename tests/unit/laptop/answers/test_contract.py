"""The answers of --json are what docs/json.md says, and keep what was promised."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invoke.collection import Collection
from invoke.exceptions import Exit

from docs.answers import BY_COMMAND, FAILED_SETUP, FOLLOWED, SECTIONS
from docs.shapes import entries, is_kept, within
from gpu_runbook.laptop.answers.contract import SCHEMA
from gpu_runbook.laptop.answers.past import LogLine, UnreadLog
from gpu_runbook.laptop.commands import (
    diff,
    env,
    health,
    health_text,
    history,
    logs,
    models_text,
    pause,
    prune,
    setup,
    status,
    training_command,
)
from gpu_runbook.laptop.deploy import workflow
from gpu_runbook.laptop.deploy.plan import deploy_plan
from gpu_runbook.laptop.deploy.run import Succeeded
from gpu_runbook.laptop.errors import CannotConnect, RolledBack, RunbookError
from gpu_runbook.laptop.schedule import client, timeline
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.env_file import Compared
from gpu_runbook.protocol.pause import IntendedStop
from gpu_runbook.protocol.prune import Pruned
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.rounds import Round
from gpu_runbook.protocol.schedule import Installation, Removed
from gpu_runbook.protocol.setup import Done, NotDone
from gpu_runbook.protocol.snapshot import BatchState, Snapshot
from tasks import errors, shared
from tasks.invocation import print_json
from tests import answers
from tests.hostile import server as made_up
from tests.hostile.forms import ONE, RUN
from tests.hostile.kept import LINES
from tests.unit import scene
from tests.unit.scene import QUEUE, TRAINING, Scene

NAME = "gpu-1"
CHANGED = """{place} of `fab {command} --json` is {now}, and was promised as {was}.
A script that reads it would break: put the field back as it was, beside the new one. If it has to go, raise SCHEMA in
gpu_runbook/laptop/answers/contract.py, say so in CHANGELOG.md, and run `python -m tests.answers`."""
SESSION: Any = SimpleNamespace(host=SimpleNamespace(name=NAME))
CHECKS = tuple(made_up.CHECKS)
LINE = LogLine(QUEUE, ONE, "stdout", made_up.AT, "größer\u2028", "docker")


@pytest.mark.parametrize("command", answers.kept())
def test_nothing_that_was_promised_is_gone_or_of_another_type(command: str) -> None:
    found = answers.today().get(command, {})
    for place, was in answers.kept()[command].items():
        now = found.get(place, "gone")
        assert is_kept(was, now), CHANGED.format(place=place, command=command.removeprefix("fab "), was=was, now=now)


def test_every_command_has_promises_to_keep() -> None:
    """A command without its promises would be held to nothing."""
    assert answers.kept().keys() == answers.today().keys()


@pytest.mark.parametrize(
    ("was", "now", "kept"),
    [
        ("text", "text", True),
        ("text (done)", "text (done, undone)", True),
        ("text (done, undone)", "text (done)", False),
        ("text (done)", "text", False),
        ("text", "text or null", False),
        ("text", "text, may be missing", False),
        ("text", "whole number", False),
        ("text", "gone", False),
    ],
)
def test_what_is_a_break_of_the_contract(was: str, now: str, kept: bool) -> None:
    assert is_kept(was, now) is kept


def test_every_command_that_takes_json_is_on_the_page_and_no_other() -> None:
    from fabfile import namespace

    assert isinstance(namespace, Collection)
    takes = {str(context.name) for context in namespace.to_contexts() if "--json" in context.flags}
    takes = {name.removesuffix(".list") for name in takes}
    assert takes == {command.split()[0] for command in BY_COMMAND}


def test_every_field_says_what_it_means() -> None:
    kinds = [*(section.kind for section in SECTIONS), FAILED_SETUP]
    shapes = {shape for kind in kinds for shape in within(kind)}
    assert [(shape.name, entry.name) for shape in shapes for entry in entries(shape) if not entry.means] == []


def look(**change: Any) -> Snapshot:
    return dataclasses.replace(decode(Snapshot, made_up.a_look(), "snapshot"), **change)


def busy() -> Snapshot:
    """A look at a server of which there is everything to be told."""
    seen = look()
    (run,) = seen.occupants[QUEUE]
    stopped = {QUEUE: (dataclasses.replace(run, running=False),)}
    return dataclasses.replace(
        seen,
        rows=CHECKS,
        run=RunState(RUN, "ended", "deploy", "ann", made_up.AT, "end", "done", "it is in force"),
        pause=made_up.PAUSED,
        stopped={QUEUE: IntendedStop("ann", made_up.AT)},
        occupants=seen.occupants | stopped,
        batches={TRAINING: BatchState(seen.batches[TRAINING].next_image, (run,))},
    )


@pytest.fixture
def ground(tmp_path: Path) -> Scene:
    return scene.deployed(tmp_path, "r2", "r1")


def compares(ground: Scene, seen: Snapshot) -> Any:
    order = scene.order()
    return diff.as_result(diff.compare(ground.inventory, ground.resolved, ground.services, seen, order))


def carries_out(ground: Scene, seen: Snapshot, dry_run: bool = False) -> Any:
    """A deploy or a rollback behind its gates, without a server."""
    job = workflow.Job(ground.inventory, ground.resolved, ground.services, scene.order(), dry_run)
    plan = deploy_plan(job.inventory, job.resolved, job.services, seen, job.order)
    return workflow._execute(SESSION, job, plan, seen, Screen(out=io.StringIO()), CHECKS)


def shows_logs(follow: bool) -> Any:
    out = io.StringIO()
    show = logs.ShowJson(lambda text: None, [SimpleNamespace(name=QUEUE, log_files=())], follow, out)  # type: ignore[list-item]
    show.lines([LINE, LINE])
    show.unread(UnreadLog(TRAINING, "its driver keeps none"))
    return out.getvalue() if follow else {"server": NAME, "lines": show.found, "unread": show.untold}


def needs_a_person(found: Done) -> RunbookError:
    result: Any = {
        "server": NAME,
        "outcome": "done",
        "done": [],
        "left": [dataclasses.asdict(found.left[0])],
        "rows": [],
    }
    return setup._needs_person(NAME, found, result)


MADE: dict[str, Callable[[Scene], list[Any]]] = {
    "status": lambda ground: [status.as_result(NAME, seen, ground.services) for seen in (look(), busy())],
    "diff": lambda ground: [compares(ground, seen) for seen in (look(), busy(), look(digests={}, occupants={}))],
    "deploy": lambda ground: [carries_out(ground, look(), dry_run=True)],
    "history": lambda ground: [history.as_result(NAME, [made_up.PAST])],
    "show": lambda ground: [{**history.as_result(NAME, [made_up.PAST]), "journal": LINES}],
    "logs": lambda ground: [shows_logs(False)],
    "health --since": lambda ground: [
        timeline.as_result(NAME, client.SeenRounds(made_up.AT, 300, 0, (made_up.ROUND, Round(made_up.AT)), ()))
    ],
    "schedule.install": lambda ground: [
        client.installed_as_result(NAME, Installation(("program",), "# begin\n", None, ("/a", "/b")))
    ],
    "schedule.show": lambda ground: [
        client.shown_as_result(NAME, client.ShownCheck(found, True))
        for found in (
            made_up.SCHEDULE,
            dataclasses.replace(made_up.SCHEDULE, running=None, installed=None, state=None, told=()),
        )
    ],
    "schedule.test": lambda ground: [client.trial_as_result(NAME, CHECKS)],
    "schedule.remove": lambda ground: [client.removed_as_result(NAME, Removed(("crontab",), ""))],
    "prune": lambda ground: [
        prune._result(NAME, "dry-run", [made_up.THING], Pruned()),
        prune._result(NAME, "done", [made_up.THING], Pruned(RUN)),
    ],
    "pause": lambda ground: [pause.as_result(NAME, made_up.PAUSED, None)],
    "resume": lambda ground: [pause.as_result(NAME, None, made_up.PAUSED)],
    "env.diff": lambda ground: [env.as_result(NAME, made_up.COMPARED), env.as_result(NAME, Compared(()))],
    "models": lambda ground: [models_text.as_result(NAME, "/azaion/models", made_up.MODELS)],
}


@pytest.mark.parametrize("command", MADE)
def test_an_answer_is_as_its_type_says(command: str, ground: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"servers": MADE[command](ground)})
    out = capsys.readouterr().out
    assert json.loads(out)["schema"] == SCHEMA
    assert answers.misfits(tuple(command.split()), out) == []


def test_a_deploy_that_is_done_says_how_it_ended(
    ground: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = Succeeded(RUN, RUN, "it is in force", "proven")
    monkeypatch.setattr(workflow, "run", lambda *given: ended)
    monkeypatch.setattr(workflow, "_fetch", lambda *given: {})
    made = carries_out(ground, look(occupants={}))
    assert (made["outcome"], made["verdict"]) == ("done", "proven")
    print_json({"servers": [made]})
    assert answers.misfits(("deploy",), capsys.readouterr().out) == []


def test_the_documents_that_are_made_otherwise(ground: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"level": "ok", "servers": [health_text.as_result(health.HealthReport(NAME, made_up.AT, CHECKS))]})
    assert answers.misfits(("health",), capsys.readouterr().out) == []
    launch = training_command.Launch(NAME, TRAINING, ("docker", "run"), False, ("a note",))
    print_json(training_command.as_result(launch))
    assert answers.misfits(("training.command",), capsys.readouterr().out) == []
    lines = shows_logs(True)
    assert [json.loads(line)["schema"] for line in lines.split("\n")[:2]] == [SCHEMA, SCHEMA]
    assert answers.misfits(tuple(FOLLOWED.split()), lines) == []


def failed(capsys: pytest.CaptureFixture[str], error: RunbookError, **flags: Any) -> str:
    """What stands on stdout when a command ends with an error."""
    error.results = [{"server": "gpu-0", "rows": [], "level": "ok"}, {"server": NAME, **error.as_result()}]
    errors.show(error, {"json": True, **flags})
    return capsys.readouterr().out


def test_a_failure_is_as_its_type_says(capsys: pytest.CaptureFixture[str]) -> None:
    out = failed(capsys, CannotConnect("gpu-1: no route", "look at the line"))
    assert list(json.loads(out)) == ["schema", "servers", "error"]
    assert answers.misfits(("preflight",), out) == []
    error = RolledBack("gpu-1: it failed")
    handled = {"service": QUEUE, "container": ONE, "first": None, "end": 7}
    error.details = {"log": ["the end"], "handled": [handled]}
    assert answers.misfits(("preflight",), failed(capsys, error)) == []
    (line,) = failed(capsys, CannotConnect("gpu-1: no route"), follow=True).splitlines()
    assert json.loads(line)["schema"] == SCHEMA
    setup_failed = needs_a_person(Done((), (NotDone("no root", "mkdir /azaion", True),), CHECKS))
    setup_failed.results = [{"server": NAME, **setup_failed.as_result()}]
    errors.show(setup_failed, {"json": True})
    assert answers.misfits(("setup",), capsys.readouterr().out) == []
    unreached = CannotConnect("gpu-1: no route")
    unreached.results = [{"server": NAME, **unreached.as_result()}]
    errors.show(unreached, {"json": True})
    assert answers.misfits(("setup",), capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"level": 3}, "servers[0].level: int '3'"),
        ({"level": None}, "servers[0].level: NoneType 'None'"),
        ({"new": 1}, "servers[0].new: not on its page"),
        ({"rows": [{"name": "disk"}]}, "servers[0].rows[0].level: missing"),
        ({"rows": {}}, "servers[0].rows: dict '{}'"),
        ({"rows": [dataclasses.asdict(Check("disk", "ok", "")) | {"level": "odd"}]}, "rows[0].level: str 'odd'"),
    ],
)
def test_an_answer_that_is_not_of_its_type_is_noticed(change: dict[str, Any], said: str) -> None:
    answer = {"server": NAME, "level": "ok", "rows": [], **change}
    wrong = answers.misfits(("preflight",), json.dumps({"schema": SCHEMA, "servers": [answer]}))
    assert any(said in one for one in wrong), wrong


@pytest.mark.parametrize("answer", [{"servers": []}, {"servers": [], "schema": 1}, {"schema": 2, "servers": []}])
def test_a_document_without_its_number_at_the_top_is_noticed(answer: dict[str, Any]) -> None:
    assert answers.misfits(("preflight",), json.dumps(answer))


def test_there_is_a_document_whatever_the_status() -> None:
    assert answers.misfits(("preflight",), "", 1) == ["there is no document, at exit status 1"]
    assert answers.misfits(("preflight",), "", 15) == ["there is no document, at exit status 15"]
    assert answers.misfits(tuple(FOLLOWED.split()), "") == []  # a log that said nothing


def test_ctrl_c_before_anything_was_asked_has_its_document(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(json: bool) -> int:
        raise KeyboardInterrupt

    with pytest.raises(Exit) as raised:
        shared.guarded(interrupted)(json=True)
    out, err = capsys.readouterr()
    assert (raised.value.code, err) == (15, "cancelled, nothing changed\n")
    assert json.loads(out)["error"]["outcome"] == "cancelled"
    assert answers.misfits(("preflight",), out, 15) == []
