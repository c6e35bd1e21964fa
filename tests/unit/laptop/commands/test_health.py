"""From hosts.yaml to a request, and from an answer to a report that people and scripts can read."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.commands.health import HealthReport, read_report, worst
from gpu_runbook.laptop.commands.health_text import as_result, show_report
from gpu_runbook.laptop.errors import Defect
from gpu_runbook.laptop.inputs.resolve import resolve
from gpu_runbook.laptop.inventory.model import load_inventory
from gpu_runbook.laptop.rpc.requests import request_for
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.health import Request
from gpu_runbook.protocol.processes import ProcessMarks
from gpu_runbook.server.checks.suite import questions
from gpu_runbook.server.state.store import find_store

HOSTS = """
hosts:
  gpu-1: {address: gpu-1.lan, root: /azaion, gpus: 2}
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    mounts: [/azaion:/azaion]
    offset: {file: /azaion/offset.yaml, means: last, saved_every: 50}
    stream: {name: azaion-annotations}
  training: {kind: batch, image: azaion/ai-training, container: training}
health: {disk: {warning: 70, critical: 90}, gpu: {warning: 80, critical: 90}}
"""
ENV = "RABBITMQ_HOST=rabbit.lan\nRABBITMQ_PORT=5552\n"
CREDENTIALS = "RABBITMQ_MONITOR_USER=monitor\nRABBITMQ_MONITOR_PASSWORD=hunter2hunter2\n"
REPORT = HealthReport(
    "gpu-1",
    "2026-04-20T10:11:12Z",
    (
        Check("annotation-queue alive", OK, "running for 3 h"),
        Check("disk space", CRITICAL, "/azaion is 97 % full", {"/azaion": {"percent": 97}}, "make room"),
        Check("GPU available", SKIPPED, "hosts.yaml gives this server no [bold]GPU[/bold]"),
    ),
)


def request(folder: Path, env: str) -> Request:
    (folder / "hosts.yaml").write_text(HOSTS)
    (folder / ".env").write_text(env)
    (folder / ".env").chmod(0o600)
    inventory = load_inventory(folder / "hosts.yaml")
    host, services = inventory.hosts["gpu-1"], inventory.select_services(None)
    return request_for(inventory, host, services, resolve(inventory, [host], services)["gpu-1"])


def test_the_request_asks_what_hosts_yaml_says(tmp_path: Path) -> None:
    asked = request(tmp_path, ENV + CREDENTIALS)
    assert (asked.disk.paths, asked.disk.warning, asked.disk.critical) == (("/azaion",), 70, 90)
    assert (asked.gpus.count, asked.gpus.warning, asked.gpus.critical) == (2, 80, 90)
    (consumer,) = asked.consumers
    assert consumer.offset is not None
    assert (consumer.offset.means, consumer.offset.saved_every) == ("last", 50)
    assert consumer.stream is not None
    assert (consumer.stream.host, consumer.stream.port, consumer.stream.user) == ("rabbit.lan", 5552, "monitor")
    assert consumer.password == "hunter2hunter2"
    assert "hunter2" not in repr(asked)


def test_a_service_is_asked_about_whose_runs_may_be_in_no_container(tmp_path: Path) -> None:
    assert request(tmp_path, ENV).batches == ()
    more = "  host: {kind: batch, process: '* train.py', checkpoints: /azaion/x}\nhealth: {"
    (tmp_path / "hosts.yaml").write_text(HOSTS.replace("health: {", more))
    inventory = load_inventory(tmp_path / "hosts.yaml")
    host, services = inventory.hosts["gpu-1"], inventory.select_services(None)
    asked = request_for(inventory, host, services, resolve(inventory, [host], services)["gpu-1"])
    (one,) = asked.batches
    assert (one.service, one.kind, one.process, one.checkpoints) == (
        "host",
        "batch",
        ProcessMarks("* train.py"),
        "/azaion/x",
    )
    assert decode(Request, json.loads(json.dumps(encode(asked))), "request") == asked


def test_the_request_survives_the_wire(tmp_path: Path) -> None:
    asked = request(tmp_path, ENV)
    assert decode(Request, json.loads(json.dumps(encode(asked))), "request") == asked
    assert [question.name for question in questions(asked, find_store("/azaion", ""))] == [
        "annotation-queue alive",
        "RabbitMQ reachable",
        "GPU available",
        "disk space",
        "offset advancing",
        "docker command",
    ]


@pytest.mark.parametrize(
    ("levels", "level"),
    [
        ([], OK),
        ([OK, SKIPPED], OK),
        ([OK, WARNING], WARNING),
        ([WARNING, UNKNOWN, OK], UNKNOWN),
        ([UNKNOWN, CRITICAL, WARNING], CRITICAL),
    ],
)
def test_the_worst_level_counts(levels: list[str], level: str) -> None:
    assert worst(levels) == level


def test_the_exit_status_is_that_of_monitoring_plugins() -> None:
    by_level = {level: HealthReport("s", "", (Check("c", level, ""),)).exit_status for level in (OK, WARNING, CRITICAL)}
    assert by_level == {OK: 0, WARNING: 1, CRITICAL: 2}
    assert HealthReport("s", "", (Check("c", UNKNOWN, ""),)).exit_status == 3


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"at": 1, "checks": []},
        {"at": "", "checks": {}},
        {"at": "", "checks": [{"name": "a"}]},
        {"at": "", "checks": [{"name": "a", "level": "fine", "sentence": ""}]},
    ],
)
def test_an_answer_that_is_no_report_is_a_defect(answer: dict[str, Any]) -> None:
    with pytest.raises(Defect, match="gpu-1: the health report"):
        read_report("gpu-1", answer)


def test_lines_align_and_end_with_a_summary() -> None:
    out = io.StringIO()
    show_report(REPORT, Screen(out=out))
    assert out.getvalue().splitlines() == [
        "  ok        annotation-queue alive  running for 3 h",
        "  critical  disk space              /azaion is 97 % full",
        "                                    make room",
        "  skipped   GPU available           hosts.yaml gives this server no [bold]GPU[/bold]",
        "gpu-1 is critical: 1 critical, 1 ok, 1 skipped (2026-04-20T10:11:12Z)",
    ]


def test_a_terminal_gets_a_table_in_which_nothing_is_taken_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    show_report(REPORT, Screen(out=out))
    assert "\x1b[1;31mcritical" in out.getvalue()
    assert "no [bold]GPU[/bold]" in out.getvalue()


def test_the_json_says_the_same() -> None:
    server = json.loads(json.dumps(as_result(REPORT)))
    assert (server["server"], server["level"], server["at"]) == ("gpu-1", CRITICAL, REPORT.at)
    assert [decode(Check, check, "check") for check in server["checks"]] == list(REPORT.checks)
