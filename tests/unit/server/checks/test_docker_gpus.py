"""Will docker give a container its GPUs? Judged from what the engine says, from its process and from NVIDIA's hooks."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, Check
from gpu_runbook.server.checks import docker_gpus, gpu_support
from gpu_runbook.server.checks.docker_gpus import CDI_HOOK, HOOK, specified
from gpu_runbook.server.docker import engine_process
from tests.unit.docker_answers import Answering, inspected, listed

NAMES = ("all", "0", "1", "GPU-8fe3a97d")
FOUND = [{"Source": "cdi", "ID": f"nvidia.com/gpu={name}"} for name in NAMES]
SPEC = """---
cdiVersion: 0.5.0
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
    hooks:
    - hookName: createContainer
  name: "0"
- name: all
kind: nvidia.com/gpu
"""


class Told(Answering):
    """An engine that says this of itself, and has these containers."""

    def answer(self, kind: str, name: str) -> dict[str, Any] | None:
        info, containers = json.loads(self.hidden[0])
        return info if kind == "info" else next((one for one in containers if one["Id"] == name), None)

    def listing(self) -> list[dict[str, Any]]:
        return [listed(one["Id"]) for one in json.loads(self.hidden[0])[1]]


def engine(version: str, *containers: dict[str, Any], **info: Any) -> Told:
    """As docker 25 and later answer; those before say nothing of specs, those before 28.2 nothing of devices."""
    said = {"ServerVersion": version, "Runtimes": {"runc": {}}, "LiveRestoreEnabled": False, **info}
    return Told("unix:///nowhere", (json.dumps([said, containers]),))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server on whose engine's PATH nothing of NVIDIA's is; programs may be put into this folder."""
    monkeypatch.setattr(engine_process, "find", lambda address: 4711)
    monkeypatch.setattr(engine_process, "started", lambda pid: time.time() + 60)
    monkeypatch.setattr(engine_process, "path", lambda pid: (str(tmp_path),))
    monkeypatch.setattr(docker_gpus, "FOLDERS", (str(tmp_path / "cdi"),))
    (tmp_path / "cdi").mkdir()
    return tmp_path


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()
        (folder / name).chmod(0o755)


def row(told: Told, *wanted: str) -> Check:
    return docker_gpus.check("docker GPU support", wanted, told)


READS = {"CDISpecDirs": ["/etc/cdi", "/var/run/cdi"], "DiscoveredDevices": FOUND}
NONE: dict[str, Any] = {"CDISpecDirs": ["/etc/cdi", "/var/run/cdi"], "DiscoveredDevices": []}


@pytest.mark.parametrize(
    ("version", "info", "hooks", "wanted", "level", "words"),
    [
        # --gpus takes the hook and nothing else, on any engine
        ("20.10.24+dfsg1", {}, [HOOK], "all", OK, "by --gpus ("),
        ("28.5.2", NONE, [HOOK], "device=0,1", OK, "by --gpus ("),
        ("20.10.24+dfsg1", {}, [], "all", CRITICAL, f"takes --gpus only with {HOOK} on its PATH, which is not there"),
        ("28.5.2", READS, [], "all", CRITICAL, "has no GPU support for gpus: all"),
        ("28.5.2", READS, [CDI_HOOK], "all", CRITICAL, "has no GPU support for gpus: all"),
        ("29.1.5", READS, [CDI_HOOK], "all", CRITICAL, "has no GPU support for gpus: all"),
        ("27.5.1", {"Runtimes": {"nvidia": {"path": "nvidia-container-runtime"}}}, [], "2", CRITICAL, "runtime nvidia"),
        # from 29.2 on it becomes CDI, and falls back to the hook
        ("29.2.0", READS, [CDI_HOOK], "all", OK, f"/{CDI_HOOK})"),
        ("29.7.2", READS, [CDI_HOOK], "2", OK, f"/{CDI_HOOK})"),
        ("29.7.2", READS, [CDI_HOOK], "device=GPU-8fe3a97d", OK, f"/{CDI_HOOK})"),
        ("29.7.2", READS, [CDI_HOOK], "3", CRITICAL, "makes CDI devices of --gpus, and does not know nvidia.com/gpu=2"),
        ("29.7.2", NONE, [CDI_HOOK, HOOK], "all", OK, f"/{HOOK})"),
        ("29.7.2", {"CDISpecDirs": []}, [CDI_HOOK], "all", CRITICAL, "does not know nvidia.com/gpu=all"),
        ("29.7.2", READS, [], "all", CRITICAL, "takes --gpus only with"),
        # of an engine whose version is none, only the hook is certain
        ("dev", READS, [HOOK], "all", OK, f"/{HOOK})"),
        # CDI devices by name take no hook
        ("28.5.2", READS, [], "nvidia.com/gpu=all", OK, "by CDI (nvidia.com/gpu=all)"),
        ("29.7.2", READS, [], "nvidia.com/gpu=0,nvidia.com/gpu=1", OK, "by CDI (nvidia.com/gpu=0,nvidia.com/gpu=1)"),
        ("28.5.2", READS, [], "nvidia.com/gpu=0,nvidia.com/gpu=7", CRITICAL, "no CDI device nvidia.com/gpu=7 (it"),
        ("28.5.2", NONE, [HOOK], "nvidia.com/gpu=all", CRITICAL, "(it knows none)"),
        ("27.5.1", {"CDISpecDirs": []}, [HOOK], "nvidia.com/gpu=all", CRITICAL, "reads no CDI specs"),
        ("24.0.9", {}, [HOOK], "nvidia.com/gpu=all", CRITICAL, "docker 24.0.9 knows no CDI"),
        ("dev", READS, [], "nvidia.com/gpu=all", OK, "by CDI"),
    ],
)  # fmt: skip
def test_what_hosts_yaml_wants_is_judged_by_what_docker_will_make_of_it(
    bare: Path, version: str, info: dict[str, Any], hooks: list[str], wanted: str, level: str, words: str
) -> None:
    put(bare, *hooks)
    found = row(engine(version, **info), wanted)
    assert (found.level, words in found.sentence) == (level, True), found


