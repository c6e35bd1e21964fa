"""The stand-in for nvidia-smi: healthy, failing, hanging, poorer by a GPU, busy."""

from __future__ import annotations

import subprocess
import time

import pytest

from sandbox import Sandbox, run_inside, set_gpu
from sandbox.machine import inside, wait_until
from tests import real

pytestmark = pytest.mark.real
FORMAT = "--format=csv,noheader,nounits"
BASELINE = "index,uuid,name,driver_version,memory.used,memory.total,utilization.gpu,temperature.gpu"


def smi(server: Sandbox, *words: str) -> tuple[int, list[str]]:
    done = run_inside(server, ["nvidia-smi", *words], user="deploy", check=False)
    return done.returncode, done.stdout.splitlines()


def test_a_healthy_server_lists_two_gpus_and_answers_a_query_column_by_column(server: Sandbox) -> None:
    assert len(smi(server, "-L")[1]) == 2
    status, rows = smi(server, f"--query-gpu={BASELINE}", FORMAT)
    assert status == 0
    assert [len(row.split(", ")) for row in rows] == [8, 8]
    assert smi(server, "--query-compute-apps=pid,process_name,used_memory,gpu_uuid", FORMAT) == (0, [])


def test_an_unknown_field_fails_the_whole_query_with_status_2(server: Sandbox) -> None:
    assert smi(server, "--query-gpu=index,mood", FORMAT) == (2, ['Field "mood" is not a valid field to query.'])


def test_a_failing_driver_says_its_text_and_its_status(server: Sandbox) -> None:
    set_gpu(server, exit=9, text="NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    status, lines = smi(server)
    assert status == 9
    assert lines[0].startswith("NVIDIA-SMI has failed")


def test_a_lost_gpu_vanishes_without_a_word(server: Sandbox) -> None:
    set_gpu(server, lost=[0])
    assert [line.split(":")[0] for line in smi(server, "-L")[1]] == ["GPU 1"]


def test_a_training_container_shows_as_the_process_that_the_server_knows(server: Sandbox) -> None:
    container = real.started_training(server)
    process = real.inspected(server, container)["State"]["Pid"]
    query = ("--query-compute-apps=pid", FORMAT)
    wait_until(lambda: smi(server, *query) == (0, [str(process)]), 20, "process on the GPU")


def test_a_hanging_driver_hangs_until_it_is_killed(server: Sandbox) -> None:
    set_gpu(server, hang="killable")
    with subprocess.Popen(inside(server.server, ["nvidia-smi"])) as hanging:
        with pytest.raises(subprocess.TimeoutExpired):
            hanging.wait(1)
        run_inside(server, ["pkill", "-KILL", "-x", "nvidia-smi"])


def test_an_unkillable_hang_survives_sigkill_and_ends_with_the_next_state(server: Sandbox) -> None:
    set_gpu(server, hang="unkillable")
    with subprocess.Popen(inside(server.server, ["nvidia-smi"], user="deploy"), stderr=subprocess.DEVNULL) as hanging:
        wait_until(lambda: "nvidia-smi" in hung(server), 20, "nvidia-smi")
        time.sleep(0.5)  # from being there to asking the driver
        run_inside(server, ["pkill", "-KILL", "-x", "nvidia-smi"])
        time.sleep(1)
        assert hung(server) == "nvidia-smi D"
        set_gpu(server)
        hanging.wait(5)
    assert len(smi(server, "-L")[1]) == 2


def hung(server: Sandbox) -> str:
    return " ".join(run_inside(server, ["ps", "-C", "nvidia-smi", "-o", "comm=,state="], check=False).stdout.split())
