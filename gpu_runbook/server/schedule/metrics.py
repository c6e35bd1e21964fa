"""The figures of a round as Prometheus reads them, for the textfile collector of its node exporter."""

from __future__ import annotations

import os
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

from gpu_runbook.common.clock import moment
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.rounds import Round
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.schedule.state import State

NUMBERS = {OK: 0, SKIPPED: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3}  # as the exit statuses of fab health

Labels = Dict[str, str]
Number = Union[int, float, None]
Family = Tuple[str, str, List[Tuple[Labels, Number]]]  # name, help, samples


def write(path: str, server: str, found: Round, state: State) -> str:
    """Replace the file, whole for the collector; why that failed, usually nothing."""
    try:
        data = text(server, found, state).encode("utf-8", "backslashreplace")
        guarded.write(path, data, 0o644, (os.geteuid(), os.getegid()), "new")
    except (Refusal, OSError) as error:
        return str(error)
    return ""


def text(server: str, found: Round, state: State) -> str:
    """The exposition format: gauges of base units, each with the label `server`."""
    lines: List[str] = []
    for name, about, samples in _families(found, state):
        there = [(labels, number) for labels, number in samples if number is not None]
        if there:
            lines += [f"# HELP gpu_runbook_{name} {about}", f"# TYPE gpu_runbook_{name} gauge"]
            lines += [f"gpu_runbook_{name}{_labels(server, labels)} {number}" for labels, number in there]
    return "\n".join(lines) + "\n"


def _families(found: Round, state: State) -> Iterator[Family]:
    levels: List[Tuple[Labels, Number]] = [({"check": name}, NUMBERS[level]) for name, level in found.levels.items()]
    yield "check_level", "Level of a row: 0 ok or skipped, 1 warning, 2 critical, 3 unknown.", levels
    disks: List[Tuple[Labels, Number]] = [({"path": path}, share / 100) for path, share in found.disk.items()]
    yield "disk_used_ratio", "How full a file system is, as df counts it.", disks
    for name, about, figures in (
        ("gpu_utilization_ratio", "Use of a GPU.", [_share(gpu.use) for gpu in found.gpus]),
        ("gpu_memory_used_bytes", "Memory in use on a GPU.", [gpu.memory for gpu in found.gpus]),
        ("gpu_memory_bytes", "Memory of a GPU.", [gpu.memory_total for gpu in found.gpus]),
        ("gpu_temperature_celsius", "Temperature of a GPU.", [gpu.temperature for gpu in found.gpus]),
    ):
        yield name, about, [({"gpu": str(gpu.index)}, number) for gpu, number in zip(found.gpus, figures)]
    queues = found.queues.items()
    yield "offset", "What the offset file of a consumer says.", [({"service": k}, q.offset) for k, q in queues]
    yield "stream_last_offset", "Last offset of a consumer's stream.", [({"service": k}, q.last) for k, q in queues]
    yield "backlog_messages", "Messages that wait for a consumer.", [({"service": k}, q.backlog) for k, q in queues]
    yield "container_restarts", "Restarts by the engine.", [({"service": k}, q.restarts) for k, q in queues]
    yield "alerts_pending", "Alerts that a channel has not taken yet.", [({}, len(state.pending))]
    yield "silent", "Whether nobody is told anything: a run or a pause.", [({}, int(bool(found.silent)))]
    yield "round_duration_seconds", "How long the last round took.", [({}, found.seconds)]
    yield "last_round_timestamp_seconds", "When the last round was.", [({}, moment(found.at))]


def _share(percent: Optional[int]) -> Number:
    return None if percent is None else percent / 100


def _labels(server: str, labels: Labels) -> str:
    pairs: Sequence[str] = [f'{name}="{_escaped(value)}"' for name, value in {"server": server, **labels}.items()]
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return one_line(value).replace("\\", "\\\\").replace('"', '\\"')
