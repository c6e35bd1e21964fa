"""Modules of the server's half that travel only with a request that asks for what they do: the others stay at home.

The server imports each of them inside the function that needs it, under the same condition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gpu_runbook.protocol.health import Request
from gpu_runbook.protocol.requests import (
    LogsRequest,
    LookRequest,
    RunRequest,
    SnapshotRequest,
    StatusRequest,
    TrainingRequest,
)
from gpu_runbook.protocol.snapshot import Wanted

Asks = Callable[[Any], bool]


def unasked(verb: str, request: object) -> frozenset[str]:
    """The modules, without the package's own name, that no answer to this request needs. `request`: a value."""
    return frozenset(module for module, asks in OPTIONAL.get(verb, {}).items() if not asks(request))


def _env_files(asked: SnapshotRequest) -> bool:
    return asked.checklist is not None and bool(asked.checklist.env_files)


def _gpus(asked: SnapshotRequest) -> bool:
    return asked.checklist is not None and asked.gpus > 0


def _tree(asked: SnapshotRequest) -> bool:
    return asked.checklist is not None


def _stream(asked: SnapshotRequest) -> bool:
    return any(map(_may_be_asked, asked.services))


def _may_be_asked(service: Wanted) -> bool:
    return service.offset is not None and service.stream is not None and bool(service.stream.user)


def _replays(asked: RunRequest) -> bool:
    return any(step.replay for step in asked.plan.consumers)


def _tls(asked: SnapshotRequest) -> bool:
    return any(_may_be_asked(one) and one.stream is not None and one.stream.tls is not None for one in asked.services)


def _tls_in_a_plan(asked: RunRequest) -> bool:
    return any(step.stream is not None and step.stream.tls is not None for step in asked.plan.consumers)


def _model(asked: SnapshotRequest) -> bool:
    return any(one.config is not None and bool(one.config.model_key) for one in asked.services)


def _processes(asked: LookRequest) -> bool:
    return any(one.process for one in asked.services)


def _its_processes(asked: TrainingRequest) -> bool:
    return asked.service.process is not None


def _names_a_model(asked: RunRequest) -> bool:
    return any(step.config is not None and bool(step.config.model_key) for step in asked.plan.consumers)


def _logs(asked: RunRequest) -> bool:
    return any(step.watch.log.files or step.watch.log.level for step in asked.plan.consumers)


def _logs_of(asked: StatusRequest) -> bool:
    return any(one.log.files or one.log.level for one in asked.services)


def _log_files(asked: LogsRequest) -> bool:
    return any(one.log.files for one in asked.services)


def _checked(asked: Request) -> bool:
    return bool(asked.batches)


def _logs_of_all(asked: Request) -> bool:
    return any(one.log.files or one.log.level for one in asked.consumers)


def _its_gpus(asked: TrainingRequest) -> bool:
    return bool(asked.gpus)


OF_PROCESSES = ("server.checks.batch_processes", "common.command_line", "common.shell_pattern")

# By verb: each module, and whether a request asks for it.
OPTIONAL: Mapping[str, Mapping[str, Asks]] = {
    "snapshot": {
        "server.checks.env_file": _env_files,
        "server.checks.docker_gpus": _gpus,
        "server.checks.directories": _tree,
        "common.config_key": _model,
        **dict.fromkeys(("server.checks.broker", "server.checks.offset", "server.queue.stream"), _stream),
        "server.queue.tls": _tls,
        **dict.fromkeys(OF_PROCESSES, _processes),
    },
    "training_command": {
        "server.checks.docker_gpus": _its_gpus,
        **dict.fromkeys(OF_PROCESSES, _its_processes),
    },
    "run": {
        "server.run.replay": _replays,
        "server.run.rewind": _replays,
        "server.queue.tls": _tls_in_a_plan,
        "server.logs.reading": _logs,
        "server.models.apply": _names_a_model,
    },
    "status": {**dict.fromkeys(OF_PROCESSES, _processes), "server.logs.since": _logs_of},
    "restart": {"server.logs.reading": _logs},
    "health": {
        **dict.fromkeys((*OF_PROCESSES, "server.checks.batch"), _checked),
        "server.checks.log_tail": _logs_of_all,
        "server.logs.since": _logs_of_all,
    },
    "logs": {"server.logs.shown": _log_files},
}
