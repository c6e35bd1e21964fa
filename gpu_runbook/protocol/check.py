"""The words that both halves and every verb share: refusals, checks, and where a consumer and its stream are.

Every value here travels as JSON. `encode` and `decode` are strict mirrors: what `encode` writes `decode` reads back
equal, and anything else raises `Malformed` naming the place.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Dict

from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.forms import Count, Level, Path, Port

LABEL = "gpu-runbook"

OK, WARNING, CRITICAL, UNKNOWN, SKIPPED = "ok", "warning", "critical", "unknown", "skipped"
LEVELS = (OK, WARNING, CRITICAL, UNKNOWN, SKIPPED)


class Refusal(Exception):
    """The server's half says no. `kind` picks the laptop's error: refused, server, failed or input."""

    def __init__(self, message: str, hint: str = "", kind: str = "refused") -> None:
        self.message = one_line(message, LONGEST)
        super().__init__(self.message)
        self.hint = one_line(hint, LONGEST)
        self.kind = kind


class Malformed(ValueError):
    """A JSON document is not the value it should be; the text names the place."""


@dataclass(frozen=True)
class Check:
    """One answered question. `figures` are plain numbers and words for machines, in base units (bytes, seconds).

    Name, sentence and hint are one line each, whosever words are in them.
    """

    name: str
    level: Level
    sentence: str
    figures: Dict[str, Any] = field(default_factory=dict)
    hint: str = ""

    def __post_init__(self) -> None:
        for part in ("name", "sentence", "hint"):
            object.__setattr__(self, part, one_line(getattr(self, part), LONGEST))


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


def encode(value: Any) -> Any:
    """A frozen value as plain JSON types."""
    return dataclasses.asdict(value)
