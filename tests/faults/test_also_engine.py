"""A docker engine that answers and cannot act, for seconds and beyond all patience, and a consumer nobody can kill."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import run_inside
from sandbox.machine import wait_until
from sandbox.place import CHECKOUT
from tests.deploy.laptop import QUEUE, Laptop, Said, finished
from tests.deploy.standing import RUNS, journal
from tests.faults import containerd, shim, whole
from tests.faults.deaths import UNSAVED
from tests.faults.helpers import look_after, make_round, not_judged
from tests.faults.shim import Point
from tests.faults.story import BAD, Stage, make_ready
from tests.faults.test_also_round import published_meanwhile
from tests.real import ROOT, docker, exists, inspected, published

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # a case is many commands

FORCED = ("deploy", "--service", QUEUE, "--force", "--tag")
STOPPED = Point("after", 5)  # the old one is stopped, the new one does not run yet
BEFORE_STOP = Point("before", 5)
COMING_BACK = Point("before", 12)  # the new one has failed and is stopped, the old one does not run yet
AWAY = 6.0  # seconds
PATIENCE = 3.0  # seconds that the impatient tool waits
PARTS = ("fabfile.py", "gpu_runbook", "tasks", "sandbox")


@pytest.fixture(autouse=True)
def able(stage: Stage) -> Iterator[None]:
    """Whatever a test leaves away, frozen or halted comes back."""
    make_ready(stage)
    yield
    shim.let_go(stage.sandbox)
    thaw(stage)
    containerd.bring_back(stage.sandbox)


@pytest.fixture(scope="module")
def impatient(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """The same laptop with a tool that waits for no engine longer than a few seconds."""
    source = Path(tmp_path_factory.mktemp("impatient"))
    for part in PARTS:
        whole_part = CHECKOUT / part
        (shutil.copytree if whole_part.is_dir() else shutil.copy)(whole_part, source / part)
    file = source / "gpu_runbook/protocol/deadlines.py"
    text, count = re.subn(r"^PATIENCE = \d+\.\d", f"PATIENCE = {PATIENCE}", file.read_text(), flags=re.MULTILINE)
    assert count == 1
    file.write_text(text)
    return replace(stage.laptop, source=source)


def halted(laptop: Laptop, stage: Stage, tag: str, point: Point) -> subprocess.Popen[str]:
    """A deploy that is halted at a point."""
    shim.arm(stage.sandbox, point)
    process = laptop.start(*FORCED, tag)
    assert shim.wait_for_point(stage.sandbox, point, lambda: process.poll() is not None), finished(process).all
    return process


def publish(stage: Stage, count: int = 20) -> None:
    published(stage.sandbox, count, first=stage.published + 1)
    stage.published += count


@pytest.mark.parametrize(
    ("tag", "point", "status"), [("", STOPPED, 0), (BAD, COMING_BACK, 13)], ids=["there", "and back"]
)
def test_a_swap_whose_engine_cannot_act_for_seconds_waits_for_it(
    stage: Stage, tag: str, point: Point, status: int
) -> None:
    before = whole.before(stage)
    with published_meanwhile(stage):
        deploy = halted(stage.laptop, stage, tag or stage.next_tag(), point)
        with deploy, containerd.away_for(stage.sandbox, AWAY):
            shim.let_go(stage.sandbox)
            said = finished(deploy)
    assert said.status == status, said.all
    failed = [line for line in journal(stage.sandbox) if line["event"] == "command" and line["status"]]
    assert failed, "containerd was not away"
    publish(stage)
    assert whole.wrong(stage, before) == []


def test_a_restart_whose_engine_cannot_act_for_seconds_waits_for_it(stage: Stage) -> None:
    before = whole.before(stage)
    shim.arm(stage.sandbox, point := Point("after", 1))
    with stage.laptop.start("restart", QUEUE) as restart:
        assert shim.wait_for_point(stage.sandbox, point, lambda: restart.poll() is not None)
        with containerd.away_for(stage.sandbox, AWAY):
            shim.let_go(stage.sandbox)
            said = finished(restart)
    assert said.status == 0, said.all
    publish(stage)
    assert whole.wrong(stage, before) == []


def unfinished(stage: Stage, impatient: Laptop) -> tuple[str, Said]:
    """A deploy whose engine could neither go on nor back; its run, and what was said. The engine is still away."""
    with halted(impatient, stage, stage.next_tag(), STOPPED) as deploy:
        containerd.send_away(stage.sandbox)
        shim.let_go(stage.sandbox)
        said = finished(deploy)
    assert said.status == 14, said.all
    return str(journal(stage.sandbox)[0]["run"]), said


def left_of(stage: Stage, run: str) -> list[str]:
    """What has the run's name beside the config and the offset file."""
    return run_inside(stage.sandbox, ["find", ROOT, "-name", f"*{run}*"]).stdout.split()


