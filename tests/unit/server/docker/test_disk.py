"""Nothing is stopped that docker could not start again: a person's run and a round look at its own disk first."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.plan import ConsumerStep, Occupant, Plan, Watch
from gpu_runbook.protocol.requests import Secrets
from gpu_runbook.protocol.schedule import Installed, RestartRule, Settings
from gpu_runbook.protocol.values import dataclass, field
from gpu_runbook.server.docker import disk as docker_disk
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.disk import trouble
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.run import preconditions, rollout
from gpu_runbook.server.run import restart as operate
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.schedule import repair
from gpu_runbook.server.schedule.repair import DEAD, STUCK
from gpu_runbook.server.state.store import Store
from tests.unit import docker_answers
from tests.unit.docker_answers import inspected

QUEUE, ID = "annotation-queue", "c" * 64
ROOT = "/var/lib/docker"
FINE = {"f_flag": 0, "f_bfree": 1 << 20, "f_frsize": 4096, "f_files": 1000, "f_ffree": 900}
READ_ONLY, FULL, NO_INODES = {"f_flag": os.ST_RDONLY}, {"f_bfree": 15}, {"f_ffree": 0}
SAID = {"read-only": READ_ONLY, "full": FULL, "out of inodes": NO_INODES}


class Docker(Engine):
    """An engine that says where its files are."""

    def get(self, *asked: Any, **more: Any) -> Any:
        return {"DockerRootDir": ROOT}


class Away(Engine):
    def get(self, *asked: Any, **more: Any) -> Any:
        raise EngineError(0, "it does not answer")


def disk(monkeypatch: pytest.MonkeyPatch, **state: int) -> None:
    """Docker's own disk as it is."""
    real = os.statvfs
    made = SimpleNamespace(**{**FINE, **state})
    monkeypatch.setattr(os, "statvfs", lambda path: made if path == ROOT else real(path))


CONTAINERDS = [["Backing Filesystem", "extfs"], ["driver-type", "io.containerd.snapshotter.v1"]]
BESIDE, ITS_OWN = "/run/containerd/containerd.sock", "/var/run/docker/containerd/containerd.sock"


@dataclass(frozen=True)
class Telling(Engine):
    """An engine that tells this of itself."""

    told: dict[str, Any] = field(default_factory=dict)

    def ask(self, *asked: Any, **more: Any) -> bytes:
        return json.dumps({"DockerRootDir": ROOT, **self.told}).encode()


@pytest.mark.parametrize(
    ("told", "socket", "config", "images"),
    [
        pytest.param({"DriverStatus": [["Backing Filesystem", "extfs"]]}, True, "", [], id="the classic store"),
        pytest.param({"DriverStatus": None}, True, "", [], id="one that does not tell"),
        pytest.param({"DriverStatus": CONTAINERDS}, True, None, ["/var/lib/containerd"], id="a socket"),
        pytest.param({"DriverStatus": CONTAINERDS}, False, None, [], id="no socket"),
        pytest.param(
            {"DriverStatus": CONTAINERDS, "Containerd": {"Address": BESIDE}},
            False,
            "version = 2\n",
            ["/var/lib/containerd"],
            id="its address",
        ),
        pytest.param({"DriverStatus": CONTAINERDS, "Containerd": {"Address": ITS_OWN}}, True, "", [], id="its own"),
        pytest.param(
            {"DriverStatus": CONTAINERDS},
            True,
            "version = 2\n# root = '/no'\nroot = \"/mnt/fast/containerd\"\n[plugins]\n  root = '/plugin'\n",
            ["/mnt/fast/containerd"],
            id="as its config says",
        ),
    ],
)
def test_images_are_where_their_store_has_them(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    told: dict[str, Any],
    socket: bool,
    config: str | None,
    images: list[str],
) -> None:
    file = tmp_path / "config.toml"
    if config is not None:
        file.write_text(config)
    monkeypatch.setattr(docker_disk, "CONFIG", str(file))
    monkeypatch.setattr(docker_disk, "SOCKET", str(tmp_path if socket else tmp_path / "none"))
    assert docker_disk.roots(Telling("unix:///x", told=told)) == [ROOT, *images]


def test_the_disk_of_the_images_is_docker_s_own_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_disk, "roots", lambda engine: ["/", ROOT])
    disk(monkeypatch, **FULL)
    assert trouble(Engine("unix:///x")) == f"docker's own disk ({ROOT}) is full"


@pytest.mark.parametrize("what", SAID)
def test_a_disk_that_takes_nothing_is_named(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, **SAID[what])
    assert trouble(Docker("unix:///x")) == f"docker's own disk ({ROOT}) is {what}"