@pytest.mark.parametrize(
    ("version", "info", "wanted", "hint"),
    [
        ("28.5.2", READS, "all", "write gpus: {cdi: all} in hosts.yaml; or install nvidia-container-toolkit"),
        ("28.5.2", READS, "2", 'write gpus: {cdi: ["0", "1"]} in hosts.yaml'),
        ("28.5.2", READS, "device=1,GPU-8fe3a97d", 'write gpus: {cdi: ["1", "GPU-8fe3a97d"]} in hosts.yaml'),
        ("28.5.2", READS, "4", "install nvidia-container-toolkit (its -base package lacks the hook)"),
        ("28.5.2", NONE, "all", "install nvidia-container-toolkit"),
        ("24.0.9", {}, "all", "install nvidia-container-toolkit"),
        ("27.5.1", {"CDISpecDirs": []}, "all", 'write "features": {"cdi": true} into /etc/docker/daemon.json, then'),
        (
            "28.5.2",
            {"CDISpecDirs": []},
            "all",
            'take "cdi": false out of /etc/docker/daemon.json, then systemctl restart',
        ),
        ("27.5.1", {"CDISpecDirs": []}, "nvidia.com/gpu=all", 'write "features": {"cdi": true} into'),
        (
            "24.0.9",
            {},
            "nvidia.com/gpu=all",
            "say gpus: all in hosts.yaml, which takes NVIDIA's hook, or update docker",
        ),
        ("28.5.2", NONE, "nvidia.com/gpu=all", "nvidia-ctk cdi generate to /etc/cdi or /var/run/cdi"),
    ],
)
def test_what_to_do_is_told_by_what_would_work_on_this_engine(
    bare: Path, version: str, info: dict[str, Any], wanted: str, hint: str
) -> None:
    (bare / "cdi/nvidia.yaml").write_text(SPEC)
    found = row(engine(version, **info), wanted)
    assert (found.level, hint in found.hint) == (CRITICAL, True), found


@pytest.mark.parametrize(
    ("lives", "words"), [(True, "live-restore is on, so that containers go on"), (False, "it ends containers")]
)
def test_a_restart_of_docker_is_never_advised_without_what_it_does_to_training(
    bare: Path, lives: bool, words: str
) -> None:
    found = row(engine("20.10.24", LiveRestoreEnabled=lives), "all")
    assert f"systemctl restart docker, once no training runs ({words}" in found.hint


def started(at: float, **request: Any) -> dict[str, Any]:
    """A container that was started then, with such a request for devices."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.5Z", time.gmtime(at))
    found = inspected("d" * 64, "training", StartedAt=stamp)
    requests = [{"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}, **request}]
    return {**found, "HostConfig": {**found["HostConfig"], "DeviceRequests": requests}}


def test_a_hook_that_came_after_the_engines_start_counts_for_nothing_yet(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it was there, and an update replaced it: only a container that got its GPUs since tells."""
    since = time.time() - 600
    monkeypatch.setattr(engine_process, "started", lambda pid: since)
    monkeypatch.setattr(engine_process, "booted", lambda: since - 60)
    put(bare, HOOK)
    found = row(engine("28.5.2", **NONE), "all")
    assert (found.level, "systemctl restart docker" in found.hint) == (UNKNOWN, True), found
    assert "was put there or changed after the engine's start: docker takes --gpus only if it was" in found.sentence
    assert row(engine("28.5.2", started(since - 30), **NONE), "all").level == UNKNOWN
    assert row(engine("28.5.2", started(since + 30, Driver="cdi"), **NONE), "all").level == UNKNOWN
    assert row(engine("28.5.2", inspected("d" * 64), **NONE), "all").level == UNKNOWN
    assert row(engine("28.5.2", started(since + 30), **NONE), "all").level == OK
    monkeypatch.setattr(engine_process, "started", lambda pid: time.time() + 1)
    assert row(engine("28.5.2", **NONE), "all").level == OK


