"""Carries out one plan on one server: stage, swap, watch, record, tidy up; or back to how it was."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import (
    Closing,
    End,
    EndDetails,
    HandledOffsets,
    Recorded,
    Swapped,
    Swapping,
    Undoing,
    Undone,
    Unfinished,
    Unrecorded,
    Unstaging,
)
from gpu_runbook.protocol.plan import FAILED, PROVEN, UNPROVEN, ConsumerStep
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.server.docker.commands import LeftAlone, StepFailed
from gpu_runbook.server.docker.containers import fault, lives, outage
from gpu_runbook.server.queue import offset
from gpu_runbook.server.retention import after_run
from gpu_runbook.server.run import preconditions, release, stop_start, watch
from gpu_runbook.server.run.outcome import CANCELLED, DONE, NEEDS_PERSON, REFUSED, ROLLED_BACK, claim
from gpu_runbook.server.run.stage import Site, stage
from gpu_runbook.server.run.swap import back, close, forward
from gpu_runbook.server.run.unstage import unstage_all
from gpu_runbook.server.run.verdict import Verdict
from gpu_runbook.server.state import stopped
from gpu_runbook.server.system import files

SEE = "see fab status; fab deploy puts a release in its place, once that is free"


def execute(site: Site) -> Optional[End]:
    """The whole run, under its lock. What may happen on a server is in the End, never raised.

    None where it was not seen how it ended: a release in force that could not be recorded, a swap that could not be
    undone. Without an end, the next command takes the run for one that was cut off, and brings it to one.
    """
    plan = site.plan
    end = preconditions.refused(site)
    if end:
        return end
    steps = [step for step in plan.consumers if step.change != "none"]
    try:
        swaps = [stage(site, step) for step in steps]
    except (Refusal, StepFailed, OSError) as error:
        _unstage(site)
        return End(REFUSED, f"{files.why(error)}; nothing was changed", getattr(error, "hint", ""))
    if not claim(site.store.decision(plan.id), "go"):
        _unstage(site)
        return End(CANCELLED, "cancelled, nothing changed")
    end = _exchange(site, steps, swaps)
    if end:
        _close(site, swaps)
    return end


def _exchange(site: Site, steps: List[ConsumerStep], swaps: List[Swap]) -> Optional[End]:
    begun: List[Swap] = []
    notes: List[str] = []
    for step, swap in zip(steps, swaps):
        if not site.journal.write(Swapping(swap)):  # nobody could undo what nobody knows of
            why = f"the swap cannot be written down in {site.store.folder}: {site.journal.why}"
            return _undo(site, begun, why, None)
        begun.append(swap)
        try:
            notes += filter(None, [forward(swap, site.docker, watch.reader(site, step))])
            notes += _note_swap(site, step, swap)
        except (StepFailed, Refusal, OSError) as error:
            return _undo(site, begun, f"{step.service} could not be exchanged: {files.why(error)}", None)
    verdicts = _watch(site, steps, swaps)
    failed = next((service for service, found in verdicts.items() if found.outcome == FAILED), None)
    if failed is not None:
        reason = f"{failed} {_tag(steps, failed)} failed its watch: {verdicts[failed].reason}"
        return _failed(site, begun, reason, failed)
    return _record(site, swaps, verdicts, notes)


def _watch(site: Site, steps: List[ConsumerStep], swaps: List[Swap]) -> Dict[str, Verdict]:
    passwords = site.secrets.passwords
    entries = []
    for step, swap in zip(steps, swaps):
        found = site.docker.inspect(swap.new)
        started = found.started if found else 0.0
        at_swap = step.old.took_over if swap.replay and step.old else offset.position(step.offset, swap.offset_kept)
        logs = site.logs.get(step.service)
        entries.append(watch.watched(step, swap.new, passwords.get(step.service, ""), at_swap, started, logs))
    return watch.watch(site.docker, entries)


def _note_swap(site: Site, step: ConsumerStep, swap: Swap) -> List[str]:
    """Say how long the consumer was down, and whether the old one had to be killed."""
    new = site.docker.inspect(swap.new)
    old = site.docker.inspect(swap.old) if swap.old else None
    reached, down, code = offset.position(step.offset, swap.offset_kept), None, None
    if old and new and swap.old_ran:
        down, code = outage(old, new, site.journal.age), old.exit_code
    site.journal.write(Swapped(step.service, swap.new, reached, down, code, watch.begun(site, step)))
    return [*_left_behind(site, step, reached), *stop_start.killed(f"the old {step.service}", swap.grace, code)]


def _left_behind(site: Site, step: ConsumerStep, reached: Optional[int]) -> List[str]:
    """A rollback brings nothing back of what the release it leaves has handled: which messages those are."""
    begin = step.old.took_over if step.old else None
    if site.plan.action != "rollback" or step.old is None or begin is None or reached is None:
        return []
    if reached <= begin:
        nothing = f"release {step.old.release} has handled nothing of {step.service}; nothing is read again"
        return [nothing] if step.replay else []
    handled = f"release {step.old.release} has handled offsets {begin} to {reached - 1} of {step.service}"
    again = "they are read again, and what was written from them is written twice"
    return [f"{handled}; {again if step.replay else 'they are not read again'}"]


def _record(site: Site, swaps: List[Swap], verdicts: Dict[str, Verdict], notes: List[str]) -> Optional[End]:
    plan = site.plan
    unproven = [f"{service}: {found.reason}" for service, found in verdicts.items() if found.outcome == UNPROVEN]
    outcome = UNPROVEN if unproven else PROVEN
    failure = _enter(site, swaps, outcome)
    if failure:
        site.journal.write(Unrecorded(failure))
        return None
    problems = release.move_tags(site.docker, plan)
    try:
        notes += after_run.tidy(site.store, site.docker, plan.keep_releases)
    except (Refusal, StepFailed, OSError) as error:
        notes.append(f"what is no longer needed could not be tidied away: {error}")
    notes += _still_up(site, swaps)
    reasons = {service: found.reason for service, found in verdicts.items()}
    details = EndDetails(plan.release, tuple(notes), reasons)
    said = f"release {plan.release} is in force"
    if unproven:
        said += f", unproven ({'; '.join(unproven)})"
    elif verdicts:
        said += f" and proven ({'; '.join(f'{k}: {v.reason}' for k, v in verdicts.items())})"
    if problems:
        return End(NEEDS_PERSON, f"{said}, but {'; '.join(problems)}", "run the docker tag by hand", outcome, details)
    return End(DONE, said, "", outcome, details)


def _still_up(site: Site, swaps: List[Swap]) -> List[str]:
    """An engine that died after the watch has stopped the consumer, and does not always start it again."""
    notes = []
    for swap in swaps:
        try:
            found = site.docker.inspect(swap.new)
            why = found and not lives(found) and fault(found, site.docker.engine.address, swap.grace)
            if why:
                site.docker.ensure_started(swap.new)
                notes.append(f"{swap.service} {why} after its watch, and was started again")
        except (StepFailed, Refusal, OSError) as error:
            notes.append(f"whether {swap.service} still runs could not be seen: {error}")
    return notes


def _enter(site: Site, swaps: List[Swap], outcome: str) -> str:
    """Write the record; why it could not be written, empty when it is."""
    try:
        release.enter(site.store, site.docker, site.plan, swaps, outcome, site.hashes)
        site.journal.write(Recorded(site.plan.release, tuple(files.disk(site.plan.root))))
    except (Refusal, StepFailed, OSError) as error:
        return f"the record could not be written: {error}"
    return ""


def _failed(site: Site, begun: List[Swap], reason: str, service: str) -> Optional[End]:
    plan = site.plan
    if plan.undo_on_failure and plan.action == "deploy":
        return _undo(site, begun, reason, service)
    details = EndDetails(plan.release, log=_log(site, begun, service))
    if plan.action == "rollback":
        failure = _enter(site, begun, UNPROVEN)
        if failure:
            site.journal.write(Unfinished(f"{reason}; {failure}"))
            return None
        return End(NEEDS_PERSON, f"{reason}; a rollback is not undone", "see fab status and the log above", "", details)
    stopped.forget(site.store, [swap.service for swap in begun])
    return End(NEEDS_PERSON, f"{reason}; it was left running, as --no-rollback says", "fab rollback", "", details)


def _undo(site: Site, begun: List[Swap], reason: str, service: Optional[str]) -> Optional[End]:
    """Lead every swap back, newest first. The end says why, with the last lines of what failed.

    None when one could not be led back: whoever comes next tries again.
    """
    if not begun:
        _unstage(site)
        return End(REFUSED, f"{reason}; nothing was changed", "make room")
    site.journal.write(Undoing(reason))
    trouble, undone = [], True
    for swap in reversed(begun):
        try:
            said = back(swap, site.docker)
        except (StepFailed, Refusal, OSError) as error:
            said, undone = str(error), undone and isinstance(error, LeftAlone)
        trouble += [f"{swap.service}: {said}"] if said else []
    if not undone:
        site.journal.write(Unfinished(f"{reason}; and it is not undone yet: {'; '.join(trouble)}"))
        return None
    _unstage(site)
    handled = release.keep_failed(site.store, site.plan, begun, reason)
    details = EndDetails(log=_log(site, begun, service), handled=handled)
    site.journal.write(Undone(tuple(trouble)))
    if trouble:
        return End(NEEDS_PERSON, f"{reason}; and it could not be undone: {'; '.join(trouble)}", SEE, "", details)
    return End(ROLLED_BACK, f"{reason}; {_what_is_back(begun)}{_range(handled)}", "", "", details)


def _what_is_back(begun: List[Swap]) -> str:
    names = [swap.service for swap in begun if swap.old_ran]
    return f"the previous {' and '.join(names)} is back" if names else "nothing runs, as before"


def _range(handled: Sequence[HandledOffsets]) -> str:
    """Which messages the failed release has had its hands on."""
    said = [
        f"; {one.service} handled offsets {'up' if one.first is None else one.first} to {one.end - 1} meanwhile"
        for one in handled
        if one.end is not None and one.end > (one.first or 0)
    ]
    return "".join(said)


def _log(site: Site, begun: List[Swap], service: Optional[str]) -> Tuple[str, ...]:
    swap = next((swap for swap in begun if swap.service == service), begun[-1])
    return watch.last_words(site, swap.service, swap.new)


def _tag(steps: List[ConsumerStep], service: str) -> str:
    return next(step.tag for step in steps if step.service == service)


def _unstage(site: Site) -> None:
    try:
        unstage_all(site.store, site.docker, site.plan.id)
    except (StepFailed, Refusal, OSError) as error:
        site.journal.write(Unstaging(str(error)))


def _close(site: Site, swaps: List[Swap]) -> None:
    try:
        for swap in swaps:
            close(swap)
    except Refusal as error:
        site.journal.write(Closing(str(error)))
