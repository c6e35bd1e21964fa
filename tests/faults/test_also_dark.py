"""The line goes dark in the middle of every kind of exchange: each says so within half a minute, and a run goes on."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from sandbox import run_inside, set_gpu, set_line
from sandbox.machine import run_on, wait_until
from tests.deploy.laptop import QUEUE, Said, finished
from tests.deploy.standing import journal, runs, wait_for_step
from tests.deploy.test_runs import wait_for_line
from tests.faults import shim, whole
from tests.faults.deaths import DEATHS
from tests.faults.interrupts import forget_images
from tests.faults.shim import Point
from tests.faults.story import Stage
from tests.real import published

pytestmark = pytest.mark.real

PATIENCE = 30.0  # seconds from the outage on until everybody has been told of it
DEPLOY = ("deploy", "--service", QUEUE, "--force", "--tag")
CALL = "python3 -IS -c"  # how the server's end of every call begins


@pytest.fixture(autouse=True)
def light(stage: Stage) -> Iterator[None]:
    """Whatever a test leaves halted, hanging or dark goes on."""
    yield
    set_line(stage.laptop.sandbox)
    set_gpu(stage.laptop.sandbox)
    shim.let_go(stage.laptop.sandbox)
    _registry(stage, "CONT")


def told(laptops: dict[str, subprocess.Popen[str]], dark: float) -> dict[str, tuple[int, str]]:
    """Exit status and last words of each, all of which have to end in time; `dark` is when the line went."""
    ended: dict[str, float] = {}
    wait_until(lambda: _all_ended(laptops, ended), 120, "laptops (their ends)")
    took = {name: round(at - dark, 1) for name, at in ended.items()}
    print(f"ended after {took}")
    assert max(took.values()) < PATIENCE, took
    return {name: _words(finished(process)) for name, process in laptops.items()}


def _all_ended(laptops: dict[str, subprocess.Popen[str]], ended: dict[str, float]) -> bool:
    for name, process in laptops.items():
        if name not in ended and process.poll() is not None:
            ended[name] = time.monotonic()
    return len(ended) == len(laptops)


def _words(said: Said) -> tuple[int, str]:
    assert "Traceback" not in said.all, said.all
    return said.status, said.err.strip()


def _registry(stage: Stage, what: str) -> None:
    services = stage.laptop.sandbox.services
    run_on(services, ["sh", "-c", f"kill -{what} $(cat /run/registry.pid)"])


def _calls(stage: Stage) -> int:
    """How many calls the server's ends of which are at work, detached runs among them."""
    found = run_inside(stage.laptop.sandbox, ["pgrep", "--count", "--full", CALL], check=False)
    return int(found.stdout)


def watch(stage: Stage, settle: int, window: int) -> None:
    stage.laptop.queue["watch"] |= {"settle": settle, "window": window}
    stage.laptop.save()


def publish(stage: Stage) -> None:
    """Prove to the consumer in its watch that the queue is no longer idle."""
    published(stage.laptop.sandbox, 100, first=stage.published + 1)
    stage.published += 100


def test_a_look_a_health_check_a_run_and_its_follower_say_that_the_line_is_dark(stage: Stage) -> None:
    laptop, sandbox = stage.laptop, stage.laptop.sandbox
    before, number = whole.before(stage), runs(sandbox) + 1
    watch(stage, 1, 100)  # the queue is idle: it lasts until a message comes
    laptops = {"run": laptop.start(*DEPLOY, stage.next_tag())}
    run = wait_for_step(sandbox, number, "watching")
    laptops["follow"] = laptop.start("follow")
    wait_for_line(laptops["follow"], "watched for at most")
    set_gpu(sandbox, hang="killable")
    laptops |= {"look": laptop.start("status"), "health": laptop.start("health", "--json")}
    wait_until(lambda: _smi(stage) == 2, 20, "look and health check (the GPU)")
    set_line(sandbox, state="dead")
    said = told(laptops, time.monotonic())
    lost = "gpu-1: nothing was heard for"
    goes_on = f"fab follow --run {run}, as soon as the server can be reached"
    assert said["run"] == said["follow"] == (16, f"{lost} 10 s; the run goes on by itself\n{goes_on}")
    assert said["look"] == (11, f"{lost} 20 s; the server was only looked at\nrun it again")
    assert said["health"][0] == 2
    set_line(sandbox)
    publish(stage)
    watch(stage, 1, 3)
    assert f"release {run} is in force and proven" in laptop.fab("follow", "--run", run).out
    assert whole.wrong(stage, before) == []


