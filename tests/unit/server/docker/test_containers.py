"""Containers as values: the command that makes one, what the engine says of one, and who is on the GPU."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

import gpu_runbook.server.docker.containers
from gpu_runbook.common.clock import moment
from gpu_runbook.common.container import create_command, labels
from gpu_runbook.protocol.plan import NO_CHECK, HealthCheck, Spec, spec_hash
from gpu_runbook.server.docker.containers import lives, occupant, stopped_by_engine
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import Container
from gpu_runbook.server.docker.ours import Ours
from tests.hostile.forms import RUN
from tests.unit import docker_answers
from tests.unit.docker_answers import inspected

FULL = Spec(
    image="registry.lan:5000/azaion/queue@sha256:00",
    command=("python", "-m", "queue", "--name=$HOME `x`"),
    user="1000:1000",
    environment={"TZ": "UTC", "A": "x y=z"},
    mounts=("/azaion:/azaion", "/data:/data:ro"),
    network="host",
    gpus="device=0,1",
    memory="8g",
    stop_signal="SIGINT",
    stop_grace=45,
    labels={"team": "azaion"},
)
SPEC = "0123456789ab"
NOWHERE = Engine("unix:///nonexistent/docker.sock")


def seen(**state: Any) -> Container:
    """A container of ours."""
    marks = labels("annotation-queue", RUN, SPEC, "0123456789abcdef", "")
    return docker_answers.container(inspected("c" * 64, "annotation-queue", marks, restart="unless-stopped", **state))


def test_everything_of_a_spec_is_in_the_command_that_creates_its_container() -> None:
    assert create_command(FULL, "queue.r1", FULL.image, {"gpu-runbook.service": "queue"}) == [
        *("docker", "create", "--name", "queue.r1", "--restart", "no", "--pull", "never"),
        *("--label", "gpu-runbook.service=queue", "--label", "team=azaion"),
        *("--env", "A=x y=z", "--env", "TZ=UTC"),
        *("--volume", "/azaion:/azaion", "--volume", "/data:/data:ro"),
        *("--user", "1000:1000", "--network", "host", "--gpus", '"device=0,1"', "--memory", "8g"),
        *("--stop-signal", "SIGINT", "--stop-timeout", "45"),
        *("--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=3"),
        *(FULL.image, "python", "-m", "queue", "--name=$HOME `x`"),
    ]


def test_what_a_spec_leaves_open_is_left_to_the_image() -> None:
    command = create_command(Spec("i", stop_grace=0), "n", "i", {})
    assert not {"--user", "--network", "--gpus", "--memory", "--stop-signal", "--env", "--volume"} & set(command)
    assert command[command.index("--stop-timeout") + 1] == "0"
    assert command[-1] == "i"


@pytest.mark.parametrize(
    ("gpus", "given"),
    [
        ("all", ["--gpus", "all"]),
        ("2", ["--gpus", "2"]),
        ("device=0", ["--gpus", "device=0"]),
        ("device=MIG-GPU-5/1/0,GPU-2", ["--gpus", '"device=MIG-GPU-5/1/0,GPU-2"']),
        ("nvidia.com/gpu=all", ["--device", "nvidia.com/gpu=all"]),
        ("nvidia.com/gpu=0,nvidia.com/gpu=1:0", ["--device", "nvidia.com/gpu=0", "--device", "nvidia.com/gpu=1:0"]),
    ],
)
def test_gpus_come_by_dockers_gpus_or_as_cdi_devices(gpus: str, given: list[str]) -> None:
    command, plain = create_command(Spec("i", gpus=gpus), "n", "i", {}), create_command(Spec("i"), "n", "i", {})
    at = next(at for at, word in enumerate(command) if word in ("--gpus", "--device"))
    assert command[at : at + len(given)] == given
    assert command[:at] + command[at + len(given) :] == plain


ASKED = HealthCheck("curl -f localhost || exit 1", interval=60, start_period=7)


@pytest.mark.parametrize(
    ("healthcheck", "given"),
    [
        (None, []),
        (HealthCheck(NO_CHECK), ["--no-healthcheck"]),
        (
            ASKED,
            [
                *("--health-cmd", "curl -f localhost || exit 1", "--health-retries", "3", "--health-interval", "60s"),
                *("--health-timeout", "30s", "--health-start-period", "7s"),
            ],
        ),
    ],
)
def test_a_container_is_asked_whether_it_is_well_as_hosts_yaml_says(
    healthcheck: HealthCheck | None, given: list[str]
) -> None:
    command = create_command(Spec("i", healthcheck=healthcheck), "n", "i", {})
    at = command.index("--log-driver")
    assert command[at - len(given) : at] == given
    assert command[: at - len(given)] + command[at:] == create_command(Spec("i"), "n", "i", {})


def test_a_spec_of_an_older_version_is_the_same_and_stops_nobody() -> None:
    old = Spec("registry.lan:5000/azaion/queue@sha256:00", ("python", "-m", "queue"), user="1000:1000", memory="8g")
    assert spec_hash(old) == "787d08dc8fdb"  # as version 0.1.0 has written it
    assert spec_hash(dataclasses.replace(old, healthcheck=ASKED)) != spec_hash(old)


def test_our_labels_win_over_those_of_hosts_yaml() -> None:
    command = create_command(
        Spec("i", labels={"gpu-runbook.service": "other"}), "n", "i", labels("q", "r", "s", "c", "")
    )
    assert "gpu-runbook.service=q" in command
    assert "gpu-runbook.service=other" not in command


@pytest.mark.parametrize(
    ("state", "alive"),
    [
        ({"Running": True}, True),
        ({"Running": True, "Restarting": True}, True),
        ({"Running": True, "Paused": True}, True),
        ({"Running": False, "Paused": True}, True),  # whatever another engine takes for running
        ({"Running": False, "Restarting": True}, True),
        ({"Running": False, "Dead": True}, False),
    ],
)
def test_a_container_lives_while_a_process_of_it_may_be_at_work(state: dict[str, Any], alive: bool) -> None:
    assert lives(seen(**state)) is alive
    assert not lives(None)


def test_what_holds_a_place_is_told_with_its_release_where_it_is_ours() -> None:
    ours = occupant(seen(), Ours(RUN, SPEC))
    assert (ours.ours, ours.release, ours.spec, ours.running) == (True, RUN, SPEC, True)
    assert (ours.name, ours.restart, ours.batch) == ("annotation-queue", "unless-stopped", "")
    foreign = occupant(seen(), None, "a run of training, by its name")
    assert (foreign.ours, foreign.release, foreign.spec) == (False, "", "")
    assert foreign.batch == "a run of training, by its name"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("2026-04-20T10:11:12.25Z", 1776679872.25),
        ("2026-04-20T10:11:12.123456789Z", 1776679872.123456789),
    ],
)
def test_the_time_the_engine_writes_is_read(text: str, seconds: float) -> None:
    assert moment(text) == pytest.approx(seconds, abs=1e-6)


def test_a_container_that_never_started_has_a_time_too() -> None:
    assert moment("0001-01-01T00:00:00Z") < 0


@pytest.mark.parametrize(
    ("after", "status", "expected"),
    [
        (-1, "exited", True),  # the socket is made a moment later than the first container is stopped
        (0, "exited", True),
        (31, "exited", True),  # it took all of its grace period
        (-10, "exited", False),
        (60, "exited", False),
        (0, "running", False),
        (0, "created", False),
    ],
)
def test_a_container_that_ended_while_its_engine_started_was_stopped_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, status: str, expected: bool
) -> None:
    """`after`: seconds since the engine made its socket."""
    monkeypatch.setattr(gpu_runbook.server.docker.containers, "PID_FILE", str(tmp_path / "none"))
    (tmp_path / "docker.sock").touch()
    ended = time.gmtime((tmp_path / "docker.sock").stat().st_ctime + after)
    container = seen(Running=False, Status=status, FinishedAt=time.strftime("%Y-%m-%dT%H:%M:%S.5Z", ended))
    assert stopped_by_engine(container, f"unix://{tmp_path}/docker.sock", grace=30) == expected
    assert not stopped_by_engine(container, NOWHERE.address, grace=30)
