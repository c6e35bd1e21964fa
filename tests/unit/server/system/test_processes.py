"""What the kernel knows of containers, whatever an engine knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_runbook.protocol.check import CRITICAL
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.server.facts import snapshot
from gpu_runbook.server.system import processes
from tests.hostile.forms import RUN
from tests.unit.processes import made_process

AT, BEFORE = "2026-04-20T10:11:12Z", "20260101-000000-abcd"
LOST, OTHER, TRAINING = "c" * 64, "d" * 64, "e" * 64


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A server with two processes of a container, and one of each of two others."""
    made_process(tmp_path, 1, "init", 0)
    made_process(tmp_path, 12, "python3", 1000, 1, f"0::/system.slice/docker-{LOST}.scope")
    made_process(tmp_path, 7, "sh", 1000, 2, f"12:pids:/docker/{LOST}\n0::/docker/{LOST}")
    made_process(tmp_path, 30, "python3", 0, 1, f"0::/docker/{OTHER}")
    made_process(tmp_path, 31, "python3", 0, 1, f"0::/docker/{TRAINING}")
    (tmp_path / "99").mkdir()  # it has ended meanwhile
    (tmp_path / "self").mkdir()
    return tmp_path


def test_processes_are_found_by_their_control_group(proc: Path) -> None:
    found = processes.of_containers({LOST, OTHER, "f" * 64}, str(proc))
    assert {container: sorted(pids) for container, pids in found.items()} == {LOST: [7, 12], OTHER: [30]}


@pytest.mark.parametrize(
    ("services", "listed", "told"),
    [
        pytest.param({"queue"}, set(), True, id="docker has forgotten it"),
        pytest.param({"queue"}, {LOST}, False, id="docker knows it"),
        pytest.param({"other"}, set(), False, id="nobody deploys it"),
    ],
)
def test_a_container_on_record_that_works_on_without_docker_is_named(
    proc: Path, monkeypatch: pytest.MonkeyPatch, services: set[str], listed: set[str], told: bool
) -> None:
    of_containers = processes.of_containers
    monkeypatch.setattr(processes, "of_containers", lambda wanted: of_containers(wanted, str(proc)))
    placed = {"queue": Placed("consumer", "1", "", container=LOST), "training": Placed("batch", "1", "")}
    gone = {"queue": Placed("consumer", "0", "", container="f" * 64)}  # it is gone for good
    known = Record(RUN, (Release(RUN, AT, "ann", "proven", placed), Release(BEFORE, AT, "ann", "proven", gone)))
    rows = snapshot._forgotten(services, known, listed)
    assert [(row.name, row.level) for row in rows] == ([("queue", CRITICAL)] if told else [])
    if told:
        assert rows[0].sentence == (
            f"docker does not know the container {LOST[:12]} of queue any more, and it is at work (process 7, 12)"
        )