@pytest.mark.parametrize("state", [{}, {"f_bfree": 16}, {"f_files": 0, "f_ffree": 0}], ids=["fine", "nearly", "btrfs"])
def test_a_disk_that_takes_what_a_start_writes_is_none(state: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, **state)
    assert trouble(Docker("unix:///x")) == ""


def test_what_cannot_be_seen_holds_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trouble(Away("unix:///x")) == ""
    monkeypatch.setattr(os, "statvfs", lambda path: os.lstat("/nowhere"))
    assert trouble(Docker("unix:///x")) == ""


def step(change: str, running: bool = True) -> ConsumerStep:
    old = Occupant(ID, QUEUE, f"sha256:{ID}", running, "2026-04-20T10:11:12Z", "unless-stopped", True)
    return ConsumerStep(QUEUE, change, "1.0", Watch(), old=old, container=ID)


def executed(store: Store, monkeypatch: pytest.MonkeyPatch, *steps: ConsumerStep) -> Any:
    """How a run ends, that would stop or start something only where it says so."""
    for name in ("_check_starting_point", "_refuse_runs"):
        monkeypatch.setattr(preconditions, name, lambda site: None)
    for name in ("_stop", "_restart"):
        monkeypatch.setattr(operate, name, lambda site, step: "carried out")
    monkeypatch.setattr(rollout, "stage", lambda site, step: None)
    monkeypatch.setattr(rollout, "_exchange", lambda site, steps, swaps: "carried out")
    monkeypatch.setattr(rollout, "_close", lambda site, swaps: None)
    run, action = "20260420-101112-abcd", steps[-1].change
    plan = Plan(run, action, "gpu-1", store.root, "", "ann", "laptop", "0", consumers=steps)
    book = SimpleNamespace(write=lambda *line, **fields: True)
    docker = SimpleNamespace(engine=Docker("unix:///x"))
    execute = operate.execute if action in ("restart", "stop") else rollout.execute
    return execute(Site(plan, Secrets(), {}, store, docker, book))  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["restart", "replace"])
@pytest.mark.parametrize("what", SAID)
def test_nothing_is_stopped_that_could_not_be_started_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: str, change: str
) -> None:
    disk(monkeypatch, **SAID[what])
    others = [] if change == "restart" else [step("none"), step("replace", running=False)]
    end = executed(store, monkeypatch, *others, step(change))
    said = f"it could not be started again, as docker's own disk ({ROOT}) is {what}"
    assert (end.outcome, end.sentence) == ("refused", f"{QUEUE} was not stopped: {said}; nothing was changed")
    assert end.hint == docker_disk.REMEDY


@pytest.mark.parametrize(
    ("change", "running"), [("stop", True), ("stop", False), ("restart", False), ("replace", False), ("none", True)]
)
def test_a_stop_and_a_start_need_no_look_at_the_disk(
    store: Store, monkeypatch: pytest.MonkeyPatch, change: str, running: bool
) -> None:
    disk(monkeypatch, **FULL)
    assert executed(store, monkeypatch, step(change, running)) == "carried out"


@pytest.mark.parametrize("change", ["restart", "replace"])
def test_on_a_disk_that_is_fine_it_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    disk(monkeypatch)
    assert executed(store, monkeypatch, step(change)) == "carried out"


@pytest.mark.parametrize("what", SAID)
def test_a_round_stops_no_stuck_consumer_that_could_not_be_started_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    disk(monkeypatch, **SAID[what])
    state: dict[str, Any] = {}
    engine = SimpleNamespace(
        address="unix:///x",
        containers=list,
        container=lambda one: docker_answers.container(inspected(one, **state)),
        get=lambda *asked, **more: {"DockerRootDir": ROOT},
    )
    monkeypatch.setattr(engines, "find", lambda host: engine)
    occupant = dataclasses.replace(step("restart").old, release="r1")  # type: ignore[type-var]
    monkeypatch.setattr(repair, "occupants", lambda *asked: (occupant,))
    monkeypatch.setattr(repair, "_execute", lambda *asked: "it was stopped")
    asked = SimpleNamespace(docker_host="")
    settings = Settings("gpu-1", store.root, 300, asked)  # type: ignore[arg-type]
    installed = Installed(settings, "0", "0", "2026-04-20T10:11:12Z", "ann", "laptop")
    restart = RestartRule(QUEUE, stuck=True)
    with pytest.raises(Refusal, match="it is not stopped: it could not be started again, as docker's own disk"):
        repair.start_again(installed, store, restart, STUCK, lambda: True)
    state.update(Running=False, Status="exited", ExitCode=1, FinishedAt="2026-04-20T11:00:00Z")
    assert repair.start_again(installed, store, restart, DEAD, lambda: True) == "it was stopped"