def test_of_an_engine_whose_start_is_not_seen_a_hook_older_than_the_boot_is_enough(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_process, "find", lambda address: None)
    monkeypatch.setattr(engine_process, "USUAL", (str(bare),))
    put(bare, HOOK)
    monkeypatch.setattr(engine_process, "booted", lambda: time.time() + 60)
    assert row(engine("28.5.2", **NONE), "all").level == OK
    monkeypatch.setattr(engine_process, "booted", lambda: time.time() - 60)
    found = row(engine("28.5.2", **NONE), "all")
    assert (found.level, "may be newer than the engine's start" in found.sentence) == (UNKNOWN, True), found


def test_only_a_program_that_can_be_run_is_a_hook(bare: Path) -> None:
    (bare / HOOK).mkdir()
    assert row(engine("28.5.2", **NONE), "all").level == CRITICAL
    (bare / HOOK).rmdir()
    (bare / HOOK).touch(0o644)
    assert row(engine("28.5.2", **NONE), "all").level == CRITICAL
    (bare / HOOK).chmod(0o755)
    assert row(engine("28.5.2", **NONE), "all").level == OK


def test_a_hook_beside_the_runtime_may_be_on_a_path_that_is_not_seen(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "toolkit").mkdir()
    put(bare / "toolkit", HOOK)
    runtimes = {"nvidia": {"path": str(bare / "toolkit/nvidia-container-runtime")}}
    assert row(engine("28.5.2", **NONE, Runtimes=runtimes), "all").level == CRITICAL
    monkeypatch.setattr(engine_process, "path", lambda pid: None)
    monkeypatch.setattr(engine_process, "USUAL", (str(bare),))
    found = row(engine("28.5.2", **NONE, Runtimes=runtimes), "all")
    assert (found.level, "this user may not see" in found.sentence) == (UNKNOWN, True), found
    assert row(engine("28.5.2", **NONE), "all").level == CRITICAL


def test_each_way_of_wanting_gpus_is_judged_and_none_wants_any(bare: Path) -> None:
    found = row(engine("28.5.2", **READS), "all", "nvidia.com/gpu=all")
    assert (found.level, found.figures) == (CRITICAL, {"wanted": ["all", "nvidia.com/gpu=all"]})
    assert "by CDI" not in found.sentence
    assert row(engine("28.5.2", **READS)).sentence == "docker gives GPUs to containers by CDI (nvidia.com/gpu=all)"
    assert "for gpus: all" in row(engine("28.5.2", **NONE)).sentence
    put(bare, HOOK)
    assert "by --gpus" in row(engine("28.5.2", **READS)).sentence
    assert gpu_support.by_docker("x", 0, ("all",), engine("28.5.2")).level == SKIPPED


def test_an_engine_that_tells_no_devices_is_judged_by_its_specs(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"CDISpecDirs": [str(bare / "none"), str(bare / "cdi")]}
    assert row(engine("27.5.1", **told), "nvidia.com/gpu=all").level == CRITICAL
    (bare / "cdi/other.json").write_text(json.dumps({"kind": "vendor.com/fpga", "devices": [{"name": "all"}]}))
    assert row(engine("27.5.1", **told), "nvidia.com/gpu=all").level == CRITICAL
    same = json.dumps({"devices": [{"name": "0"}, {"name": "all"}], "kind": "nvidia.com/gpu"})
    for name, text in (("nvidia.yaml", SPEC), ("nvidia.json", same)):
        (bare / "cdi" / name).write_text(text)
        assert row(engine("27.5.1", **told), "nvidia.com/gpu=all,nvidia.com/gpu=0").level == OK
        assert row(engine("27.5.1", **told), "nvidia.com/gpu=1").level == CRITICAL
        (bare / "cdi" / name).unlink()
    (bare / "cdi/nvidia.txt").write_text(SPEC)
    assert specified([str(bare / "cdi")]) == {"vendor.com/fpga=all"}

    def denied(*_: Any, **__: Any) -> Sequence[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", denied)
    assert row(engine("27.5.1", **told), "nvidia.com/gpu=all").level == UNKNOWN


def test_a_spec_that_docker_cannot_read_is_told_in_its_words(bare: Path) -> None:
    wrong = "CDI: Error associated with spec file /etc/cdi/nvidia.yaml: failed to parse"
    found = row(engine("28.5.2", **NONE, Warnings=["No swap limit support", wrong]), "nvidia.com/gpu=all")
    assert found.sentence.endswith(f"(it knows none); {wrong}")
