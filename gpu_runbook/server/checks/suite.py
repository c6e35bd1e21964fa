"""Which checks there are: the questions that a server is asked, and what each of them is called.

Each question imports what it needs when it is asked: while nvidia-smi is at work, the others' modules are compiled.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, List, Mapping, Optional, Tuple

from gpu_runbook.common.parallel import DEADLINE, Question
from gpu_runbook.protocol.check import COMMAND, SKIPPED, Check
from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.forms import minute
from gpu_runbook.protocol.health import CheckedConsumer, Request
from gpu_runbook.protocol.pause import IntendedStop
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.state.store import Store

BROKER, GPUS, DISK, OFFSET, SCHEDULE = (
    "RabbitMQ reachable",
    "GPU available",
    "disk space",
    "offset advancing",
    "schedule",
)

STOPPED = ("created", "exited")


def questions(asked: Request, store: Store, raised: Optional[Mapping[str, str]] = None) -> List[Question]:
    """In the order in which they are answered. `raised`: the level of each path whose disk alarms already."""
    stop, gpus = _stopped_on_purpose(store), _Gpus()
    return [
        *(alive(asked, consumer, stop.get(consumer.service)) for consumer in asked.consumers),
        *(_log(asked, one, store) for one in asked.consumers if one.log.files or one.log.level),
        *_reachable(asked),
        _gpus(asked, gpus),
        *(_runs(asked, entry, gpus) for entry in asked.batches),
        _room(asked, store, raised),
        *(_advancing(asked, consumer, stop.get(consumer.service)) for consumer in asked.consumers),
        _command(asked),
    ]


def _stopped_on_purpose(store: Store) -> Dict[str, IntendedStop]:
    """Which consumers were stopped on purpose."""
    from gpu_runbook.server.state import stopped

    return stopped.load(store)[0]


def alive(asked: Request, consumer: CheckedConsumer, stop: Optional[IntendedStop]) -> Question:
    """The question whether a consumer runs; one that was stopped on purpose need not."""

    def ask(name: str) -> Check:
        from gpu_runbook.server.checks import container

        found = container.check(name, consumer.container, asked.docker_host, asked.look_again)
        if stop and found.figures.get("status") in STOPPED:
            return Check(name, SKIPPED, f"stopped on purpose {_by(stop)}", found.figures)
        return found

    return Question(alive_name(consumer.service), ask, DEADLINE + asked.look_again)


def alive_name(service: str) -> str:
    return f"{service} alive"


def offset_name(asked: Request, service: str) -> str:
    return OFFSET if len(asked.consumers) == 1 else f"{OFFSET} ({service})"


def _is_stopped(asked: Request, consumer: CheckedConsumer) -> bool:
    from gpu_runbook.server.docker import engine

    found = engine.find(asked.docker_host).container(consumer.container)
    return found is not None and found.state in STOPPED


def _by(stop: IntendedStop) -> str:
    why = f" ({stop.reason})" if stop.reason else ""
    return f"by {stop.who}, {minute(stop.at)} UTC{why}; fab restart starts it"


def _log(asked: Request, consumer: CheckedConsumer, store: Store) -> Question:
    """Does the end of its log, of its files too, say that it fails?"""

    def ask(name: str) -> Check:
        from gpu_runbook.server.checks import log_tail
        from gpu_runbook.server.docker import engine
        from gpu_runbook.server.exposed import guarded

        guarded.prepare(asked.root, asked.docker_host)
        found = engine.find(asked.docker_host)
        return log_tail.counted(name, consumer.container, found, consumer.failure_text, consumer.log, store)

    return Question(f"{consumer.service} log", ask)


def _reachable(asked: Request) -> List[Question]:
    """One question per broker, however many consumers read from it."""
    places = _places(asked)
    if not places:
        return [_skip(BROKER, "hosts.yaml names no stream for these services")]
    return [_answers(broker_name(asked, place), address) for place, address in places.items()]


def _places(asked: Request) -> Dict[Tuple[str, int], StreamAddress]:
    return {(one.stream.host, one.stream.port): one.stream for one in asked.consumers if one.stream}


def broker_name(asked: Request, place: Tuple[str, int]) -> str:
    return BROKER if len(_places(asked)) == 1 else f"{BROKER} ({place[0]}:{place[1]})"


def _answers(name: str, address: StreamAddress) -> Question:
    def ask(name: str) -> Check:
        from gpu_runbook.server.checks import broker

        return broker.check(name, address)

    return Question(name, ask)


class _Gpus:
    """Lets the driver be asked one thing at a time: first of the GPUs, and then, once for all, of what is on them."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.hangs: Any = None  # how the first question ended that hung
        self.drivers: Dict[str, Any] = {}


def _gpus(asked: Request, gpus: _Gpus) -> Question:
    def ask(name: str) -> Check:
        from gpu_runbook.server.checks import gpu
        from gpu_runbook.server.checks.hung_nvidia_smi import Asking

        asking = Asking()
        try:
            return gpu.check(name, asked.gpus, asking)
        finally:
            gpus.hangs = asking.hangs
            gpus.told.set()

    if not asked.gpus.count:
        return _skip(GPUS, "hosts.yaml gives this server no GPU")
    return Question(GPUS, ask, 3 * DEADLINE, slow=True)


def _runs(asked: Request, entry: Wanted, gpus: _Gpus) -> Question:
    """What a batch service does."""

    def ask(name: str) -> Check:
        from gpu_runbook.server.checks import batch
        from gpu_runbook.server.checks.gpu_support import Driver
        from gpu_runbook.server.docker import engine
        from gpu_runbook.server.exposed import guarded

        guarded.prepare(asked.root, asked.docker_host)
        found = engine.find(asked.docker_host)
        if asked.gpus.count:
            gpus.told.wait()
        driver = gpus.drivers.setdefault(GPUS, Driver(gpus.hangs))
        return batch.check(name, entry, found, found.containers(), asked.gpus.count, driver)

    return Question(entry.service, ask, 4 * DEADLINE, slow=True)


def _room(asked: Request, store: Store, raised: Optional[Mapping[str, str]]) -> Question:
    def ask(name: str) -> Check:
        from gpu_runbook.server.checks import disk

        return disk.question(asked.disk, store, asked.docker_host, raised).ask(name)

    return Question(DISK, ask)


def _command(asked: Request) -> Question:
    def ask(name: str) -> Check:
        from gpu_runbook.server.checks import docker_command
        from gpu_runbook.server.docker import engine

        try:
            found = engine.find(asked.docker_host)
        except Refusal as refusal:
            return docker_command.untried(name, refusal.message)
        return docker_command.check(name, found)

    return Question(COMMAND, ask, slow=True)


def _advancing(asked: Request, consumer: CheckedConsumer, stop: Optional[IntendedStop]) -> Question:
    name = offset_name(asked, consumer.service)
    file, address = consumer.offset, consumer.stream
    if file is None or address is None:
        return _skip(name, f"hosts.yaml names no offset file or no stream for {consumer.service}")

    def ask(name: str) -> Check:
        from gpu_runbook.server.checks import offset
        from gpu_runbook.server.exposed import guarded

        guarded.prepare(asked.root, asked.docker_host)
        if stop and _is_stopped(asked, consumer):
            return Check(name, SKIPPED, f"{consumer.service} was stopped on purpose")
        pursuit = offset.Pursuit(consumer.container, file, address, consumer.password)
        return offset.check(name, pursuit, asked.docker_host, asked.await_move)

    return Question(name, ask, DEADLINE + asked.await_move)


def _skip(name: str, why: str) -> Question:
    return Question(name, lambda name: Check(name, SKIPPED, why))
