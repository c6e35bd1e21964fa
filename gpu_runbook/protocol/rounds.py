"""What one round of the scheduled check saw and did: a line of its history, as a frozen value that travels as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from gpu_runbook.protocol.forms import Count, Level, Offset, ServiceName, Time


@dataclass(frozen=True)
class Gpu:
    """One GPU's figures; None for what the card does not tell. Memory in bytes, use in percent, heat in Celsius."""

    index: Count
    use: Optional[Count] = None
    memory: Optional[Count] = None
    memory_total: Optional[Count] = None
    temperature: Optional[int] = None


@dataclass(frozen=True)
class Queue:
    """One consumer's figures; None for what could not be asked. `last` is the stream's last offset."""

    offset: Optional[Offset] = None
    last: Optional[Offset] = None
    backlog: Optional[Count] = None  # messages
    restarts: Optional[Count] = None  # by the engine, since the container was started by somebody


@dataclass(frozen=True)
class Round:
    """One round. `levels` has every row; `said` has the sentence of those that are neither ok nor skipped."""

    at: Time  # the server's clock
    seconds: float = 0.0  # how long it took
    silent: str = ""  # why nobody was told anything and nothing was done: a run, or a pause
    levels: Dict[str, Level] = field(default_factory=dict)
    said: Dict[str, str] = field(default_factory=dict)
    disk: Dict[str, Count] = field(default_factory=dict)  # path -> percent full
    gpus: Tuple[Gpu, ...] = ()
    queues: Dict[ServiceName, Queue] = field(default_factory=dict)  # by service
    actions: Tuple[str, ...] = ()  # a sentence for each
    alerts: Tuple[str, ...] = ()  # the title of each that was to be sent


_EMPTY: Tuple[Any, ...] = ("", {}, [], (), None)


def slim(value: Any) -> Any:
    """The same without what is empty anyway."""
    if isinstance(value, dict):
        return {key: slim(inner) for key, inner in value.items() if inner not in _EMPTY}
    return [slim(inner) for inner in value] if isinstance(value, (list, tuple)) else value
