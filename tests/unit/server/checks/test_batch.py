"""Runs of a batch service as they are seen: by name, label and GPU, with the newest checkpoint. None is touched."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.common.clock import stamp
from gpu_runbook.protocol.check import OK, UNKNOWN
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.protocol.processes import ProcessMarks, ProcessRun, ProcessRuns
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.checks import batch, batch_processes
from gpu_runbook.server.checks.gpu_support import Driver
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.system.processes import container_of
from tests.unit.docker_answers import Answering, entry, inspected, listed

NOWHERE = Engine("unix:///nowhere")
MARKS = BatchMarks("training", "training", image="team/training")
TRAINING = Wanted("training", "batch", marks=MARKS)
ONE, OTHER = "a" * 64, "b" * 64
CARDS = "0, GPU-0, L40S, 550.90, [N/A]\\n1, GPU-1, L40S, 550.90, Disabled\\n"


class Known(Answering):
    """An engine that knows two running containers, whose images are gone."""

    def inspection(self, name_or_id: str) -> dict[str, Any]:
        found = inspected(name_or_id, "training" if name_or_id == ONE else "sweep-3", {"job": "train"})
        return {**found, "Image": f"sha256:{name_or_id[:1] * 64}"}


def at_work(name: str, **change: Any) -> ListedContainer:
    return entry(listed(ONE, name, **change))


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The driver's program, as a shell script that answers what a test writes into it."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "nvidia-smi"


def answers(program: Path, processes: str, cards: str = CARDS) -> None:
    """`processes` are lines of pid, uuid of a GPU, program."""
    program.write_text(f"#!/bin/sh\ncase $1 in *compute-apps*) printf '{processes}';; *) printf '{cards}';; esac\n")
    program.chmod(0o755)


def test_each_process_on_the_gpus_is_named_once_with_its_gpus(nvidia_smi: Path) -> None:
    lines = (
        "4194400, GPU-0, python",
        "4194400, GPU-1, python",
        "4194401, GPU-1, /usr/bin/x, y",
        "No running processes",
    )
    answers(nvidia_smi, "\\n".join(lines))
    first, second = batch.on_gpu(Driver()) or []
    assert first == (4194400, "python", "", ("GPU-0", "GPU-1"))
    assert second == (4194401, "/usr/bin/x, y", "", ("GPU-1",))
    found = batch.check("training", TRAINING, NOWHERE, [], gpus=2, driver=Driver())
    assert (found.level, found.sentence) == (
        OK,
        'no run of training is active; process 4194400 ("python") is on GPU 0, 1 and is left alone; '
        'process 4194401 ("/usr/bin/x, y") is on GPU 1 and is left alone',
    )


def test_what_runs_on_a_mig_device_is_told_with_it(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "GPU 0: L40S (UUID: GPU-0)\n  MIG 1g.10gb Device 0: (UUID: MIG-0)\n  MIG 2g.20gb Device 1: (UUID: MIG-1)\n"
    device = "    MIG Device\n        Index : {0}\n        GPU Instance ID : {0}5\n        Compute Instance ID : 0\n"
    process = "        GPU instance ID : {1}5\n        Compute instance ID : 0\n        Process ID : {0}\n"
    told = f"GPU 0:0\n    GPU UUID : GPU-0\n{device.format(0)}{device.format(1)}    Processes\n"
    told += process.format(4194400, 1) + process.format(4194401, 0)
    for name, text in (("L", listed), ("q", told), ("cards", CARDS.replace("\\n", "\n").replace("[N/A]", "Enabled"))):
        nvidia_smi.with_suffix(f".{name}").write_text(text)
    processes = "4194400, GPU-0, python\\n4194401, GPU-0, python\\n4194402, MIG-1, python\\n4194403, GPU-1, python\\n"
    nvidia_smi.write_text(
        f"#!/bin/sh\ncase $1 in *compute-apps*) printf '{processes}';; -*) "
        f'case $1 in -L|-q) cat {nvidia_smi}."${{1#-}}";; *) cat {nvidia_smi}.cards;; esac;; esac\n'
    )
    nvidia_smi.chmod(0o755)
    monkeypatch.setattr(batch, "container_of", lambda pid: ONE if pid in (4194400, 4194403) else "")
    found = batch.check("training", TRAINING, Known("unix:///x"), [at_work("training")], gpus=2, driver=Driver())
    assert " on GPU 1, GPU 0 MIG 1 (2g.20gb) from image" in found.sentence
    assert 'process 4194401 ("python") is on GPU 0 MIG 0 (1g.10gb) and is left alone' in found.sentence
    assert 'process 4194402 ("python") is on GPU 0 and is left alone' in found.sentence  # which of them, -q did not say
    assert found.figures["active"][0]["gpus"] == [0, 1]


def test_a_run_is_told_with_its_gpus_its_image_and_its_newest_checkpoint(
    nvidia_smi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(nvidia_smi, "10, GPU-1, python\\n11, GPU-0, python\\n12, GPU-0, python")
    monkeypatch.setattr(batch, "container_of", lambda pid: {10: ONE, 11: ONE}.get(pid, OTHER))
    saved = tmp_path / "checkpoints"
    (saved / "epochs").mkdir(parents=True)
    for name, age in (("last.ckpt", 900), ("epochs/7.ckpt", 120), ("epochs/6.ckpt", 500)):
        (saved / name).touch()
        os.utime(saved / name, (0, time.time() - age))
    wanted = dataclasses.replace(TRAINING, checkpoints=str(saved))
    found = batch.check("training", wanted, Known("unix:///x"), [at_work("training")], gpus=2, driver=Driver())
    assert found.level == OK
    assert (
        ' on GPU 0, 1 from image aaaaaaaaaaaa, and is left alone; newest checkpoint "epochs/7.ckpt", 2 min old; '
        in (found.sentence)
    )
    assert f"container {OTHER[:12]} is on GPU 0 and is left alone" in found.sentence
    assert found.sentence.count("is left alone") == 2
    (run,) = found.figures["active"]
    assert (found.figures["runs"], run["container"], run["gpus"], run["image"]) == (
        1,
        ONE,
        [0, 1],
        "sha256:" + "a" * 64,
    )
    assert run["started_at"] == "2026-04-20T10:11:12.5Z"
    assert (found.figures["checkpoint"], 119 < found.figures["age"] < 180) == ("epochs/7.ckpt", True)


def test_a_driver_that_does_not_answer_is_unknown_and_what_is_known_is_told(nvidia_smi: Path) -> None:
    nvidia_smi.write_text("#!/bin/sh\necho 'Unable to determine the device handle' >&2\nexit 15\n")
    nvidia_smi.chmod(0o755)
    assert batch.on_gpu(Driver()) is None
    found = batch.check("training", TRAINING, Known("unix:///x"), [at_work("training")], gpus=2, driver=Driver())
    assert (found.level, found.figures["runs"], found.figures["active"][0]["gpus"]) == (UNKNOWN, 1, [])
    assert found.sentence.startswith("training runs for ")
    assert found.sentence.endswith("what is on the GPUs could not be asked")


def test_a_server_without_gpus_is_not_asked_for_them(nvidia_smi: Path) -> None:
    nvidia_smi.write_text(f"#!/bin/sh\ntouch {nvidia_smi}.asked\n")
    nvidia_smi.chmod(0o755)
    found = batch.check("training", TRAINING, NOWHERE, [], gpus=0, driver=Driver())
    assert (found.level, found.sentence) == (OK, "no run of training is active")
    assert not nvidia_smi.with_suffix(".asked").exists()


HOST_RUNS = (
    ProcessRun(4194301, "python train.py", "azaion", stamp(time.time() - 7300)),
    ProcessRun(4194302, "", "1001", stamp(time.time() - 3.1 * 86400)),
)


def of_host(monkeypatch: pytest.MonkeyPatch, unseen: str = "", runs: tuple[ProcessRun, ...] = HOST_RUNS) -> Wanted:
    """A service that is known by its processes, of which these are seen."""
    marks = ProcessMarks("python* *train.py*")
    monkeypatch.setattr(batch_processes, "find", lambda given: ProcessRuns(runs, unseen) if given is marks else None)
    return dataclasses.replace(TRAINING, process=marks)


def test_runs_that_are_no_containers_are_told_with_user_and_gpus_beside_those_that_are(
    nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(nvidia_smi, "10, GPU-1, python\\n11, GPU-0, python\\n12, GPU-0, python\\n13, GPU-1, x")
    monkeypatch.setattr(batch, "container_of", lambda pid: ONE if pid == 10 else "")
    lines = {11: [11, 500, 4194301, 1], 12: [12, 4194301, 1], 13: [13, 1]}
    monkeypatch.setattr(batch, "lineage", lambda pid: iter(lines[pid]))
    seen: dict[str, ProcessRuns] = {}
    wanted = of_host(monkeypatch)
    found = batch.check("training", wanted, Known("unix:///x"), [at_work("training")], 2, Driver(), seen)
    assert found.level == OK
    assert ' on GPU 1 from image aaaaaaaaaaaa, and is left alone; process 4194301 ("python train.py") of azaion' in (
        found.sentence
    )
    assert "of azaion runs for 2 h on GPU 0, and is left alone; process 4194302 of 1001 runs for 3 days, and" in (
        found.sentence
    )
    assert found.sentence.endswith('process 13 ("x") is on GPU 1 and is left alone')
    assert [(run.get("container"), run.get("pid"), run["gpus"]) for run in found.figures["active"]] == [
        (ONE, None, [1]),
        (None, 4194301, [0]),
        (None, 4194302, []),
    ]
    assert (found.figures["runs"], seen) == (3, {"training": ProcessRuns(HOST_RUNS)})


def test_processes_that_could_not_be_seen_are_unknown_and_those_that_were_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for runs, begins in ((HOST_RUNS, "process 4194301"), ((), "whether one runs in no")):
        found = batch.check("training", of_host(monkeypatch, "they hide", runs), NOWHERE, [], 0, Driver())
        assert (found.level, found.figures["runs"]) == (UNKNOWN, len(runs))
        assert found.sentence.startswith(begins)
        assert found.sentence.endswith(" runs in no container is not known: they hide")
        assert "hidepid" in found.hint


def test_a_service_that_names_no_process_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    of_host(monkeypatch)
    assert batch.of_server(TRAINING) == ProcessRuns()


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (at_work("training"), True),
        (at_work("training", State="paused"), True),
        (at_work("training-2"), False),
        (at_work("training", State="exited"), False),
        (at_work("x", Image="team/training:2"), True),
        (at_work("x", Image="team/training:2", State="created"), False),
    ],
)
def test_a_run_is_told_while_it_works(one: ListedContainer, told: bool) -> None:
    assert bool(batch.runs(TRAINING, Known("unix:///x"), [one])) == told


def test_a_process_that_is_gone_belongs_to_no_container() -> None:
    assert container_of(4194400) == ""


def test_checkpoints_that_cannot_be_seen_are_said_and_do_no_harm(tmp_path: Path) -> None:
    missing = dataclasses.replace(TRAINING, checkpoints=str(tmp_path / "missing"))
    found = batch.check("training", missing, NOWHERE, [], gpus=0, driver=Driver())
    assert (found.level, found.sentence.endswith('cannot be seen: "No such file or directory"')) == (OK, True)
    found = batch.check(
        "training", dataclasses.replace(TRAINING, checkpoints=str(tmp_path)), NOWHERE, [], gpus=0, driver=Driver()
    )
    assert (found.level, found.sentence) == (OK, f"no run of training is active; no checkpoint in {tmp_path}")


def test_of_a_big_folder_only_so_many_entries_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST", 12)
    (tmp_path / "inner" / "deeper").mkdir(parents=True)
    (tmp_path / "inner" / "deeper" / "too-deep").touch()
    for number in range(20):
        (tmp_path / "inner" / f"{number}").touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    found = list(batch.saved(str(tmp_path)))
    assert len(found) in (9, 10) and all("/inner/" in path and "too-deep" not in path for _, path in found)
