"""Finishes or undoes what a run left behind when it was cut off: by its journal and by what the engine says."""

from __future__ import annotations

import dataclasses
import os
from typing import List, Optional, Sequence, Tuple

from gpu_runbook.common.remedies import ways_out
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed, Refusal
from gpu_runbook.protocol.journal import (
    Begin,
    BeginOfChoice,
    BeginOfMove,
    BeginOfPlan,
    End,
    Line,
    Recorded,
    Recovering,
    Restarting,
    Stopping,
    Swapped,
    Undoing,
    told,
)
from gpu_runbook.protocol.logs import FilePosition
from gpu_runbook.protocol.plan import UNPROVEN, BatchMarks, ConsumerStep
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.server.docker.commands import Docker, LeftAlone, StepFailed
from gpu_runbook.server.docker.containers import lives, loops
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.migration import finish
from gpu_runbook.server.models.apply import chosen, point
from gpu_runbook.server.queue import stream
from gpu_runbook.server.run import journal_check, leftovers, release, stop_start, unfinished, watch
from gpu_runbook.server.run.swap import back, close
from gpu_runbook.server.run.unstage import unstage_all
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store

Lines = List[Line]

# What needs no recovery, by action.
CUT = {
    "prune": "removed things; the next fab prune goes on",
    "env": "wrote env files: fab env.diff says which are new",
}


def cut_off_runs(
    store: Store, engine: Engine, lock: int, batches: Sequence[BatchMarks], except_run: str = ""
) -> List[str]:
    """Bring every run that has no end to one; a sentence for each. The caller holds the lock, a descriptor.

    `batches`: whose runs are left alone, beside those that the plan of a run names.

    Raises Refusal when one can neither be finished nor undone: it then stays cut off, for the next try, and so do those
    that began after it.
    """
    sentences = []
    for run in journals.runs(store):
        path = store.journal(run)
        if run == except_run or journals.alive(path):
            continue
        lines = journals.read(path)
        if all(line.word != End.word for line in lines):
            sentences.append(_conclude(store, engine, lock, batches, run, lines))
    return sentences


def _conclude(store: Store, engine: Engine, lock: int, batches: Sequence[BatchMarks], run: str, lines: Lines) -> str:
    path = store.journal(run)
    begun, journal = os.path.getsize(path), Journal(path)
    try:
        try:
            journal.write(Recovering())
            end = End(*_ended(store, Docker(engine, journal, lock, batches), run, lines))
            leftovers.remove(store, run, lines)
            journal.write(end)
            return end.sentence
        finally:
            journal.close()
    except (StepFailed, Refusal, OSError) as error:
        unfinished.note(path, begun, lines, str(error))
        kind = error.kind if isinstance(error, Refusal) else "person"
        said = f"run {run} was cut off and can neither be finished nor undone: {error}"
        hints = (getattr(error, "hint", ""), ways_out(run))
        raise Refusal(said, "; ".join(filter(None, hints)), kind) from error


def _ended(store: Store, docker: Docker, run: str, lines: Lines) -> Tuple[str, str]:
    try:
        return _lead(store, docker, run, lines)
    except LeftAlone as error:  # and will be by every later try, which must not hold all other runs back
        return "needs-person", f"run {run} was cut off and cannot be brought to its end: {error}"


