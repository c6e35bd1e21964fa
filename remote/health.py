"""The verb `health`: asks this server the five questions and answers with a check for each."""

from __future__ import annotations

import functools
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple

from remote.checks import broker, container, disk, gpu, progress
from remote.checks.together import DEADLINE, Question, ask_all
from remote.codec import decode
from remote.words import SKIPPED, Check, OffsetFile, StreamAddress, encode


@dataclass(frozen=True)
class Consumer:
    """A consumer to ask about. The password is the monitoring user's; it is in no answer."""

    service: str
    container: str
    offset: Optional[OffsetFile] = None
    stream: Optional[StreamAddress] = None
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class DiskLimits:
    """Paths to look at, and the percentages beyond which they alarm."""

    paths: Tuple[str, ...]
    warning: float = 80.0
    critical: float = 95.0


@dataclass(frozen=True)
class Request:
    """What the laptop wants to know. `look_again` is how many seconds a standstill is watched before it counts."""

    disk: DiskLimits
    gpus: gpu.Expected
    docker_host: str = ""
    consumers: Tuple[Consumer, ...] = ()
    look_again: float = 3.0


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`checks` in a fixed order; each is an event too as soon as it is answered. Changes nothing on the server."""
    asked = decode(Request, request, "request")
    checks = ask_all(questions(asked), lambda check: emit(dict(encode(check), event="check")))
    return {
        "host": socket.gethostname(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "checks": [encode(check) for check in checks],
    }


def questions(asked: Request) -> List[Question]:
    """In the order in which they are answered."""
    return [
        *(_alive(asked, consumer) for consumer in asked.consumers),
        *_reachable(asked),
        _gpus(asked),
        _room(asked),
        *(_advancing(asked, consumer) for consumer in asked.consumers),
    ]


def _alive(asked: Request, consumer: Consumer) -> Question:
    return Question(
        f"{consumer.service} alive",
        lambda name: container.check(name, consumer.container, asked.docker_host, asked.look_again),
        DEADLINE + asked.look_again,
    )


def _reachable(asked: Request) -> List[Question]:
    """One question per broker, however many consumers read from it."""
    name = "RabbitMQ reachable"
    places = list(dict.fromkeys((one.stream.host, one.stream.port) for one in asked.consumers if one.stream))
    if not places:
        return [_skip(name, "hosts.yaml names no stream for these services")]
    if len(places) == 1:
        return [Question(name, functools.partial(broker.check, place=places[0]))]
    return [
        Question(f"{name} ({host}:{port})", functools.partial(broker.check, place=(host, port)))
        for host, port in places
    ]


def _gpus(asked: Request) -> Question:
    if not asked.gpus.count:
        return _skip("GPU available", "hosts.yaml gives this server no GPU")
    return Question("GPU available", lambda name: gpu.check(name, asked.gpus))


def _room(asked: Request) -> Question:
    limits = asked.disk
    return Question(
        "disk space", lambda name: disk.check(name, limits.paths, limits.warning, limits.critical, asked.docker_host)
    )


def _advancing(asked: Request, consumer: Consumer) -> Question:
    name = "offset advancing" if len(asked.consumers) == 1 else f"offset advancing ({consumer.service})"
    if consumer.offset is None or consumer.stream is None:
        return _skip(name, f"hosts.yaml names no offset file or no stream for {consumer.service}")
    pursuit = progress.Pursuit(consumer.container, consumer.offset, consumer.stream, consumer.password)
    return Question(
        name,
        lambda name: progress.check(name, pursuit, asked.docker_host, asked.look_again),
        DEADLINE + asked.look_again,
    )


def _skip(name: str, why: str) -> Question:
    return Question(name, lambda name: Check(name, SKIPPED, why))
