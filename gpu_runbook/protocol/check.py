"""One answered question: its level, its sentence, and what to do about it."""

from __future__ import annotations

from typing import Any, Dict

from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.forms import Level
from gpu_runbook.protocol.values import dataclass, field

OK, WARNING, CRITICAL, UNKNOWN, SKIPPED = "ok", "warning", "critical", "unknown", "skipped"
LEVELS = (OK, WARNING, CRITICAL, UNKNOWN, SKIPPED)
# Rows by which both halves go: without the first nothing is changed on a server, the others are about its GPUs.
COMMAND, DRIVER, GPU_SUPPORT = "docker command", "NVIDIA driver", "docker GPU support"


@dataclass(frozen=True)
class Check:
    """One answered question. `figures` are plain numbers and words for machines, in base units (bytes, seconds).

    Name, sentence and hint are one line each, whosever words are in them.
    """

    name: str  # what was asked, such as `disk space`
    level: Level  # `ok`, `warning`, `critical`, `unknown` or `skipped`
    sentence: str  # the answer, in words
    figures: Dict[str, Any] = field(default_factory=dict)  # the same in figures, by names that may change
    hint: str = ""  # what to do about it, empty where there is nothing to say

    def __post_init__(self) -> None:
        for part in ("name", "sentence", "hint"):
            object.__setattr__(self, part, one_line(getattr(self, part), LONGEST))
