"""Verb: what was done on this server, run by run, as the journals tell it."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.history import PastRun, ServiceChange
from gpu_runbook.protocol.plan import Plan
from gpu_runbook.protocol.requests import HistoryRequest
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store, find_store

DOWN = ("swapped", "restarted")  # what tells for how long a consumer was down

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
            emit({"event": "journal", "line": line})
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
    begin = next((line for line in lines if line["event"] == "begin"), {})
    end: Dict[str, Any] = next((line for line in reversed(lines) if line["event"] == "end"), {})
    cut_off = any(line["event"] == "recovering" for line in lines)  # from then on its clock began anew
    outages = [line["outage"] for line in lines if line["event"] in DOWN and _is_number(line.get("outage"))]
    return PastRun(
        run=run,
        state=state.state,
        action=state.action,
        who=state.who,
        laptop=str(begin.get("laptop", "")),
        at=state.since,
        outcome=state.outcome,
        sentence=state.sentence,
        seconds=end["t"] if _is_number(end.get("t")) and not cut_off else None,
        outage=max(outages, default=None),
        changes=_changes(begin, contents),
        skipped=_skipped(begin),
        damaged=damaged,
    )


def _lines(path: str) -> Tuple[List[Dict[str, Any]], int]:
    """What can be read of a journal, and how many lines cannot; a torn last one of a run under way is no damage."""
    with open(path, "rb") as file:
        raws = file.read().split(b"\n")
    parsed = [journals.parse(raw) for raw in raws[:-1] if raw]
    lines = [line for line in parsed if line is not None]
    return lines, len(parsed) - len(lines)


def _changes(begin: Dict[str, Any], contents: Dict[str, Contents]) -> Tuple[ServiceChange, ...]:
    """By the plan that the run began with."""
    try:
        plan = decode(Plan, begin.get("plan"), "plan")
    except Malformed:
        return ()
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


def _skipped(begin: Dict[str, Any]) -> Dict[str, str]:
    plan = begin.get("plan")
    skipped = plan.get("skipped") if isinstance(plan, dict) else None
    return {str(row): str(why) for row, why in skipped.items()} if isinstance(skipped, dict) else {}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