def _lead(store: Store, docker: Docker, run: str, lines: Lines) -> Tuple[str, str]:
    """Forward when all of the swap was done, back otherwise; (outcome, sentence)."""
    try:
        swaps = unfinished.swaps(lines, run)
        first = next((line.written for line in lines if line.word == Begin.word), None)
        if first is None:
            return "cancelled", f"run {run} was cut off before it began; nothing was changed"
        begin = decode(Begin, first, run)
        if begin.action == finish.ACTION and not store.is_in_root:  # it is written down in the new place
            return "done", finish.finish(store, decode(BeginOfMove, first, run))[0]
        if begin.action == "model":
            configs = decode(BeginOfChoice, first, run).configs
            if store.is_in_root:
                journal_check.check_configs(store, run, configs)
            point(store, run, configs)
            model = chosen(store) or "as it was"
            placed = model in [config.path for config in configs.values()]  # a copy or a link
            said = f"fab models says which model {model} is" if placed else f"the model in force is {model}"
            return "done", f"run {run} was cut off; {said}"
        if begin.action in CUT:
            return "done", f"run {run} was cut off while it {CUT[begin.action]}"
        of_plan = decode(BeginOfPlan, first, run)
    except Malformed as error:
        return "needs-person", f"the journal of run {run} is damaged: {error}"
    plan = of_plan.plan
    marks = (*docker.batches, *plan.left_alone)
    docker = dataclasses.replace(docker, batches=marks, unobeyed=unfinished.unobeyed(lines, swaps))
    if store.is_in_root:  # a container may have written all of that
        journal_check.check(store, docker, plan, swaps, lines)
    if told(lines, Restarting, Stopping):
        return stop_start.finish(store, docker, plan, begin.since)
    planned = [step for step in plan.consumers if step.change != "none"]
    if not swaps:
        unstage_all(store, docker, run)
        return "cancelled", f"run {run} was cut off before its swap; nothing was changed"
    undoing, recorded, whole = told(lines, Undoing), told(lines, Recorded), len(swaps) == len(planned)
    judged = plan.action == "deploy" and plan.undo_on_failure and not (undoing or recorded)
    ills = [_ill(step, swap, docker, lines) for step, swap in release.pairs(plan, swaps)] if judged else []
    ill = ", ".join(filter(None, ills))
    if not undoing and not ill and whole and all(finished(swap, docker) for swap in swaps):
        for swap in swaps:
            docker.ensure_restart(swap.new, swap.new_restart)
        if not recorded:
            release.enter(store, docker, plan, swaps, UNPROVEN, of_plan.variables)
            docker.journal.write(Recorded(plan.release))
        release.move_tags(docker, plan)
        _close(swaps)
        return "done", f"run {run} was cut off after its swap: release {plan.release} is in force, unproven"
    why = undoing[0].reason if undoing else ill or "the run was cut off"
    trouble = "; ".join(filter(None, [back(swap, docker) for swap in reversed(swaps)]))
    unstage_all(store, docker, run)
    _close(swaps)
    release.keep_failed(store, plan, swaps, why)
    cut = f"run {run} was cut off {'after' if ill and whole else 'in'} its swap{f', {ill}' if ill else ''}"
    if trouble:
        return "needs-person", f"{cut}, and not all of it could be undone: {trouble}"
    return "rolled-back", f"{cut} and {'was ' if ill else ''}undone: the server is as it was before"


def finished(swap: Swap, docker: Docker) -> bool:
    """Whether the new container is in force: running, under the service's name, and the old one is not."""
    new = docker.inspect(swap.new)
    if new is None or not lives(new) or new.name != swap.name:
        return False
    return not (swap.old and lives(docker.inspect(swap.old)))


def _ill(step: ConsumerStep, swap: Swap, docker: Docker, lines: Lines) -> str:
    """What would have failed the watch of the new container by its own fault: that of a broker that is away is none."""
    new = docker.inspect(swap.new)
    if new is None:
        return ""
    why = f"{step.service} ended again and again" if loops(new) else f"{step.service}: {new.sick}" if new.sick else ""
    if not why and watch.has_failed(docker.engine, step, new, _files(lines, swap.new)):
        why = f"{step.service}: its log says that it failed"  # without the line, as nobody knows here what to cover
    if not why:
        return ""
    try:
        if step.stream:
            stream.greet(step.stream)
    except stream.StreamError:
        return ""
    return why


def _files(lines: Lines, container: str) -> Optional[Tuple[FilePosition, ...]]:
    """How far the log files went when a container was started, None where that was not written down."""
    return next((one.files for one in told(lines, Swapped) if one.container == container), None)


def _close(swaps: List[Swap]) -> None:
    for swap in swaps:
        close(swap)
