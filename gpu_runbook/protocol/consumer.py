"""Where a consumer and its stream are."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_runbook.protocol.forms import Count, Path, Port


@dataclass(frozen=True)
class OffsetFile:
    """A consumer's own note of its position. `means` is "next" (to read) or "last" (handled)."""

    path: Path
    key: str = "offset"
    means: str = "next"
    saved_every: Count = 1


@dataclass(frozen=True)
class StreamAddress:
    """A RabbitMQ stream and who may read it. The password travels beside the plan, never in it."""

    host: str
    port: Port
    name: str
    user: str = ""
    vhost: str = "/"
