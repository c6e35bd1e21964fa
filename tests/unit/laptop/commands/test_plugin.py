"""`fab health --plugin`: a line, figures and a status that a monitoring system reads, whoever's words are in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.commands import plugin
from gpu_runbook.laptop.commands.health import HealthReport, unreached
from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.laptop.inventory.entries import DiskHealth, GpuHealth, Health
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.health import CheckedConsumer, DiskLimits, Expected, Request
from gpu_runbook.server.checks import suite
from tests.unit.tasks.test_command_line import fab, folder

__all__ = ["folder"]

LIMITS = Health(disk=DiskHealth(warning=80, critical=95), gpu=GpuHealth(warning=80, critical=90.5))
AT = "2026-04-20T10:11:12Z"
PERFDATA = re.compile(r"'[^'=|]+'=-?[0-9.]+(?:s|%|B)?(?:;[0-9.]*){0,4}")  # the guidelines' form
GPU = {
    "index": 0,
    "utilisation_percent": 98,
    "memory_used": 1 << 30,
    "memory_total": 1 << 34,
    "temperature_celsius": 61,
}
ROWS = (
    Check("annotation-queue alive", OK, "running for 3 h", {"status": "running", "restarts": 2}),
    Check("RabbitMQ reachable", WARNING, "slow"),
    Check("GPU available", OK, "1 GPU", {"expected": 1, "gpus": [GPU]}),
    Check("disk space", CRITICAL, "/azaion is 97 % full", {"/azaion": {"percent": 97.25, "size": 10}}, "make room"),
    Check("offset advancing", UNKNOWN, "who knows", {"offset": 5, "first": 0, "last": 12, "backlog": 6}),
    Check("docker command", SKIPPED, "not tried"),
)


def report(*checks: Check, server: str = "gpu-1") -> HealthReport:
    return HealthReport(server, AT, checks)


def figures(*reports: HealthReport) -> list[str]:
    """What is behind the `|`, each in the form that it must have."""
    first = plugin.lines(reports, LIMITS)[0]
    assert first.count("|") == 1
    told = PERFDATA.findall(first.partition(" | ")[2])
    assert first.partition(" | ")[2] == " ".join(told)
    return told


def test_the_worst_is_first_in_the_line_and_below_it() -> None:
    first, *details = plugin.lines([report(*ROWS)], LIMITS)
    assert first.partition(" | ")[0] == (
        "GPU-RUNBOOK CRITICAL - 1 critical, 1 unknown, 1 warning, 2 ok, 1 skipped: gpu-1: disk space: "
        "/azaion is 97 % full; gpu-1: offset advancing: who knows; gpu-1: RabbitMQ reachable: slow"
    )
    assert details[0] == "critical: gpu-1: disk space: /azaion is 97 % full (make room)"
    assert [line.partition(":")[0] for line in details] == [CRITICAL, UNKNOWN, WARNING, OK, OK, SKIPPED]


def test_figures_have_stable_names_thresholds_and_bounds() -> None:
    assert figures(report(*ROWS)) == [
        "'gpu-1 disk_used /azaion'=97.25%;80;95;0;100",
        "'gpu-1 gpu_utilization 0'=98%;;;0;100",
        "'gpu-1 gpu_memory_used 0'=1073741824B;;;0;17179869184",
        "'gpu-1 gpu_temperature 0'=61;80;90.5",
        "'gpu-1 offset annotation-queue'=5",
        "'gpu-1 stream_last_offset annotation-queue'=12",
        "'gpu-1 backlog_messages annotation-queue'=6",
        "'gpu-1 container_restarts annotation-queue'=2;;;0",
    ]


def test_of_two_consumers_each_has_its_own_offset() -> None:
    rows = [Check(f"{name} alive", OK, "") for name in ("a", "b")]
    rows += [Check(f"offset advancing ({name})", OK, "", {"offset": at}) for name, at in (("a", 1), ("b", 2))]
    assert figures(report(*rows)) == ["'gpu-1 offset a'=1", "'gpu-1 offset b'=2"]


def test_servers_call_their_rows_as_the_figures_are_looked_for() -> None:
    consumers = tuple(CheckedConsumer(name, name) for name in ("a", "b"))
    asked = Request(DiskLimits((), 80, 95), Expected(1), consumers=consumers)
    names = (suite.DISK, suite.GPUS, suite.alive_name("a"), suite.offset_name(asked, "a"))
    assert names == (plugin.DISK, plugin.GPUS, f"a{plugin.ALIVE}", f"{plugin.OFFSET} (a)")


def test_several_servers_are_in_one_line_and_one_that_is_away_hides_no_other() -> None:
    away = unreached("gpu-0", UNKNOWN, CannotConnect("gpu-0: nobody listens", "start it"))
    first, *details = plugin.lines([away, report(Check("disk space", WARNING, "fuller"))], LIMITS)
    assert (
        first
        == "GPU-RUNBOOK UNKNOWN - 1 unknown, 1 warning: gpu-0: connection: nobody listens; gpu-1: disk space: fuller"
    )
    assert details == ["unknown: gpu-0: connection: nobody listens (start it)", "warning: gpu-1: disk space: fuller"]


def test_a_server_that_is_away_is_one_line() -> None:
    away = unreached("gpu-0", UNKNOWN, CannotConnect("gpu-0: nobody listens", "start it"))
    assert plugin.lines([away], LIMITS) == ["GPU-RUNBOOK UNKNOWN - gpu-0: connection: nobody listens"]


def test_when_all_is_well_the_rows_are_counted() -> None:
    first = plugin.lines([report(Check("a", OK, "fine"), Check("b", SKIPPED, ""))], LIMITS)[0]
    assert first == "GPU-RUNBOOK OK - 1 ok, 1 skipped"
    assert plugin.lines([report(Check("a", OK, "fine"))], LIMITS)[0] == "GPU-RUNBOOK OK - 1 ok"


NASTY = "a|b=1\n'c'=2;<script>│\x1b[31m\u202e" + "x" * 9000


def test_nobody_s_words_end_a_line_or_begin_figures() -> None:
    rows = (Check(NASTY, CRITICAL, NASTY, hint=NASTY), Check("other", UNKNOWN, NASTY))
    told = plugin.lines([report(*rows)], LIMITS, [NASTY])
    told.append(plugin.unanswered(NASTY))
    assert len(told) == 5
    for line in told:
        assert not set(line) & set("|│\n\r<>\x1b\u202e"), line
        assert len(line) <= plugin.DETAIL


@pytest.mark.parametrize(
    "path",
    ["/a'b=1;2 'x'=3", "/a|b", "/a\nb", "/ä\u202e", "x" * 5000],
    ids=["quotes", "pipe", "newline", "letters", "long"],
)
def test_a_label_is_safe_whatever_a_path_is_called(path: str) -> None:
    (one,) = figures(report(Check("disk space", OK, "", {path: {"percent": 5.0}})))
    assert len(one) < plugin.LABEL + 40


@pytest.mark.parametrize(
    "value",
    [None, "5", True, float("nan"), float("inf"), 1 << 70, [1], {"a": 1}],
    ids=["none", "text", "bool", "nan", "infinite", "large", "list", "mapping"],
)
def test_what_is_no_number_is_no_figure(value: Any) -> None:
    rows = [Check("a alive", OK, "", {"restarts": value}), Check("disk space", OK, "", {"/": {"percent": value}})]
    rows += [Check("GPU available", OK, "", {"gpus": value}), Check("offset advancing", OK, "", {"offset": 3})]
    assert figures(report(*rows)) == ["'gpu-1 offset a'=3"]


def test_figures_without_number_have_an_end() -> None:
    told = figures(report(Check("disk space", OK, "", {f"/{n}": {"percent": 5.0} for n in range(5000)})))
    assert 50 < len(told) < 500


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--bogus", 'fab health has no flag "--bogus"'),
        ("--hosts", "fab health: --hosts wants a value"),
        ("--hosts nix", 'hosts.yaml has no server or group "nix"'),
        ("--since 1h", "--plugin is one line for a monitoring system, and --since is another answer"),
    ],
)
def test_what_keeps_an_answer_away_is_one_line_and_unknown(folder: Path, words: str, said: str) -> None:
    status, out, err = fab(folder, "health", "--plugin", *words.split())
    assert (status, err) == (3, "")
    assert out.startswith(f"GPU-RUNBOOK UNKNOWN - {said}") and out.count("\n") == 1


def test_it_is_not_given_with_json(folder: Path) -> None:
    status, out, err = fab(folder, "health", "--plugin", "--json")
    assert status == 10 and '"exit_status": 10' in out
    assert err.startswith("--plugin is one line for a monitoring system, and --json is another answer\n")
