"""An outage of twenty seconds while a run is followed: the following is taken up again where it was."""

from __future__ import annotations

import time

import pytest

from sandbox import set_line
from tests.deploy.laptop import QUEUE, finished
from tests.deploy.standing import runs, wait_for_step
from tests.deploy.test_runs import wait_for_line
from tests.faults import whole
from tests.faults.story import Stage
from tests.real import published

pytestmark = pytest.mark.real

OUTAGE = 20.0  # seconds


def test_an_outage_while_a_run_is_followed_is_survived_by_whoever_follows(stage: Stage) -> None:
    laptop, sandbox = stage.laptop, stage.laptop.sandbox
    before, number = whole.before(stage), runs(sandbox) + 1
    laptop.queue["watch"] |= {"settle": 1, "window": 100}  # the queue is idle: it lasts until a message comes
    laptop.save()
    with laptop.start("deploy", "--service", QUEUE, "--tag", stage.next_tag()) as deploy:
        run = wait_for_step(sandbox, number, "watching")
        with laptop.start("follow") as following:
            wait_for_line(following, "watched for at most")
            set_line(sandbox, state="dead")
            time.sleep(OUTAGE)
            set_line(sandbox)
            published(sandbox, 100)
            stage.published += 100
            said = [finished(deploy), finished(following)]
    for one in said:
        assert (one.status, one.err) == (0, ""), one.all
        assert "gpu-1: nothing was heard for 10 s; trying to come back to the run" in one.out
        assert any(line.startswith(f"gpu-1: release {run} is in force and proven") for line in one.out.splitlines())
        lines = [line for line in one.out.splitlines() if line.startswith("  ")]
        assert len(lines) == len(set(lines)), "a line of the journal was told twice"
    assert whole.wrong(stage, before) == []
