"""Does the driver answer for all GPUs, and can docker give them to containers? Judged from what both say."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.common import command
from gpu_runbook.common.command import Ended
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN
from gpu_runbook.server.checks import gpu_support, hung_nvidia_smi
from gpu_runbook.server.checks.gpu_support import HOOK, Driver, docker, driver
from gpu_runbook.server.docker.engine import Engine

TWO = "0, GPU-0, NVIDIA L40S, 550.90\n1, GPU-1, NVIDIA L40S, 550.90\n"


def answering(monkeypatch: pytest.MonkeyPatch, status: int | None, text: str) -> list[list[str]]:
    """Let nvidia-smi answer so; the list of what it is asked."""
    asked: list[list[str]] = []

    def run(argv: list[str], deadline: float) -> Ended:
        asked.append(argv)
        return Ended(tuple(argv), status, text, "", deadline)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(gpu_support, "stuck", lambda: None)
    return asked


@pytest.mark.parametrize(
    ("status", "text", "gpus", "level", "words"),
    [
        (0, TWO, 2, OK, 'driver 550.90, 2 GPUs ("NVIDIA L40S")'),
        (0, TWO, 1, OK, "2 GPUs"),
        (0, TWO, 4, CRITICAL, "2 of 4 GPUs answer"),
        (0, "", 1, CRITICAL, "0 of 1 GPUs answer"),
        (6, "No devices were found\n", 1, CRITICAL, "nvidia-smi: No devices were found"),
        (14, TWO + "WARNING: infoROM is corrupted\n", 2, CRITICAL, "infoROM is corrupted"),
        (127, "", 2, CRITICAL, "not installed"),
        (None, "", 2, CRITICAL, "the driver does not answer: nvidia-smi hung for 7 s"),
        (0, "0, GPU-0, only three\n", 1, UNKNOWN, "cannot be read"),
        (9, TWO, 0, SKIPPED, "no GPU"),
    ],
)
def test_the_driver_is_judged_by_what_it_answers(
    monkeypatch: pytest.MonkeyPatch, status: int | None, text: str, gpus: int, level: str, words: str
) -> None:
    asked = answering(monkeypatch, status, text)
    row = driver("NVIDIA driver", gpus, Driver())
    assert (row.level, words in row.sentence) == (level, True), row.sentence
    assert len(asked) == (1 if gpus else 0)


def test_however_many_want_to_know_the_driver_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, 0, TWO)
    known = Driver()
    threads = [threading.Thread(target=known.indices) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert known.indices() == {"GPU-0": 0, "GPU-1": 1}
    assert len(asked) == 1
    assert any(query in " ".join(asked[0]) for query in hung_nvidia_smi.OURS)  # or a stuck one would not be known again


def test_one_that_is_stuck_is_not_joined_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, 0, TWO)
    monkeypatch.setattr(gpu_support, "stuck", lambda: 77)
    row = driver("NVIDIA driver", 2, Driver())
    assert (row.level, row.figures, asked) == (CRITICAL, {"stuck": 77}, [])


class Told(Engine):
    """An engine that says this of itself."""

    def get(self, path: str, *words: Any, shape: Any = None, **more: Any) -> Any:
        return json.loads(self.hidden[0])


def engine(**info: Any) -> Engine:
    return Told("unix:///nowhere", (json.dumps(info),))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server on which no program of NVIDIA's is; programs may be put into this folder."""
    monkeypatch.setattr(gpu_support, "PLACES", (str(tmp_path),))
    return tmp_path


def test_docker_gives_gpus_by_a_runtime_by_devices_or_by_the_hook(bare: Path) -> None:
    plain: dict[str, Any] = {"Runtimes": {"runc": {}}, "CDISpecDirs": None, "DiscoveredDevices": None}
    row = docker("docker GPU support", 2, engine(**plain))
    assert row.level == CRITICAL and "restart docker once no training runs" in row.hint
    assert docker("docker GPU support", 0, engine()).level == SKIPPED

    for more, words in (
        ({"Runtimes": {"nvidia": {"path": "x"}, "runc": {}}}, "by its runtime nvidia"),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, "by CDI (1 device)"),
    ):
        row = docker("docker GPU support", 2, engine(**{**plain, **more}))
        assert (row.level, words in row.sentence) == (OK, True), row.sentence
    assert docker("x", 2, engine(**{**plain, "DiscoveredDevices": [{"ID": "vendor.com/fpga=0"}]})).level == CRITICAL

    (bare / "nvidia.yaml").touch()
    assert docker("x", 2, engine(**{**plain, "CDISpecDirs": [str(bare)]})).level == OK
    assert docker("x", 2, engine(**plain)).level == CRITICAL  # an engine that reads no specs is not helped by one
    (bare / HOOK).touch(mode=0o644)
    assert docker("x", 2, engine(**plain)).level == CRITICAL  # not to be run
    (bare / HOOK).chmod(0o755)
    assert "NVIDIA's hook" in docker("x", 2, engine(**plain)).sentence
    assert docker("x", 2, engine()).level == OK  # an old engine says nothing of devices