def test_a_run_that_could_not_be_undone_is_undone_by_a_round_and_until_then_names_the_ways_out(
    stage: Stage, impatient: Laptop
) -> None:
    sandbox, before = stage.sandbox, whole.before(stage)
    run, said = unfinished(stage, impatient)
    assert f"run {run} was cut off: {QUEUE} could not be exchanged: docker start failed" in said.err
    assert "and it is not undone yet" in said.err
    assert journal(sandbox)[-1]["event"] == "unfinished"
    for tries in (1, 2):
        again = impatient.fab("restart", QUEUE)
        assert again.status == 14, again.all
        assert f"run {run} was cut off and can neither be finished nor undone" in again.err
        assert f"fab deploy --supersede {run}" in again.err and f"fab follow --close {run} --reason" in again.err
        lines = journal(sandbox)
        assert (lines[-1]["event"], lines[-1]["tries"]) == ("unfinished", tries)
    assert f"fab follow --close {run}" in (status := impatient.fab("status")).out, status.all
    containerd.bring_back(sandbox)
    look_after(impatient)
    assert not_judged(make_round(sandbox)) == []
    assert journal(sandbox)[-1]["outcome"] == "rolled-back"
    assert left_of(stage, run) == []
    publish(stage)
    assert whole.wrong(stage, before, stopped_by_engine=True) == []


def test_a_run_that_could_not_be_undone_is_closed_by_a_person(stage: Stage, impatient: Laptop) -> None:
    run, _ = unfinished(stage, impatient)
    said = impatient.fab("follow", "--close", run, "--reason", "the disk is changed tonight")
    assert said.status == 0, said.all
    assert f"run {run} was closed by" in said.out and "the disk is changed tonight" in said.out
    assert "containers were left as they are: the docker engine answers and cannot act" in said.out
    assert left_of(stage, run) == []
    told = impatient.fab("follow", "--run", run)
    assert (told.status, "the disk is changed tonight" in told.err) == (14, True), told.all
    again = impatient.fab("follow", "--close", run, "--reason", "once more")
    assert again.status == 10 and f"run {run} has ended" in again.err, again.all
    stage.ready = ""  # names are as the run left them


def test_a_deploy_goes_past_a_run_that_could_not_be_undone(stage: Stage, impatient: Laptop) -> None:
    sandbox, before = stage.sandbox, whole.before(stage)
    run, _ = unfinished(stage, impatient)
    refused = impatient.fab(*FORCED, stage.next_tag(), "--supersede", run)
    assert refused.status == 14, refused.all
    assert f"run {run} was not closed" in refused.err
    containerd.bring_back(sandbox)
    said = impatient.fab(*FORCED, stage.next_tag(), "--supersede", run)
    assert said.status == 0, said.all
    assert f"run {run} was closed by" in said.out
    assert left_of(stage, run) == []
    assert run_inside(sandbox, ["grep", "-c", '"event": "end"', f"{RUNS}/{run}.jsonl"]).stdout.strip() == "1"
    publish(stage)
    wrong = whole.wrong(stage, before, stopped_by_engine=True)
    assert [
        text for text in wrong if not text.startswith(f"run {run} ended as needs-person: run {run} was closed")
    ] == []
    late = impatient.fab(*FORCED, stage.next_tag(), "--supersede", run)
    assert late.status == 10 and f"no run {run} waits there for its end" in late.err, late.all


def freeze(stage: Stage, container: str) -> None:
    """Let SIGKILL not end a container's processes, as where they wait in the kernel, until they are thawed.

    That is so where control groups are of the first version. Docker thaws the container's own group before it kills:
    they are moved to another one.
    """
    parent = Path("/sys/fs/cgroup/freezer", stage.sandbox.cgroup)
    held = parent / "held"
    held.mkdir(exist_ok=True)
    for pid in (parent / container / "cgroup.procs").read_text().split():
        (held / "cgroup.procs").write_text(pid)
    (held / "freezer.state").write_text("FROZEN")
    wait_until(lambda: (held / "freezer.state").read_text().strip() == "FROZEN", 5, "consumer (frozen)")


def thaw(stage: Stage) -> None:
    for state in Path("/sys/fs/cgroup/freezer", stage.sandbox.cgroup).rglob("freezer.state"):
        state.write_text("THAWED")


@pytest.mark.timeout(600)  # the engine gives up twice there and twice back
def test_a_consumer_that_cannot_be_killed_is_not_said_to_be_back_and_is_started_by_a_round(
    stage: Stage, impatient: Laptop
) -> None:
    sandbox, before = stage.sandbox, whole.before(stage)
    old = inspected(sandbox, QUEUE)["Id"]
    look_after(impatient)
    with halted(impatient, stage, stage.next_tag(), BEFORE_STOP) as deploy:
        run = str(journal(sandbox)[0]["run"])
        freeze(stage, old)
        shim.let_go(sandbox)
        said = finished(deploy, 300)
    assert said.status == 14, said.all
    assert f"the one it was to replace ({old[:12]}) was killed and still runs: it may end at any moment" in said.err
    assert "handled offsets" not in said.err
    found = inspected(sandbox, QUEUE)
    assert (found["Id"], found["State"]["Running"]) == (old, True)
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    thaw(stage)
    wait_until(lambda: not inspected(sandbox, QUEUE)["State"]["Running"], 20, "consumer (its end)")
    assert not_judged(make_round(sandbox)) == []
    assert inspected(sandbox, QUEUE)["State"]["Running"] and exists(sandbox, QUEUE)
    assert docker(sandbox, "ps", "--format={{.Names}}", f"--filter=name={QUEUE}").split() == [QUEUE]
    publish(stage)
    wrong = whole.wrong(stage, before, UNSAVED, stopped_by_engine=True)
    assert [text for text in wrong if not text.startswith(f"run {run} ")] == []
