"""Verb: closes a run that cannot be brought to its end, as a person has decided, in a process of its own."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Sequence

from gpu_runbook.common.clock import now
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed, Refusal
from gpu_runbook.protocol.journal import Begin, BeginOfPlan, End, EndDetails, Line
from gpu_runbook.protocol.requests import CloseRequest
from gpu_runbook.protocol.swap import NEVER_RESTART, Swap
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.commands import Docker, StepFailed
from gpu_runbook.server.docker.containers import lives
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.rpc.detach import Say, detached
from gpu_runbook.server.run import journal_check, leftovers, release, replay, unfinished
from gpu_runbook.server.run.outcome import NEEDS_PERSON
from gpu_runbook.server.run.swap import close, put_config_back
from gpu_runbook.server.run.unstage import unstage_all
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import lock
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store, find_store

Lines = List[Line]


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a CloseRequest.

    The answer has closed, a sentence, and notes, one for each thing that was left as it is. Raises Refusal with the run
    as it was, of kind input for one that is not there or has ended.
    """
    asked = decode(CloseRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    journals.chosen(store, asked.run)
    guarded.prepare(asked.root, asked.docker_host)
    return detached(partial(_live, asked, store))


def _live(asked: CloseRequest, store: Store, say: Say) -> None:
    run, who = asked.run, asked.who
    held = lock.acquire(store, {"action": "close", "who": who, "since": now(), "pid": os.getpid()})
    found = journals.state(store, run)
    if found.state != "cut-off":
        raise Refusal(f"run {run} has ended: {found.sentence}", "there is nothing to close", "input")
    lines = journals.read(store.journal(run))
    with contextlib.closing(Journal(store.journal(run))) as journal:
        notes = _settled(asked, store, held, journal, lines)
        try:
            leftovers.remove(store, run, lines)
        except Refusal as error:
            notes.append(error.message)
        sentence = f"run {run} was closed by {who} at step {found.step or 'begin'}: {asked.reason}"
        if not journal.write(End(NEEDS_PERSON, sentence, "see fab status", "", EndDetails(notes=tuple(notes)))):
            raise Refusal(f"{store.folder} is full: the run cannot be closed", "make room on it")
    say({"closed": sentence, "notes": notes})


def _settled(asked: CloseRequest, store: Store, held: int, journal: Journal, lines: Lines) -> List[str]:
    """Leave one container in the place of each service, as far as the engine lets; what was left as it is.

    Raises Refusal where a deploy is to follow and that could not be done.
    """
    run = asked.run
    try:
        engine = engines.find(asked.docker_host)
        if not engine.acts():
            raise unfinished.cannot_act()
        swaps = unfinished.swaps(lines, run)
        first = next((line.written for line in lines if line.word == Begin.word), None)
        plan = decode(BeginOfPlan, first, run).plan
        docker = Docker(engine, journal, held, (*asked.batches, *plan.left_alone))
        if store.is_in_root:  # a container may have written all of that
            journal_check.check(store, docker, plan, swaps, lines)
        _refuse_two(swaps, docker)
        notes = [f"{swap.service}: {note}" for swap in swaps for note in _one_left(swap, docker)]
        unstage_all(store, docker, run)
        failed = [swap for swap in swaps if not lives(docker.inspect(swap.new))]
        if failed:
            release.keep_failed(store, plan, failed, "the run was closed")
        return notes
    except (Malformed, LookupError) as error:  # it cannot be known what to do; nor what could run twice
        return [f"the journal of run {run} is damaged, and containers were left as they are: {error}"]
    except (Refusal, StepFailed, OSError) as error:
        if asked.deploys:
            hint = getattr(error, "hint", "") or f"fab follow --close {run} --reason … closes it as it is"
            raise Refusal(f"{error}; run {run} was not closed", hint, "person") from error
        return [f"containers were left as they are: {error}"]


def _refuse_two(swaps: Sequence[Swap], docker: Docker) -> None:
    for swap in swaps:
        if swap.old and lives(docker.inspect(swap.new)) and lives(docker.inspect(swap.old)):
            raise Refusal(
                f"two consumers of {swap.service} run, {swap.new[:12]} and {swap.old[:12]}",
                "docker stop the one that is not to run, on the server; then run it again",
            )


def _one_left(swap: Swap, docker: Docker) -> Iterator[str]:
    """Give the place to the one that runs, else to the old one; what was left as it is. Nothing is started."""
    new, old = docker.inspect(swap.new), docker.inspect(swap.old) if swap.old else None
    if lives(new) or not old:
        if old:
            docker.ensure_restart(swap.old, NEVER_RESTART)
            docker.ensure_name(swap.old, swap.old_parked)
        if new:
            docker.ensure_name(swap.new, swap.name)
            docker.ensure_restart(swap.new, swap.new_restart)
    else:
        if new:
            docker.ensure_restart(swap.new, NEVER_RESTART)
            docker.ensure_name(swap.new, swap.new_parked)
        docker.ensure_name(swap.old, swap.old_name)
        docker.ensure_restart(swap.old, swap.old_restart)
        yield from _put_back(swap, lives(old))
    try:
        close(swap)
    except Refusal as error:
        yield error.message


def _put_back(swap: Swap, runs: bool) -> Iterator[str]:
    """Config and position of the old one, as far as they go back."""
    try:
        if swap.replay and not runs:
            replay.undo(swap.replay, swap.offset, swap.offset_kept)
        if swap.config:
            put_config_back(swap.config)
    except (Refusal, StepFailed, OSError) as error:
        yield str(error)
