"""Nothing is done to a run of a batch service, whoever takes it for a consumer: one place refuses every command."""

from __future__ import annotations

import ast
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gpu_runbook.server.docker.commands
from gpu_runbook.common.command import Ended
from gpu_runbook.common.container import labels
from gpu_runbook.laptop.rpc.bundle import FOLDER, TRAVELS
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import Swapping
from gpu_runbook.protocol.plan import BatchMarks, ConsumerStep, Occupant, Plan, Spec, Watch
from gpu_runbook.protocol.requests import Secrets
from gpu_runbook.server.docker.commands import HARMLESS, Docker, LeftAlone, StepFailed
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.run import preconditions, recovery, stage, stop_start
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.run.swap import back, forward
from gpu_runbook.server.state import journal
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.lock import acquire
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit import docker_answers
from tests.unit.docker_answers import Answering, inspected
from tests.unit.journals import begin_of, left
from tests.unit.world import NEW, OLD, SWAP

GONE = "d" * 64
MARKS = (BatchMarks("training", "training", "job=train", "team/training"),)
IS_LEFT_ALONE = "the container .* is a run of training, by its .*: it is left alone"


class Standing(Answering):
    """An engine with two containers, which counts what it is asked."""

    asked: list[str]
    dressed: dict[str, Any]

    def __init__(self, **dressed: Any) -> None:
        super().__init__("unix:///nowhere")
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "dressed", dressed)

    def inspection(self, name_or_id: str) -> dict[str, Any] | None:
        self.asked.append(name_or_id)
        if name_or_id == GONE:
            return None
        found = {"old": OLD, "new": NEW}.get(name_or_id, name_or_id)
        marks = labels("queue", RUN, "5bec", "hash")
        name, given, image = self.dressed.get("old" if found == OLD else "new", ("queue", {}, "team/queue"))
        return inspected(found, name, {**marks, **given}, image)

    def made_from(self, name: str) -> dict[str, Any] | None:
        self.asked.append(name)
        return docker_answers.image()


