"""Verb: how a server is now, with the rows that stand at the end of a deploy: container, log, offset, disk.

A release that was not proven by its watch is proven once its consumers are seen to have moved on; that is written down.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Callable, Dict, List, Sequence

from gpu_runbook.common.parallel import DEADLINE, Question, ask_all
from gpu_runbook.protocol.check import SKIPPED, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.processes import ProcessRuns
from gpu_runbook.protocol.requests import StatusRequest
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.checks import batch, container, disk, log_tail, offset
from gpu_runbook.server.checks.gpu_support import Driver
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.facts.snapshot import view
from gpu_runbook.server.run import late_proof
from gpu_runbook.server.state.store import Store, find_store

LOOK_AGAIN = 2.0  # seconds for which an offset with messages beyond it may take to move


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a StatusRequest. The answer is a Snapshot."""
    asked = decode(StatusRequest, request, "request")
    engine = dataclasses.replace(engines.find(asked.docker_host), hidden=asked.hidden)
    guarded.prepare(asked.root, asked.docker_host)
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    listed = engine.containers()
    seen: Dict[str, ProcessRuns] = {}
    rows = ask_all(_questions(asked, engine, store, listed, seen))
    look = view(asked.variables, asked.batches, engine, store, asked.services, listed, rows, {}, seen)
    return encode(late_proof.proven(store, look, asked.services))


def _questions(
    asked: StatusRequest,
    engine: Engine,
    store: Store,
    listed: Sequence[ListedContainer],
    seen: Dict[str, ProcessRuns],
) -> List[Question]:
    questions: List[Question] = []
    driver = Driver()
    for entry in asked.services:
        if entry.kind == "batch":
            ask = partial(batch.check, entry=entry, engine=engine, listed=listed, gpus=asked.gpus, driver=driver)
            ask = partial(ask, seen=seen)
            questions.append(Question(entry.service, ask, 3 * DEADLINE, slow=True))
        else:
            questions += _of_a_consumer(entry, engine, store)
    return [*questions, disk.question(asked.disk, store, asked.docker_host)]


def _of_a_consumer(entry: Wanted, engine: Engine, store: Store) -> List[Question]:
    alive = partial(container.check, container=entry.service, docker_host=engine.address, look_again=0.0)
    advancing = partial(_advancing, entry=entry, engine=engine)
    says = partial(log_tail.with_files, engine=engine, failure_text=entry.failure_text, rules=entry.log, store=store)
    log = partial(says, container=entry.service)
    return [
        Question(late_proof.container_row(entry.service), alive),
        Question(late_proof.log_row(entry.service), log),
        Question(late_proof.offset_row(entry.service), advancing, DEADLINE + LOOK_AGAIN),
    ]


def _advancing(name: str, entry: Wanted, engine: Engine) -> Check:
    if entry.offset is None or entry.stream is None:
        return Check(name, SKIPPED, f"hosts.yaml names no offset file or no stream for {entry.service}")
    pursuit = offset.Pursuit(entry.service, entry.offset, entry.stream, entry.password)
    return offset.check(name, pursuit, engine.address, LOOK_AGAIN)
