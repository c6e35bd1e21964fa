"""Rounds of the scheduled check beside a deploy, and a round that is itself cut off while it helps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess

import pytest

from sandbox import finish, keep_publishing, run_inside
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, finished
from tests.deploy.standing import runs
from tests.faults import shim, whole
from tests.faults.deaths import UNSAVED, cut_off
from tests.faults.helpers import history, look_after, make_round, not_judged
from tests.faults.shim import HERE, Point
from tests.faults.story import BAD, RATE, Stage, make_ready
from tests.real import docker, inspected

pytestmark = pytest.mark.real

TOLD = f"{HERE}/told"  # the alerts, as the one channel got them
SETTLE = 4  # seconds that a deploy is watched at least: longer than a round takes
AT_ONCE = 3  # threads that make rounds: while one is at work the others find that out
AT_WORK = "another round is at work\n"
DEPLOY = ("deploy", "--service", QUEUE, "--force", "--tag")
BETWEEN_STOP_AND_START = Point("after", 5)


@pytest.fixture(autouse=True)
def told(stage: Stage) -> Iterator[None]:
    """The check is there, and tells somebody."""
    make_ready(stage)
    stage.laptop.hosts["schedule"] = {"alerts": {"ops": {"kind": "command", "command": ["tee", "-a", TOLD]}}}
    stage.laptop.queue["watch"] |= {"settle": SETTLE}
    stage.laptop.save()
    run_inside(stage.sandbox, ["rm", "-f", TOLD])
    look_after(stage.laptop)
    yield
    del stage.laptop.hosts["schedule"]
    stage.laptop.queue["watch"] |= {"settle": 0}
    stage.laptop.save()


def alerts(stage: Stage) -> str:
    return run_inside(stage.sandbox, ["cat", TOLD], check=False).stdout


@contextmanager
def rounds_all_the_time(stage: Stage, made: list[CompletedProcess[str]]) -> Iterator[None]:
    """Rounds are made one upon the other; those that ended are in `made`."""
    enough = threading.Event()

    def make() -> None:
        while not enough.is_set():
            made.append(make_round(stage.sandbox))

    threads = [threading.Thread(target=make) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join()


@contextmanager
def published_meanwhile(stage: Stage) -> Iterator[None]:
    producer = keep_publishing(stage.sandbox, RATE, stage.published + 1)
    try:
        yield
    finally:
        stage.published += finish(producer)


@pytest.mark.parametrize(("tag", "status"), [("", 0), (BAD, 13)], ids=["proven", "failed"])
def test_a_deploy_ends_as_ever_while_rounds_are_made_all_the_time_and_none_of_them_acts(
    stage: Stage, tag: str, status: int
) -> None:
    sandbox = stage.sandbox
    before, trained, number = whole.before(stage), inspected(sandbox, "training")["State"], runs(sandbox)
    made: list[CompletedProcess[str]] = []
    with published_meanwhile(stage), rounds_all_the_time(stage, made):
        said = stage.laptop.fab(*DEPLOY, tag or stage.next_tag())
    assert said.status == status, said.all
    judged = [ended for ended in made if ended.stdout != AT_WORK]
    assert [wrong for ended in judged for wrong in not_judged(ended)] == []
    seen = history(sandbox)
    assert len(seen) == len(judged) and any("silent" in one for one in seen), "none was made during the run"
    assert [one for one in seen if one.get("actions") or one.get("alerts")] == []
    assert alerts(stage) == ""
    assert runs(sandbox) == number + 1, "a round had a run of its own"
    assert inspected(sandbox, "training")["State"] == trained
    assert whole.wrong(stage, before) == []


def deploy_that_is_cut_off(stage: Stage) -> None:
    """Its run was killed when the old consumer was stopped, and the new one not yet started."""
    sandbox = stage.sandbox
    shim.arm(sandbox, BETWEEN_STOP_AND_START)
    with stage.laptop.start(*DEPLOY, stage.next_tag()) as laptop:
        came = shim.wait_for_point(sandbox, BETWEEN_STOP_AND_START, lambda: laptop.poll() is not None)
        assert came, finished(laptop).all
        cut_off(sandbox)
        shim.let_go(sandbox)
        finished(laptop)


def consumer_that_dies(stage: Stage) -> None:
    """It does not run and has an exit status: the engine does not start again what was killed through it."""
    docker(stage.sandbox, "kill", "--signal=KILL", QUEUE)
    wait_until(lambda: not inspected(stage.sandbox, QUEUE)["State"]["Running"], 10, "consumer (its end)")


def round_that_is_cut_off(stage: Stage, point: Point) -> None:
    """A round that is killed with its children when it has come to a point of what it does by itself."""
    sandbox = stage.sandbox
    shim.arm(sandbox, point)
    thread = threading.Thread(target=make_round, args=(sandbox,))
    thread.start()
    try:
        came = shim.wait_for_point(sandbox, point, lambda: not thread.is_alive())
        assert came, "the round did nothing by itself, or less than that"
        cut_off(sandbox)
    finally:
        shim.let_go(sandbox)
        thread.join()


# What undoes the deploy: update, rename, rename, start, update. What starts a dead consumer again: start, update.
@pytest.mark.parametrize(
    ("trouble", "point"),
    [
        (deploy_that_is_cut_off, Point("at line", 1)),
        (deploy_that_is_cut_off, Point("before", 5)),
        (consumer_that_dies, Point("at line", 2)),
    ],
    ids=["deploy, line 1", "deploy, call 5", "consumer, line 2"],
)
def test_a_round_that_is_cut_off_while_it_helps_is_continued_by_the_next(
    stage: Stage, trouble: Callable[[Stage], None], point: Point
) -> None:
    before = whole.before(stage)
    with published_meanwhile(stage):
        trouble(stage)
        round_that_is_cut_off(stage, point)
        assert not_judged(make_round(stage.sandbox)) == []
    assert whole.wrong(stage, before, UNSAVED, stopped_by_engine=True) == []
