"""The row of a batch service in fab health and in a round: asked where its runs may be in no container."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.common.parallel import ask_all
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, Check
from gpu_runbook.protocol.health import DiskLimits, Expected, Request
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.protocol.processes import ProcessMarks
from gpu_runbook.protocol.schedule import Channels, Settings, Webhook
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.checks import batch, gpu, suite
from gpu_runbook.server.checks.hung_nvidia_smi import Asking
from gpu_runbook.server.docker import engine
from gpu_runbook.server.schedule import round as rounds
from gpu_runbook.server.schedule.state import State
from gpu_runbook.server.state.store import Store
from tests.unit.docker_answers import Answering

TRAINING = Wanted("training", "batch", marks=BatchMarks("training", "training"), process=ProcessMarks("* train.py"))
AT = "2026-04-20T10:00:00Z"


class NoContainer(Answering):
    def containers(self, *_: Any) -> list[Any]:
        return []


def request(gpus: int = 2, batches: tuple[Wanted, ...] = (TRAINING,)) -> Request:
    return Request(DiskLimits((), 80, 95), Expected(gpus), batches=batches)


def test_only_a_service_that_names_a_process_has_a_row(tmp_path: Path) -> None:
    store = Store("/azaion", str(tmp_path))
    names = [one.name for one in suite.questions(request(), store)]
    assert names == [suite.BROKER, suite.GPUS, "training", suite.DISK, "docker command"]
    assert "training" not in [one.name for one in suite.questions(request(batches=()), store)]


@pytest.mark.parametrize("gpus", [2, 0])
def test_what_is_on_the_gpus_is_asked_once_the_gpus_have_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int
) -> None:
    said: list[str] = []

    def driver(name: str, expected: Expected, ask: Asking) -> Check:
        threading.Event().wait(0.1)  # so that another could come meanwhile
        said.append("gpus")
        raise OSError("it fails")

    def runs(name: str, entry: Wanted, *_: Any) -> Check:
        said.append(entry.service)
        return Check(name, OK, "runs")

    monkeypatch.setattr(gpu, "check", driver)
    monkeypatch.setattr(batch, "check", runs)
    monkeypatch.setattr(engine, "find", lambda _: NoContainer("unix:///x"))
    asked = [one for one in suite.questions(request(gpus), Store("/azaion", str(tmp_path))) if one.name != suite.DISK]
    rows = {row.name: row for row in ask_all(asked)}
    assert rows["training"] == Check("training", OK, "runs")
    assert said == (["gpus", "training"] if gpus else ["training"])


@pytest.mark.parametrize(("gpus", "told"), [(OK, ["training"]), (SKIPPED, ["training"]), (CRITICAL, [suite.GPUS])])
def test_a_driver_that_says_nothing_is_one_alert_and_not_two(gpus: str, told: list[str]) -> None:
    settings = Settings("gpu-1", "/azaion", 300, request(), channels=Channels((Webhook("ops", "https://x.lan"),)))
    checks = [Check(suite.GPUS, gpus, "x"), Check("training", UNKNOWN, "x")]
    known = State()
    for _ in range(2):
        alarms, message = rounds._news(settings, known, checks, [], AT, 300.0)
        known = State(alarms=alarms)
    assert message is not None
    assert [row["name"] for row in message.rows] == told
