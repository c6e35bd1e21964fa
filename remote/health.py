"""The verb `health`: asks this server the five questions and answers with a check for each.

Each question imports what it needs when it is asked: while nvidia-smi is at work, the others' modules are compiled.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Callable, Dict, List, Tuple

from remote.checks.asked import Consumer, Request
from remote.checks.together import DEADLINE, Question, ask_all
from remote.codec import decode
from remote.words import SKIPPED, Check, encode


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
    def ask(name: str) -> Check:
        from remote.checks import container

        return container.check(name, consumer.container, asked.docker_host, asked.look_again)

    return Question(f"{consumer.service} alive", ask, DEADLINE + asked.look_again)


def _reachable(asked: Request) -> List[Question]:
    """One question per broker, however many consumers read from it."""
    name = "RabbitMQ reachable"
    places = list(dict.fromkeys((one.stream.host, one.stream.port) for one in asked.consumers if one.stream))
    if not places:
        return [_skip(name, "hosts.yaml names no stream for these services")]
    if len(places) == 1:
        return [_answers(name, places[0])]
    return [_answers(f"{name} ({host}:{port})", (host, port)) for host, port in places]


def _answers(name: str, place: Tuple[str, int]) -> Question:
    def ask(name: str) -> Check:
        from remote.checks import broker

        return broker.check(name, place)

    return Question(name, ask)


def _gpus(asked: Request) -> Question:
    def ask(name: str) -> Check:
        from remote.checks import gpu

        return gpu.check(name, asked.gpus)

    if not asked.gpus.count:
        return _skip("GPU available", "hosts.yaml gives this server no GPU")
    return Question("GPU available", ask, slow=True)


def _room(asked: Request) -> Question:
    def ask(name: str) -> Check:
        from remote.checks import disk

        return disk.check(name, limits.paths, limits.warning, limits.critical, asked.docker_host)

    limits = asked.disk
    return Question("disk space", ask)


def _advancing(asked: Request, consumer: Consumer) -> Question:
    name = "offset advancing" if len(asked.consumers) == 1 else f"offset advancing ({consumer.service})"
    file, address = consumer.offset, consumer.stream
    if file is None or address is None:
        return _skip(name, f"hosts.yaml names no offset file or no stream for {consumer.service}")

    def ask(name: str) -> Check:
        from remote.checks import progress

        pursuit = progress.Pursuit(consumer.container, file, address, consumer.password)
        return progress.check(name, pursuit, asked.docker_host, asked.look_again)

    return Question(name, ask, DEADLINE + asked.look_again)


def _skip(name: str, why: str) -> Question:
    return Question(name, lambda name: Check(name, SKIPPED, why))
