"""Ctrl-C at every step of a deploy: one answer each, and what the server then does is what the answer said."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from dataclasses import dataclass

from sandbox import finish, run_inside, start_publishing
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Said, finished
from tests.deploy.standing import journal, runs
from tests.faults import shim, whole
from tests.faults.shim import Point
from tests.faults.story import RATE, Stage
from tests.real import ROOT, STATE, consumer_image, inspected, server_snapshot

LOAD = 100  # messages that are published while one case goes on
AGAIN = 0.3  # seconds between two Ctrl-C
PULLING = "pulling 1 image"
SPOKEN = ("looking", PULLING, "deploy under way")  # by the laptop, before the run has a journal

NOTHING = r"(gpu-1: )?cancelled, nothing changed"
TOO_LATE = r"gpu-1: too late: run ([\w-]+) goes on\nfollow it with fab follow --run ([\w-]+)"
LEFT = r"gpu-1: you left before the answer; run ([\w-]+) may go on\nfab status"
ANSWERS = {15: NOTHING, 16: f"{TOO_LATE}|{LEFT}", 0: ""}  # by exit status


@dataclass(frozen=True)
class Pressed:
    """How one case went. `came`: whether the deploy came to the point at all; `answer` is what the person was told."""

    point: str
    came: bool
    answer: str = ""
    wrong: tuple[str, ...] = ()


def press(stage: Stage, point: Point | str, times: int = 1) -> Pressed:
    """One deploy on a server that is whole, and Ctrl-C at one point of it.

    A point is one of the shim's, or what the laptop says just before. `times` 2: a second Ctrl-C comes soon after.
    """
    sandbox = stage.laptop.sandbox
    tag = stage.next_tag()
    if point == PULLING:
        tag = "2.0"
        forget_images(stage)
    before, containers = whole.before(stage), server_snapshot(sandbox).containers
    config, number = _config(stage), runs(sandbox)
    producer = start_publishing(sandbox, LOAD, RATE, stage.published + 1)
    if isinstance(point, Point):
        shim.arm(sandbox, point)
    with stage.laptop.start("deploy", "--service", QUEUE, "--force", "--tag", tag) as laptop:
        came = _wait(stage, laptop, point)
        if came:
            for _ in range(times):
                laptop.send_signal(signal.SIGINT)
                time.sleep(AGAIN)
            _wait_for_answer(stage, laptop)
        shim.let_go(sandbox)
        said = finished(laptop)
    wait_until(lambda: not shim.family(sandbox), 60, "run (its end)")
    stage.published += finish(producer)
    if not came:
        return Pressed(str(point), came)
    wrong = _judged(stage, said, number, containers, config)
    return Pressed(str(point), came, said.err.strip(), tuple(wrong + whole.wrong(stage, before)))


def _wait(stage: Stage, laptop: subprocess.Popen[str], point: Point | str) -> bool:
    if isinstance(point, Point):
        return shim.wait_for_point(stage.laptop.sandbox, point, lambda: laptop.poll() is not None)
    assert laptop.stdout is not None
    return any(point in line for line in laptop.stdout)


def _wait_for_answer(stage: Stage, laptop: subprocess.Popen[str]) -> None:
    """Keep the run halted until it has been decided on: a run that goes on too soon could answer for itself."""
    wait_until(lambda: laptop.poll() is not None or _decided(stage) != "", 60, "deploy (its answer)")
    if _decided(stage) == "go":
        wait_until(lambda: laptop.poll() is not None, 60, "deploy (its answer)")


def _decided(stage: Stage) -> str:
    """What was decided of the newest run, empty as long as nothing was."""
    script = f"run=$(ls {STATE}/runs/*.jsonl | tail -n 1); cat ${{run%.jsonl}}.decision"
    return run_inside(stage.laptop.sandbox, ["sh", "-c", script], check=False).stdout


def _judged(stage: Stage, said: Said, number: int, containers: object, config: str) -> list[str]:
    """Whether the answer is one of those there are, and whether it is true."""
    sandbox, answer = stage.laptop.sandbox, said.err.strip()
    if "Traceback" in said.all:
        return [f"a traceback: {said.all}"]
    found = re.fullmatch(ANSWERS.get(said.status, "no answer"), answer)
    if found is None:
        return [f"exit status {said.status} is no answer: {answer}"]
    if said.status == 15:
        return _unchanged(stage, number, containers, config)
    if re.fullmatch(LEFT, answer) and journal(sandbox)[-1].get("outcome") == "cancelled":
        return _unchanged(stage, number, containers, config)
    return _gone_on(stage, number, {run for run in found.groups() if run})


def _unchanged(stage: Stage, number: int, containers: object, config: str) -> list[str]:
    sandbox, wrong = stage.laptop.sandbox, []
    if server_snapshot(sandbox).containers != containers:
        wrong.append("containers changed")
    if _config(stage) != config:
        wrong.append("config.yaml changed")
    if runs(sandbox) > number and (end := journal(sandbox)[-1]).get("outcome") != "cancelled":
        wrong.append(f"the journal ends otherwise: {end}")
    return wrong


def _gone_on(stage: Stage, number: int, named: set[str]) -> list[str]:
    """The run that is named, or the one whose end was heard, went well and is in force."""
    sandbox = stage.laptop.sandbox
    begin, *_, end = journal(sandbox)
    wrong = [] if runs(sandbox) == number + 1 else ["there was no run"]
    if named - {begin["run"]}:
        wrong.append(f"{named} is named, and the run is {begin['run']}")
    if end.get("outcome") != "done":
        wrong.append(f"the run did not go on to its end: {end}")
    elif inspected(sandbox, QUEUE)["Config"]["Labels"]["gpu-runbook.release"] != begin["run"]:
        wrong.append("another release is in force")
    return wrong


def _config(stage: Stage) -> str:
    return run_inside(stage.laptop.sandbox, ["sh", "-c", f"stat -c '%y %i' {ROOT}/config.yaml"]).stdout


def forget_images(stage: Stage) -> None:
    """Leave the next deploy something to pull: images that no container was made of are gone."""
    repository = consumer_image(stage.laptop.sandbox, "").rstrip(":")
    script = f"for image in $(docker images --quiet {repository}); do docker rmi $image || true; done"
    run_inside(stage.laptop.sandbox, ["sh", "-c", script])
