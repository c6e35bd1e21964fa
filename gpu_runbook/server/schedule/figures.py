"""What of a round's rows goes into its history: levels, sentences and figures."""

from __future__ import annotations

from typing import Any, Dict, Sequence

from gpu_runbook.protocol.check import OK, SKIPPED, Check
from gpu_runbook.protocol.health import Request
from gpu_runbook.protocol.rounds import Gpu, Queue, Round
from gpu_runbook.server.checks import suite


def of_checks(at: str, checks: Sequence[Check], asked: Request) -> Round:
    """The levels and figures of a round's rows."""
    rows = {check.name: check for check in checks}
    disk = rows[suite.DISK].figures
    gpus = rows[suite.GPUS].figures.get("gpus", ())
    return Round(
        at=at,
        levels={check.name: check.level for check in checks},
        said={check.name: check.sentence for check in checks if check.level not in (OK, SKIPPED)},
        disk={path: room["percent"] for path, room in disk.items()},
        gpus=tuple(_gpu(index, one) for index, one in enumerate(gpus)),
        queues={one.service: _queue(rows, asked, one.service) for one in asked.consumers},
    )


def _gpu(index: int, figures: Dict[str, Any]) -> Gpu:
    return Gpu(
        index=index if figures["index"] is None else figures["index"],
        use=figures["utilisation_percent"],
        memory=figures["memory_used"],
        memory_total=figures["memory_total"],
        temperature=figures["temperature_celsius"],
    )


def _queue(rows: Dict[str, Check], asked: Request, service: str) -> Queue:
    progress = rows[suite.offset_name(asked, service)].figures
    alive = rows[suite.alive_name(service)].figures
    return Queue(progress.get("offset"), progress.get("last"), progress.get("backlog"), alive.get("restarts"))