DRESSES = {
    "by its name": ("training", {}, "team/queue"),
    "by its label": ("queue", {"job": "train"}, "team/queue"),
    "by its image": ("queue", {}, "team/training:current"),
}
STEP = ConsumerStep("queue", "restart", "1", Watch(), container=OLD, restart="always")
PLAN = Plan(RUN, "restart", "gpu-1", "/nowhere", RUN, "ann", "laptop", "0.1.0", (STEP,))
VERBS: dict[str, Callable[[Docker], object]] = {
    "stop": lambda docker: docker.ensure_stopped(OLD, 30),
    "start": lambda docker: docker.ensure_started(OLD),
    "rename": lambda docker: docker.ensure_name(OLD, "other"),
    "update": lambda docker: docker.ensure_restart(OLD, "always"),
    "rm": lambda docker: docker.ensure_gone(OLD),
    "kill": lambda docker: docker.change(["docker", "kill", OLD], 1.0),
    "restart": lambda docker: docker.change(["docker", "restart", OLD], 1.0),
    "a later engine's": lambda docker: docker.change(["docker", "hush", OLD], 1.0),
    "stop_start.stop": lambda docker: stop_start.stop(Store("/nowhere", "/nowhere/state"), docker, PLAN, STEP, ""),
    "stop_start.start": lambda docker: stop_start.start(docker, STEP),
    "forward": lambda docker: forward(SWAP, docker),
    "back": lambda docker: back(dataclasses.replace(SWAP, new=GONE), docker),
}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The commands that were run, none of which is."""
    commands: list[list[str]] = []

    def note(argv: list[str], seconds: float, **more: Any) -> Ended:
        commands.append(argv)
        return Ended(tuple(argv), 0, "", "", 0.1)

    monkeypatch.setattr(gpu_runbook.server.docker.commands, "run", note)
    yield commands


def docker(store: Store, engine: Engine, marks: tuple[BatchMarks, ...] = MARKS) -> Docker:
    return Docker(engine, Journal(store.journal(RUN)), -1, marks)


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("verb", VERBS)
def test_no_command_is_run_for_a_run_of_a_batch_service(
    store: Store, ran: list[list[str]], verb: str, dress: str
) -> None:
    with pytest.raises(LeftAlone, match=IS_LEFT_ALONE) as raised:
        VERBS[verb](docker(store, Standing(old=DRESSES[dress])))
    assert dress in str(raised.value)
    assert ran == []
    assert not Path(store.stopped).exists()


@pytest.mark.parametrize("verb", ["stop", "start", "rename", "update", "kill"])
def test_for_a_consumer_it_is_run(store: Store, ran: list[list[str]], verb: str) -> None:
    VERBS[verb](docker(store, Standing()))
    (argv,) = ran
    assert argv[:2] == ["docker", verb] and OLD in argv


class Silent(Standing):
    """One that goes away between two questions."""

    def made_from(self, name: str) -> dict[str, Any] | None:
        raise EngineError(0, "the engine does not answer")


@pytest.mark.parametrize("engine", [Silent(), Engine("unix:///nowhere")])
def test_where_an_engine_does_not_answer_nothing_is_tried(
    store: Store, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr(gpu_runbook.server.docker.commands, "PATIENCE", -1.0)
    with pytest.raises(StepFailed, match="does not answer"):
        docker(store, engine).ensure_started(OLD)
    assert ran == []


def test_a_name_may_be_another_containers_a_moment_later(store: Store, ran: list[list[str]]) -> None:
    with pytest.raises(StepFailed, match="old is the id of no container"):
        docker(store, Standing()).ensure_started("old")
    assert ran == []


def test_one_that_is_gone_is_nobodys(store: Store, ran: list[list[str]]) -> None:
    docker(store, Standing()).ensure_started(GONE)
    assert ran == [["docker", "start", GONE]]


def test_nothing_is_asked_between_the_stop_and_the_start_of_a_swap(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Standing()
    doing = docker(store, engine)
    moments: dict[str, int] = {}

    def note(argv: list[str], seconds: float, **more: Any) -> Ended:
        moments[argv[1]] = len(engine.asked)
        return Ended(tuple(argv), 0, "", "", 0.1)

    monkeypatch.setattr(gpu_runbook.server.docker.commands, "run", note)
    forward(SWAP, doing)
    assert moments["start"] == moments["stop"] > 0


def site(store: Store, doing: Docker, step: ConsumerStep) -> Site:
    plan = dataclasses.replace(PLAN, root=store.root, consumers=(step,))
    return Site(plan, Secrets(), {}, store, doing, doing.journal)


HELD = Occupant(OLD, "queue", "sha256:i", True, "2026-04-20T10:11:12Z", "no", True)


@pytest.mark.parametrize(
    ("touched", "begins"),
    [
        ({}, False),
        ({"container": "", "old": HELD}, False),
        ({"container": NEW, "old": HELD}, False),
        ({"container": NEW}, True),
        ({"change": "none", "old": HELD}, True),
    ],
)
def test_no_run_begins_that_would_touch_one_of_a_batch_service(
    store: Store, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, touched: dict[str, Any], begins: bool
) -> None:
    monkeypatch.setattr(preconditions, "_check_starting_point", lambda site: None)
    doing = docker(store, Standing(old=DRESSES["by its name"]))
    end = preconditions.refused(site(store, doing, dataclasses.replace(STEP, **touched)))
    assert (end is None) == begins
    if end:
        assert end.outcome == "refused"
        assert end.sentence.endswith("is a run of training, by its name: it is left alone; nothing was changed")
    assert ran == []


@pytest.mark.parametrize("mark", [{"labels": {"job": "train"}}, {"image": "team/training@sha256:00"}])
def test_a_consumer_that_would_be_known_for_a_run_is_not_created(
    store: Store, ran: list[list[str]], mark: dict[str, Any]
) -> None:
    spec = dataclasses.replace(Spec("team/queue@sha256:00"), **mark)
    placing = ConsumerStep("queue", "place", "1", Watch(), spec)
    with pytest.raises(Refusal, match="a container of queue would be known for a run of training, by its "):
        stage.stage(site(store, docker(store, Standing()), placing), placing)
    assert ran == []


@pytest.mark.parametrize("known_by", ["today's hosts.yaml", "its own plan"])
def test_a_run_that_was_cut_off_with_a_training_in_it_is_left_to_a_person_and_ended(
    store: Store, ran: list[list[str]], known_by: str
) -> None:
    step = dataclasses.replace(STEP, change="replace")
    plan = Plan(RUN, "deploy", "gpu-1", store.root, RUN, "ann", "laptop", "0.1.0", (step,))
    marks, today = ((), MARKS) if known_by == "today's hosts.yaml" else (MARKS, ())
    left(store, RUN, begin_of(dataclasses.replace(plan, left_alone=marks)), Swapping(SWAP))
    held = acquire(store, {})
    engine = Standing(new=DRESSES["by its label"])
    (sentence,) = recovery.cut_off_runs(store, engine, held, today)
    assert sentence.startswith(f"run {RUN} was cut off and cannot be brought to its end: the container queue (bbb")
    assert journal.state(store, RUN).outcome == "needs-person"
    assert recovery.cut_off_runs(store, engine, held, today) == []
    assert ran == []


@functools.cache
def calls() -> list[tuple[str, ast.AST]]:
    """Everything in the modules that travel, each with the module's place below the package."""
    files = sorted(file for part in TRAVELS for file in (FOLDER / part).rglob("*.py"))
    parsed = [(file.relative_to(FOLDER).as_posix(), ast.parse(file.read_text())) for file in files]
    return [(file, node) for file, tree in parsed for node in ast.walk(tree)]


def test_every_docker_command_goes_through_the_one_place_that_refuses() -> None:
    """Those that touch a container stand in one module, which runs none but where it has asked; none is posted."""
    commands: dict[str, set[str]] = {}
    for file, node in calls():
        if isinstance(node, ast.List | ast.Tuple) and node.elts and is_text(node.elts[0], "docker"):
            commands.setdefault(file, set()).add(str(getattr(node.elts[1], "value", "?")))
    touching = commands.pop("server/docker/commands.py")
    assert touching - set(HARMLESS) == {"stop", "start", "rename", "update", "rm"}
    assert set.union(*commands.values()) == {"create", "tag", "rmi", "login", "version", "--version"}

    (change,) = (one for file, one in calls() if isinstance(one, ast.FunctionDef) and one.name == "change")
    assert isinstance(change.body[1], ast.If) and "refuse_run" in ast.unparse(change.body[1])
    running = [node for file, node in calls() if file == "server/docker/commands.py" and is_call(node, "run")]
    assert [ast.unparse(node) for node in running] == [
        ast.unparse(node) for node in ast.walk(change) if is_call(node, "run")
    ]
    posting = {file for file, node in calls() if isinstance(node, ast.Constant) and node.value in ("POST", "DELETE")}
    assert posting == {"server/docker/pull.py"}


def is_text(node: ast.AST, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
