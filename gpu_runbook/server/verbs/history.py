"""Verb: what was done on this server, run by run, as the journals tell it."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.history import PastRun, ServiceChange
from gpu_runbook.protocol.journal import Begin, BeginOfPlan, End, Line, Recovering, Restarted, Started, Swapped, told
from gpu_runbook.protocol.plan import Plan
from gpu_runbook.protocol.requests import HistoryRequest
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store, find_store

Contents = Dict[str, Tuple[str, str]]  # service -> tag and image of a release


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a HistoryRequest.

    The answer has runs, newest first. Of one that is shown, every line of the journal is an event before it.
    """
    asked = decode(HistoryRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    if asked.show is not None:
        run = journals.chosen(store, asked.show)
        for line in journals.read(store.journal(run)):
            emit({"event": "journal", "line": line.written})
        return {"runs": [encode(past) for past in _told(store) if past.run == run]}
    return {"runs": [encode(past) for past in newest(store, asked.limit)]}


def newest(store: Store, limit: int) -> List[PastRun]:
    """So many runs, newest first."""
    return _told(store)[-limit:][::-1] if limit else []


def _told(store: Store) -> List[PastRun]:
    contents: Dict[str, Contents] = {}
    return [_past(store, run, contents) for run in journals.runs(store)]


def _past(store: Store, run: str, contents: Dict[str, Contents]) -> PastRun:
    """Tell one run, oldest first; `contents` is what each release known so far is made of, and learns this one's."""
    path = store.journal(run)
    lines, damaged = _lines(path)
    state = journals.state(store, run)
    begin = next(iter(told(lines, Begin)), None)
    plan = next((one.plan for one in told(lines, BeginOfPlan)), None)
    took = [line.t for line in lines if line.word == End.word][-1:]
    cut_off = any(line.word == Recovering.word for line in lines)  # from then on its clock began anew
    started: List[Started] = told(lines, Swapped, Restarted)
    outages = [one.outage for one in started if one.outage is not None]
    return PastRun(
        run=run,
        state=state.state,
        action=state.action,
        who=state.who,
        laptop=begin.laptop if begin else "",
        at=state.since,
        outcome=state.outcome,
        sentence=state.sentence,
        seconds=took[0] if took and not cut_off else None,
        outage=max(outages, default=None),
        changes=_changes(plan, contents) if plan else (),
        skipped=plan.skipped if plan else {},
        damaged=damaged,
    )


def _lines(path: str) -> Tuple[List[Line], int]:
    """What can be read of a journal, and how many lines cannot; a torn last one of a run under way is no damage."""
    with open(path, "rb") as file:
        raws = file.read().split(b"\n")
    parsed = [journals.parse(raw) for raw in raws[:-1] if raw]
    lines = [line for line in parsed if line is not None]
    return lines, len(parsed) - len(lines)


def _changes(plan: Plan, contents: Dict[str, Contents]) -> Tuple[ServiceChange, ...]:
    """By the plan that the run began with."""
    if plan.action not in ("deploy", "rollback"):
        return ()
    adopted = {step.service: ("", step.old.image) for step in plan.consumers if step.old and not step.old.ours}
    before = {**contents.get(plan.leaves, {}), **adopted}
    placed = {step.service: (step.tag, step.spec.image) for step in plan.consumers if step.spec}
    placed.update({step.service: (step.tag, step.image) for step in plan.batches})
    after = contents.setdefault(plan.release, {**before, **placed})  # a rollback's is known already
    tags = {step.service: step.tag for step in plan.consumers if step.change != "none"}
    tags.update({step.service: step.tag for step in plan.batches if step.change != "none"})
    return tuple(
        ServiceChange(service, *before.get(service, ("", "")), *after.get(service, (tag, "")))
        for service, tag in tags.items()
    )
