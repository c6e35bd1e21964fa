"""Verb: carries out a plan in a process of its own, which no dropped connection can end, and follows it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from typing import Any, Callable, Dict

from remote import carry, engine, follow, lock, wire
from remote.codec import decode
from remote.docker import Docker
from remote.journal import Journal, now
from remote.stage import Site
from remote.store import Store
from remote.words import Plan, Refusal, encode


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: plan, secrets (configs, passwords, variables, hidden). The answer is that of `follow`.

    Raises Refusal when somebody else holds the lock.
    """
    plan = decode(Plan, request["plan"], "plan")
    found = dataclasses.replace(engine.find(plan.docker_host), hidden=tuple(request["secrets"]["hidden"]))
    store = Store(plan.root)
    store.create()
    reader, writer = os.pipe()
    if os.fork() == 0:
        _detach(writer)
        _live(plan, request["secrets"], store, found, writer)
    os.close(writer)
    os.wait()
    with os.fdopen(reader, "rb") as pipe:
        said = json.loads(pipe.read() or b'{"message": "the run could not be started", "hint": ""}')
    if said:
        raise Refusal(said["message"], said["hint"])
    return follow.follow(store, plan.id, emit)


def _detach(writer: int) -> None:
    """Leave the connection behind: its session, and every descriptor but `writer`; only the grandchild goes on."""
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.closerange(3, writer)
    os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")


def _live(plan: Plan, secrets: Dict[str, Any], store: Store, found: engine.Engine, writer: int) -> None:
    """The life of the detached process: never returns."""
    try:
        begun = now()
        holder: Dict[str, Any] = {
            "run": plan.id,
            "action": plan.action,
            "who": plan.who,
            "laptop": plan.laptop,
            "since": begun,
        }
        held = lock.acquire(store, {**holder, "pid": os.getpid()})
        journal = Journal(store.journal(plan.id))
    except Refusal as error:
        os.write(writer, json.dumps({"message": error.message, "hint": error.hint}).encode())
        os._exit(0)
    hashes = {name: store.keyed_hash(value) for name, value in secrets.get("variables", {}).items()}
    journal.write("begin", True, **holder, plan=encode(plan), variables=hashes)
    os.write(writer, b"{}")
    os.close(writer)
    site = Site(plan, {**secrets, "hashes": hashes}, store, Docker(found, journal, held), journal)
    try:
        end = carry.carry_out(site)
    except Exception as error:  # a defect must not pass for a cut: the journal says what happened
        known = wire.defect(error)
        sentence = f"a defect ended the run: {known['message']}"
        end = carry.End(carry.NEEDS_PERSON, sentence, "see fab status", details={"debug": known["debug"]})
    journal.write("end", **encode(end))
    os._exit(0)
