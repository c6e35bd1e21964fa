"""Verb: one read-only exchange that brings all that a deploy wants to know of a server: the preflight, and the view."""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from gpu_runbook.common.parallel import DEADLINE, Question, ask_all
from gpu_runbook.protocol.check import COMMAND, CRITICAL, DRIVER, GPU_SUPPORT, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.env_file import EnvFile
from gpu_runbook.protocol.foreign_text import MOST, quoted
from gpu_runbook.protocol.processes import ProcessRuns
from gpu_runbook.protocol.requests import Checklist, EngineLogin, SnapshotRequest
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.checks import (
    batch,
    disk,
    docker_command,
    gpu_support,
    log_tail,
    preflight,
    state,
)
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker import registry
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.facts.snapshot import view
from gpu_runbook.server.state.store import Store, find_store

REGISTRY_SECONDS = 40.0  # the engine itself gives up after 30
DENIED = (401, 403)


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a SnapshotRequest. The answer is a Snapshot.

    Raises Refusal when there is no docker engine or it may not be used, and when the state is somebody else's;
    everything else is a row.
    """
    asked = decode(SnapshotRequest, request, "request")
    engine = engines.find(asked.docker_host)
    guarded.prepare(asked.root, asked.docker_host)
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    listed = engine.containers()
    digests: Dict[str, str] = {}
    seen: Dict[str, ProcessRuns] = {}
    rows = ask_all(_questions(asked, engine, store, digests, listed, seen))
    rows += _unreadable_logs(engine, asked.services)
    look = view(asked.variables, asked.batches, engine, store, asked.services, listed, rows, digests, seen)
    return encode(look)


def _questions(
    asked: SnapshotRequest,
    engine: Engine,
    store: Store,
    digests: Dict[str, str],
    listed: Sequence[ListedContainer],
    seen: Dict[str, ProcessRuns],
) -> List[Question]:
    """The rows that take time, to be asked all at once. `digests` and `seen` are filled as the answers come."""
    driver = gpu_support.Driver()
    questions = [
        Question("root", partial(preflight.root, store=store)),
        Question("sessions", preflight.sessions),
        Question(COMMAND, partial(docker_command.check, engine=engine), slow=True),
        Question("state", partial(state.check, store=store, state=asked.state, engine=engine, listed=listed)),
        disk.question(asked.disk, store, asked.docker_host),
    ]
    for entry in asked.services:
        if entry.image:
            ask = partial(_image, engine=engine, entry=entry, login=asked.login, digests=digests)
            questions.append(Question(f"{entry.service} image", ask, REGISTRY_SECONDS))
        if entry.config:
            questions.append(Question(f"{entry.service} config", partial(preflight.config, entry=entry)))
        if entry.offset:
            ask = partial(preflight.offset, entry=entry, engine=engine, store=store, listed=listed)
            questions.append(Question(f"{entry.service} offset", ask))
        if entry.kind == "batch":
            ask = partial(batch.check, entry=entry, engine=engine, listed=listed, gpus=asked.gpus, driver=driver)
            questions.append(Question(entry.service, partial(ask, seen=seen), 3 * DEADLINE, slow=True))
    return questions + (_checklist(asked.checklist, asked.gpus, engine, driver) if asked.checklist else [])


def _unreadable_logs(engine: Engine, services: Sequence[Wanted]) -> List[Check]:
    """A container that is left for a newer one, and taken back, is judged without its log then."""
    logs = [log_tail.check(f"{one.service} log", one.service, engine, ()) for one in services if one.kind == "consumer"]
    return [dataclasses.replace(row, level=WARNING) for row in logs if row.level == UNKNOWN]


def _checklist(listed: Checklist, gpus: int, engine: Engine, driver: gpu_support.Driver) -> List[Question]:
    """The lines of the checklist that a rollback goes without."""
    from gpu_runbook.server.checks import directories  # it travels only with a checklist

    return [
        *_env_files(listed.env_files),
        Question("tree", partial(directories.check, folders=listed.tree)),
        Question(DRIVER, partial(gpu_support.driver, gpus=gpus, asked=driver), 3 * DEADLINE, slow=True),
        Question(GPU_SUPPORT, partial(gpu_support.by_docker, gpus=gpus, wanted=listed.gpus, engine=engine)),
    ]


def _env_files(files: Sequence[EnvFile]) -> Iterator[Question]:
    if files:
        from gpu_runbook.server.checks import env_file  # it travels only where one is asked for

        yield from (Question(f"{one.service} env file", partial(env_file.check, wanted=one)) for one in files)


def _image(name: str, engine: Engine, entry: Wanted, login: Optional[EngineLogin], digests: Dict[str, str]) -> Check:
    try:
        digest, platforms = registry.manifest(engine, entry.image, login)
    except EngineError as error:
        return _no_image(name, entry.image, error)
    if not registry.serves(platforms):
        made_for = quoted(", ".join(platforms), 100)
        said = f"{entry.image} is {digest[:19]}, made for {made_for}, and this server is {os.uname().machine}"
        return Check(
            name, CRITICAL, said, {"digest": digest}, "build it for this server: docker buildx build --platform"
        )
    digests[entry.service] = f"{registry.repository(entry.image)}@{digest}"
    return Check(name, OK, f"{entry.image} is {digest[:19]}", {"digest": digest})


def _no_image(name: str, image: str, error: EngineError) -> Check:
    if error.status in DENIED or "unauthorized" in error.message or "no basic auth" in error.message:
        hint = "check registry.username in hosts.yaml and REGISTRY_PASSWORD in .env"
        return Check(name, CRITICAL, f"the registry refused the login for {image}", hint=hint)
    if error.status == 404 or "manifest unknown" in error.message or "not found" in error.message:
        return Check(name, CRITICAL, f"the registry has no {image}", hint="build and push it, or name another --tag")
    said, hint = quoted(error.message, MOST), registry.remedy(error.message, image.partition("/")[0])
    return Check(name, UNKNOWN, f"{image}: the registry could not be asked ({said})", hint=hint)
