"""Where a consumer and its stream are."""

from __future__ import annotations

from typing import Dict, Optional

from gpu_runbook.protocol.forms import Count, EnvName, Path, Port
from gpu_runbook.protocol.values import dataclass, field

# Of .env, unless hosts.yaml names others: where a stream is, and who may ask it.
STREAM_VARIABLES = ("RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_MONITOR_USER", "RABBITMQ_MONITOR_PASSWORD")


@dataclass(frozen=True)
class OffsetFile:
    """A consumer's own note of its position. `means` is "next" (to read) or "last" (handled)."""

    path: Path  # the file on the server
    key: str = "offset"  # the key behind which the number stands
    means: str = "next"  # `next` (to read) or `last` (handled)
    saved_every: Count = 1  # after so many messages it is written again


@dataclass(frozen=True)
class StreamAddress:
    """A RabbitMQ stream and who may read it. The password travels beside the plan, never in it."""

    host: str  # the broker's address
    port: Port  # its port for streams
    name: str  # the stream's name
    user: str = ""  # who reads it
    vhost: str = "/"  # the broker's virtual host
    tls: Optional[str] = None  # the CA's file on the server, empty for its own store; null where no TLS is spoken
    variables: Dict[EnvName, EnvName] = field(default_factory=dict)  # which hosts.yaml names instead of the usual ones
