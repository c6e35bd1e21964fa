"""The process that carries out one plan: its own, so that no dropped connection can end it, under the lock."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from functools import partial
from typing import Any, Callable, Dict, Optional

from gpu_runbook.common.clock import now
from gpu_runbook.common.failure import DEFECT, failure
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import BeginOfPlan, End, Unfinished
from gpu_runbook.protocol.plan import Plan
from gpu_runbook.protocol.requests import RunRequest, Secrets
from gpu_runbook.server.docker import engine
from gpu_runbook.server.docker.commands import Docker, StepFailed
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.rpc.detach import Say, detached
from gpu_runbook.server.run.follow import follow
from gpu_runbook.server.run.outcome import REFUSED
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.run.unstage import unstage_all
from gpu_runbook.server.state import lock, pause
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system import files

CarryOut = Callable[[Site], Optional[End]]


def run(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None], execute: CarryOut) -> Dict[str, Any]:
    """`request`: a RunRequest. The answer is that of `follow`.

    Raises Refusal when somebody else holds the lock, or a pause holds the action back.
    """
    asked = decode(RunRequest, request, "request")
    plan = asked.plan
    found = dataclasses.replace(engine.find(plan.docker_host), hidden=asked.secrets.hidden)
    store = find_store(plan.root, plan.state, emit)
    store.create()
    guarded.prepare(plan.root, found.address)
    detached(partial(_live, plan, asked.secrets, store, found, execute))
    try:
        return follow(store, plan.id, emit)
    except OSError as error:
        said = f"run {plan.id} goes on by itself, and cannot be followed: {files.why(error)}"
        raise Refusal(said, f"fab follow --run {plan.id}", "person") from error


def _live(plan: Plan, secrets: Secrets, store: Store, found: engine.Engine, execute: CarryOut, say: Say) -> None:
    """The life of the detached process."""
    holder: Dict[str, Any] = {
        "run": plan.id,
        "action": plan.action,
        "who": plan.who,
        "laptop": plan.laptop,
        "since": now(),
    }
    held = lock.acquire(store, {**holder, "pid": os.getpid()})
    pause.admit(store, plan.action)
    journal = Journal(store.journal(plan.id))
    hashes = {name: store.keyed_hash(value) for name, value in secrets.variables.items()}
    journal.begin(BeginOfPlan(**holder, plan=plan, variables=hashes))
    say({})
    site = Site(plan, secrets, hashes, store, Docker(found, journal, held, plan.left_alone), journal)
    try:
        end = execute(site)
    except Exception as error:  # nobody has seen how it ended: the journal says what happened
        failed, end = failure(error), None
        what = "a defect" if failed["kind"] == DEFECT else "an error"
        journal.write(Unfinished(f"{what} ended the run: {failed['message']}", failed.get("debug")))
    if end and not journal.write(end) and end.outcome == REFUSED:
        with contextlib.suppress(StepFailed, Refusal, OSError):  # else whoever comes next clears it away
            unstage_all(store, site.docker, plan.id)
            files.remove(store.decision(plan.id))
            journal.drop()