def _smi(stage: Stage) -> int:
    return int(run_inside(stage.laptop.sandbox, ["pgrep", "--count", "--full", "nvidia-smi"], check=False).stdout)


def test_a_pull_and_a_ctrl_c_say_that_the_line_is_dark(stage: Stage) -> None:
    laptop, sandbox = stage.laptop, stage.laptop.sandbox
    before = whole.before(stage)
    forget_images(stage)
    shim.arm(sandbox, point := Point("before", 1))
    set_line(sandbox, rtt=300)  # time to stop the laptop between its words and its deeds
    pulling = laptop.start(*DEPLOY, "2.0")
    wait_for_line(pulling, "pulling 1 image")
    pulling.send_signal(signal.SIGSTOP)
    set_line(sandbox)
    cancelled = laptop.start(*DEPLOY, stage.next_tag())
    assert shim.wait_for_point(sandbox, point, lambda: cancelled.poll() is not None)
    _registry(stage, "STOP")
    calls = _calls(stage)
    pulling.send_signal(signal.SIGCONT)
    wait_until(lambda: _calls(stage) > calls, 20, "pull")
    set_line(sandbox, state="dead")
    dark = time.monotonic()
    cancelled.send_signal(signal.SIGINT)
    said = told({"fetch": pulling, "cancel": cancelled}, dark)
    run = str(journal(sandbox)[0]["run"])
    heard = "gpu-1: nothing was heard for 20 s during the pull; nothing was changed"
    nobody = f"gpu-1: nobody answers whether run {run} was stopped: gpu-1 does not answer any more"
    assert said == {"fetch": (11, f"{heard}\nrun it again"), "cancel": (16, f"{nobody}\nfab follow --run {run}")}
    set_line(sandbox)
    shim.let_go(sandbox)
    assert f"release {run} is in force" in laptop.fab("follow", "--run", run).out
    publish(stage)
    assert whole.wrong(stage, before) == []


def test_who_mends_a_run_is_told_that_the_line_is_dark_and_the_mending_goes_on(stage: Stage) -> None:
    laptop, sandbox = stage.laptop, stage.laptop.sandbox
    before = whole.before(stage)
    shim.arm(sandbox, point := Point("after", 5))  # the old one is stopped, the new one does not run yet
    with laptop.start(*DEPLOY, stage.next_tag()) as first:
        assert shim.wait_for_point(sandbox, point, lambda: first.poll() is not None)
        run = str(journal(sandbox)[0]["run"])
        DEATHS["process and children"].strike(sandbox, first)
        assert finished(first).status == 14
    shim.arm(sandbox, point := Point("before", 3))
    recovering = laptop.start(*DEPLOY, stage.next_tag())
    assert shim.wait_for_point(sandbox, point, lambda: recovering.poll() is not None)
    set_line(sandbox, state="dead")
    said = told({"mend": recovering}, time.monotonic())
    sentence = f"gpu-1: nothing was heard for 20 s; run {run} is brought to an end without you"
    assert said == {"mend": (16, f"{sentence}\nfab status says how it ended; then run this again")}
    set_line(sandbox, state="reset")  # whoever asked is gone for good
    set_line(sandbox)
    shim.let_go(sandbox)
    wait_until(lambda: not shim.family(sandbox), 60, "mending (its end)")
    assert f"{run} by" in (status := laptop.fab("status").out)
    assert "the server is as it was before" in status
    publish(stage)
    assert whole.wrong(stage, before) == []
