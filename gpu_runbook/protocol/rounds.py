"""What one round of the scheduled check saw and did: a line of its history, as a frozen value that travels as JSON."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from gpu_runbook.protocol.forms import Count, Level, Offset, ServiceName, Time
from gpu_runbook.protocol.values import dataclass, field


@dataclass(frozen=True)
class Gpu:
    """One GPU's figures; None for what the card does not tell. Memory in bytes, use in percent, heat in Celsius."""

    index: Count  # its number, as nvidia-smi has it
    use: Optional[Count] = None  # how busy it is, in percent
    memory: Optional[Count] = None  # bytes in use
    memory_total: Optional[Count] = None  # bytes it has
    temperature: Optional[int] = None  # degrees Celsius


@dataclass(frozen=True)
class Queue:
    """One consumer's figures; None for what could not be asked. `last` is the stream's last offset."""

    offset: Optional[Offset] = None  # the next offset it reads
    last: Optional[Offset] = None  # the stream's last offset
    backlog: Optional[Count] = None  # messages that wait
    restarts: Optional[Count] = None  # by the engine, since the container was started by somebody


@dataclass(frozen=True)
class Round:
    """One round. `levels` has every row; `said` has the sentence of those that are neither ok nor skipped."""

    at: Time  # when it began, by the server's clock
    seconds: float = 0.0  # how long it took
    silent: str = ""  # why nobody was told anything and nothing was done: a run, or a pause
    levels: Dict[str, Level] = field(default_factory=dict)  # row -> its level
    said: Dict[str, str] = field(default_factory=dict)  # row -> its sentence, of those that are neither ok nor skipped
    disk: Dict[str, Count] = field(default_factory=dict)  # path -> percent full
    gpus: Tuple[Gpu, ...] = ()  # the figures of each GPU
    queues: Dict[ServiceName, Queue] = field(default_factory=dict)  # by service: the figures of each consumer
    actions: Tuple[str, ...] = ()  # a sentence for each thing that was done
    alerts: Tuple[str, ...] = ()  # the title of each that was to be sent


_EMPTY: Tuple[Any, ...] = ("", {}, [], (), None)


def slim(value: Any) -> Any:
    """The same without what is empty anyway."""
    if isinstance(value, dict):
        return {key: slim(inner) for key, inner in value.items() if inner not in _EMPTY}
    return [slim(inner) for inner in value] if isinstance(value, (list, tuple)) else value
