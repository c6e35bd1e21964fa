"""Does the driver answer for all GPUs, and what are they cut into? Judged from what nvidia-smi says."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.common import command
from gpu_runbook.common.command import Ended
from gpu_runbook.common.parallel import ask_all
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN
from gpu_runbook.protocol.health import DiskLimits, Expected, Request
from gpu_runbook.protocol.requests import Checklist, SnapshotRequest, StatusRequest
from gpu_runbook.server.checks import gpu, gpu_support, hung_nvidia_smi, suite
from gpu_runbook.server.checks.gpu_support import Driver, driver
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.verbs import snapshot, status
from tests.unit.server.checks.test_batch import TRAINING, Known

TWO = "0, GPU-0, NVIDIA L40S, 550.90, [N/A]\n1, GPU-1, NVIDIA L40S, 550.90, [N/A]\n"


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
        (127, "nvidia-smi: No such file or directory", 2, CRITICAL, "not installed"),
        (127, "nvidia-smi: Permission denied", 2, UNKNOWN, "the login user may not ask the driver"),
        (127, "error while loading shared libraries: libc.so.6", 2, CRITICAL, "while loading shared libraries"),
        (4, "Failed to initialize NVML: Insufficient Permissions", 2, UNKNOWN, "may not ask the driver"),
        (0, "WARNING: x, y\n" + TWO, 2, OK, 'nvidia-smi also says "WARNING: x, y"'),
        (0, TWO + "WARNING: infoROM is corrupted at gpu 0000:1A:00.0\n", 2, CRITICAL, "infoROM is corrupted"),
        (0, "0, GPU-0, NVIDIA A, B, C, 550.90, [N/A]\n", 1, OK, 'driver 550.90, 1 GPU ("NVIDIA A, B, C")'),
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
    assert hung_nvidia_smi.ONCE.search("\0".join([*asked[0], ""]))  # or a stuck one would not be known again


def test_one_that_is_stuck_is_not_joined_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, 0, TWO)
    monkeypatch.setattr(gpu_support, "stuck", lambda: 77)
    row = driver("NVIDIA driver", 2, Driver())
    assert (row.level, row.figures, asked) == (CRITICAL, {"stuck": 77}, [])


SERVICES = tuple(dataclasses.replace(TRAINING, service=name) for name in ("training", "sweep"))
LOOK: dict[str, Any] = {
    "root": "/azaion",
    "state": "",
    "docker_host": "",
    "gpus": 2,
    "disk": DiskLimits((), 80, 90),
    "services": SERVICES,
    "batches": (),
    "variables": {},
}
STATUS, PREFLIGHT = StatusRequest(**LOOK, hidden=()), SnapshotRequest(**LOOK, login=None, checklist=Checklist())
HEALTH = Request(DiskLimits((), 80, 90), Expected(2), "unix:///x", batches=SERVICES)
LOOKS = {
    "health": lambda engine, store: suite.questions(HEALTH, store),
    "status": lambda engine, store: status._questions(STATUS, engine, store, [], {}),
    "preflight": lambda engine, store: snapshot._questions(PREFLIGHT, engine, store, {}, [], {}),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("hangs", [False, True])
def test_one_look_asks_the_driver_one_thing_at_a_time_each_once_and_nothing_after_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, look: str, hangs: bool
) -> None:
    asked: list[str] = []
    at_work = threading.Semaphore(1)
    together: list[str] = []

    def run(argv: list[str], deadline: float) -> Ended:
        alone = at_work.acquire(timeout=0.1)
        (asked if alone else together).append(argv[1].partition("=")[0])
        threading.Event().wait(0.05)  # so that another one comes meanwhile
        at_work.release()
        return Ended(tuple(argv), None if hangs else 0, TWO if "index" in argv[1] else "", "", deadline)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(gpu_support, "stuck", lambda: None)
    monkeypatch.setattr(gpu, "stuck", lambda processes: None)
    monkeypatch.setattr(engines, "find", lambda *_: Known("unix:///x"))
    asked_for = LOOKS[look](Known("unix:///x"), Store("/azaion", str(tmp_path)))
    wanted = [one for one in asked_for if one.name in ("training", "sweep", "NVIDIA driver", "GPU available")]
    rows = {row.name: row for row in ask_all(wanted)}
    assert together == []
    assert asked == [asked[0]] if hangs else asked.count("--query-compute-apps") == 1, asked
    assert [rows[name].level for name in ("training", "sweep")] == [UNKNOWN if hangs else OK] * 2
    if look == "preflight":
        assert rows["NVIDIA driver"].level == (CRITICAL if hangs else OK), rows


CUT = "0, GPU-0, NVIDIA A100, 535.54, Enabled\n1, GPU-1, NVIDIA A100, 535.54, Disabled\n"
LISTED = """GPU 0: NVIDIA A100 (UUID: GPU-0)
  MIG 3g.40gb     Device  0: (UUID: MIG-a)
  MIG 1c.3g.40gb  Device  1: (UUID: MIG-b)
  MIG 1g.10gb+me  Device  2: (UUID: MIG-GPU-0/13/0)
  MIG 3g.40gb     Device  3: (UUID: MIG-d)
