"""The textfile for Prometheus, read by Prometheus' own parser."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from gpu_runbook.protocol.rounds import Gpu, Queue, Round
from gpu_runbook.server.schedule import metrics
from gpu_runbook.server.schedule.state import State

ROUND = Round(
    at="2026-04-20T02:15:00Z",
    seconds=0.25,
    levels={'odd "row"\\\n': "critical", "disk space": "ok", "GPU available": "unknown", "offset": "skipped"},
    disk={"/azaion": 81},
    gpus=(Gpu(0, 97, 1 << 30, 1 << 35, 71), Gpu(1)),
    queues={"annotation-queue": Queue(5, 90, 85, 0), "second": Queue()},
)


def samples(text: str) -> dict[tuple[str, str], float]:
    """By name and the value of the label that is not the server's."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge" and family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("server") == "gpu-1"
            found[sample.name.removeprefix("gpu_runbook_"), "".join(labels.values())] = sample.value
    return found


def test_every_figure_is_there_in_base_units_and_what_is_not_known_is_left_out() -> None:
    assert samples(metrics.text("gpu-1", ROUND, State())) == {
        ("check_level", 'odd "row"\\'): 2,
        ("check_level", "disk space"): 0,
        ("check_level", "GPU available"): 3,
        ("check_level", "offset"): 0,
        ("disk_used_ratio", "/azaion"): 0.81,
        ("gpu_utilization_ratio", "0"): 0.97,
        ("gpu_memory_used_bytes", "0"): 1 << 30,
        ("gpu_memory_bytes", "0"): 1 << 35,
        ("gpu_temperature_celsius", "0"): 71,
        ("offset", "annotation-queue"): 5,
        ("stream_last_offset", "annotation-queue"): 90,
        ("backlog_messages", "annotation-queue"): 85,
        ("container_restarts", "annotation-queue"): 0,
        ("alerts_pending", ""): 0,
        ("silent", ""): 0,
        ("round_duration_seconds", ""): 0.25,
        ("last_round_timestamp_seconds", ""): 1_776_651_300,
    }


def test_the_file_is_whole_and_readable_for_the_collector(tmp_path: Path) -> None:
    path = tmp_path / "gpu-runbook.prom"
    for _ in range(2):
        assert metrics.write(str(path), "gpu-1", ROUND, State()) == ""
    assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in tmp_path.iterdir()] == ["gpu-runbook.prom"]
    assert samples(path.read_text())


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert "cannot be written" in metrics.write(str(tmp_path / "nowhere" / "x.prom"), "gpu-1", ROUND, State())
