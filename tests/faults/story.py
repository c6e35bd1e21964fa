"""One case: a run, a death at one point of it, at most one further command; and what must be so in the end."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from sandbox import finish, run_inside, start_publishing
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop, finished
from tests.deploy.standing import ran_together
from tests.faults import shim
from tests.faults.deaths import Death
from tests.faults.shim import Point
from tests.real import (
    ROOT,
    clean,
    docker,
    inspected,
    lost_and_twice,
    messages,
    offset,
    started_training,
    written,
)

SECONDS = 90.0  # what a run may take to come to rest after a death
LOAD, RATE = 400, 80  # messages that are published while a case goes on, and how many a second
ACTIONS = ("first deploy", "deploy", "rollback")


@dataclass
class Stage:
    """A server on which case follows case: what was published so far, and which tag comes next."""

    laptop: Laptop
    published: int = 0
    tags: list[str] = field(default_factory=lambda: ["1.0", "1.1"])

    def __post_init__(self) -> None:
        self.laptop.queue["watch"] |= {"settle": 1, "window": 3}
        self.laptop.save()

    def next_tag(self) -> str:
        self.tags.reverse()
        return self.tags[0]


@dataclass(frozen=True)
class Played:
    """How a case went. `came`: whether the run came to the point at all; `wrong`: what must be so and is not."""

    action: str
    point: Point
    death: str
    came: bool
    wrong: tuple[str, ...] = ()
    twice: int = 0


def play(stage: Stage, action: str, point: Point, death: Death) -> Played:
    """Play one case on a server that is whole, and leave a whole one behind."""
    sandbox = stage.laptop.sandbox
    words = _prepare(stage, action)
    begun, repeated = time.time(), _repeated(stage)
    training = _training(stage)
    producer = start_publishing(sandbox, LOAD, RATE, stage.published + 1)
    shim.arm(sandbox, point)
    laptop = stage.laptop.start(*words)
    came = shim.wait_for_point(sandbox, point, lambda: laptop.poll() is not None)
    if came:
        death.strike(sandbox, laptop)
    shim.let_go(sandbox)
    _come_to_rest(stage, laptop)
    wrong = _command(stage, words) if came else []
    stage.published += finish(producer)
    twice, seen = _verify(stage, begun, repeated, death)
    if training != _training(stage):
        seen += [] if death.fells_training else ["training was touched"]
        docker(sandbox, "start", "training")
    return Played(action, point, death.name, came, tuple(wrong + seen), twice)


def _prepare(stage: Stage, action: str) -> list[str]:
    if action == "first deploy":
        new_server(stage)
    if action == "rollback":
        stage.laptop.deployed("--force", "--tag", stage.next_tag())
        stage.laptop.deployed("--force", "--tag", stage.next_tag())
        return ["rollback"]
    return ["deploy", "--service", QUEUE, "--force", "--tag", stage.next_tag()]


def new_server(stage: Stage) -> None:
    """A server on which nothing was deployed yet, and a training runs."""
    clean(stage.laptop.sandbox)
    shim.install(stage.laptop.sandbox)
    stage.published = 0
    started_training(stage.laptop.sandbox)


def _training(stage: Stage) -> Any:
    state = inspected(stage.laptop.sandbox, "training")["State"]
    return state["StartedAt"], state["Pid"]


def _come_to_rest(stage: Stage, laptop: subprocess.Popen[str]) -> None:
    """Wait until nobody holds the lock: the run has ended, or died."""
    wait_until(lambda: not shim.family(stage.laptop.sandbox), SECONDS, "run (its end)")
    if laptop.poll() is None:
        finished(laptop, SECONDS)
    for stream in (laptop.stdout, laptop.stderr):
        if stream:
            stream.close()


def _command(stage: Stage, words: list[str]) -> list[str]:
    """The one further command: the same again, or a deploy where there is nothing to go back to any more."""
    said = stage.laptop.fab(*words)
    if said.status == 12 and words == ["rollback"]:
        said = stage.laptop.fab("deploy", "--service", QUEUE, "--tag", stage.tags[0])
    return [] if said.status == 0 else [f"the next {words[0]} ended with {said.status}: {said.err.strip()}"]


def _repeated(stage: Stage) -> int:
    """How many lines consumers have written of messages that had been written before."""
    seen = [entry.message for entry in written(stage.laptop.sandbox)]
    return len(seen) - len(set(seen))


def _verify(stage: Stage, begun: float, repeated: int, death: Death) -> tuple[int, list[str]]:
    sandbox = stage.laptop.sandbox
    wrong = []
    running = docker(
        sandbox, "ps", "--no-trunc", "--format", "{{.ID}}", "--filter", "label=gpu-runbook.service"
    ).split()
    if len(running) != 1:
        wrong.append(f"{len(running)} consumers run")
    if ran_together(sandbox, begun):
        wrong.append("two consumers ran at once")
    wrong += _policies(stage, running)
    expected = messages(stage.published)
    until = time.monotonic() + 30
    while (lost := lost_and_twice(written(sandbox), expected)[0]) and time.monotonic() < until:
        time.sleep(0.3)
    if lost:
        wrong.append(f"{len(lost)} messages lost")
    twice = _repeated(stage) - repeated
    if twice > death.twice:
        wrong.append(f"{twice} messages twice")
    return twice, wrong + _on_record(stage, running)


def _policies(stage: Stage, running: list[str]) -> list[str]:
    wrong = []
    for container in docker(
        stage.laptop.sandbox, "ps", "-aq", "--no-trunc", "--filter", "label=gpu-runbook.service"
    ).split():
        policy = inspected(stage.laptop.sandbox, container)["HostConfig"]["RestartPolicy"]["Name"]
        expected = "unless-stopped" if container in running else "no"
        if policy != expected:
            wrong.append(f"{container[:12]} has restart policy {policy}, not {expected}")
    return wrong


def _on_record(stage: Stage, running: list[str]) -> list[str]:
    """The journals have ends, the record names what runs, nothing is left over, and the files are whole."""
    sandbox = stage.laptop.sandbox
    wrong = []
    script = f"for run in {ROOT}/.deploy/runs/*.jsonl; do tail -n 1 $run; done; cat {ROOT}/.deploy/previous-tags.json"
    *ends, record = run_inside(sandbox, ["sh", "-c", script]).stdout.split("\n", _count_runs(stage))
    wrong += ["a journal has no end" for end in ends if json.loads(end)["event"] != "end"]
    known = json.loads(record)
    current = next(entry for entry in known["releases"] if entry["id"] == known["current"])
    if [current["services"][QUEUE]["container"]] != running:
        wrong.append("the record does not name the container that runs")
    if shim.family(sandbox):
        wrong.append("the lock is held")
    left = run_inside(sandbox, ["sh", "-c", f"ls -A {ROOT} | grep '^[.]config' || true"]).stdout.split()
    wrong += [f"{name} is left over" for name in left]
    kept = run_inside(
        sandbox,
        ["cmp", f"{ROOT}/config.yaml", f"{ROOT}/.deploy/releases/{known['current']}/{QUEUE}/config.yaml"],
        check=False,
    )
    if kept.returncode:
        wrong.append("config.yaml is not the one of the release in force")
    if offset(sandbox) is None:
        wrong.append("offset.yaml is gone")
    return wrong


def _count_runs(stage: Stage) -> int:
    return int(run_inside(stage.laptop.sandbox, ["sh", "-c", f"ls {ROOT}/.deploy/runs/*.jsonl | wc -l"]).stdout)