GPU 1: NVIDIA A100 (UUID: GPU-1)
"""
WHOLE = """==============NVSMI LOG==============
GPU 00000000:00:09.0
    GPU UUID                                           : GPU-0
    MIG Device
        Index                                          : 0
        GPU Instance ID                                : 2
        Compute Instance ID                            : 0
        Device Attributes
    MIG Device
        Index                                          : 3
        GPU Instance ID                                : 2
        Compute Instance ID                            : 1
    Processes
        GPU instance ID                   : 2
        Compute instance ID               : 1
        Process ID                        : 21180
            Type                          : C
        GPU instance ID                   : 2
        Compute instance ID               : 0
        Process ID                        : 21181
GPU 00000000:00:0A.0
    GPU UUID                                           : GPU-1
    Processes
        GPU instance ID                   : N/A
        Compute instance ID               : N/A
        Process ID                        : 21199
"""


def saying(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Ended | str]) -> list[str]:
    """Let nvidia-smi answer by its first word; the list of what it is asked."""
    asked: list[str] = []

    def run(argv: list[str], deadline: float) -> Ended:
        asked.append(argv[1].partition("=")[0])
        found = answers.get(asked[-1], Ended(tuple(argv), 2, "", "", 0.0))
        return found if isinstance(found, Ended) else Ended(tuple(argv), 0, found, "", 0.0)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(gpu_support, "stuck", lambda: None)
    return asked


def test_what_mig_cuts_a_gpu_into_is_listed_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = saying(monkeypatch, {"--query-gpu": CUT, "-L": LISTED, "-q": WHOLE})
    known = Driver()
    row = driver("NVIDIA driver", 2, known)
    assert row.level == OK
    assert row.sentence.endswith("; GPU 0 is cut by MIG into 2 × 3g.40gb, 1 × 1c.3g.40gb, 1 × 1g.10gb+me")
    assert known.indices() == {"GPU-0": 0, "GPU-1": 1, "MIG-a": 0, "MIG-b": 0, "MIG-GPU-0/13/0": 0, "MIG-d": 0}
    assert asked == ["--query-gpu", "-L"]
    assert {pid: str(one) for pid, one in known.by_process().items()} == {
        21180: "GPU 0 MIG 3 (3g.40gb)",
        21181: "GPU 0 MIG 0 (3g.40gb)",
    }


def test_mig_devices_that_cannot_be_listed_are_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    saying(monkeypatch, {"--query-gpu": CUT})
    known = Driver()
    assert driver("NVIDIA driver", 2, known).sentence.endswith("what MIG cuts GPU 0 into could not be asked")
    assert known.by_process() == {}
    saying(monkeypatch, {"--query-gpu": CUT, "-L": "GPU 0: NVIDIA A100 (UUID: GPU-0)\n"})
    assert driver("NVIDIA driver", 2, Driver()).sentence.endswith("GPU 0 is in MIG mode and has no device yet")


def test_a_driver_from_before_mig_is_asked_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(argv: list[str], deadline: float) -> Ended:
        asked.append(argv[1])
        refused = Ended(tuple(argv), 2, 'Field "mig.mode.current" is not a valid field to query.\n', "", 0.0)
        return refused if "mig" in argv[1] else Ended(tuple(argv), 0, "0, GPU-0, Tesla V100, 440.33\n", "", 0.0)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(gpu_support, "stuck", lambda: None)
    row = driver("NVIDIA driver", 1, Driver())
    assert (row.level, row.sentence, len(asked)) == (OK, 'driver 440.33, 1 GPU ("Tesla V100")', 2)
