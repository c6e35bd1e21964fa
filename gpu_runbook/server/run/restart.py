"""Restarts or stops one consumer in its place, and watches it."""

from __future__ import annotations

from typing import Optional

from gpu_runbook.common.clock import now
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import End, EndDetails, Restarted, Restarting, Stopping, Unfinished
from gpu_runbook.protocol.plan import FAILED, ConsumerStep
from gpu_runbook.server.docker.commands import Final, StepFailed
from gpu_runbook.server.docker.containers import outage
from gpu_runbook.server.queue import offset
from gpu_runbook.server.run import preconditions, stop_start, watch
from gpu_runbook.server.run.outcome import CANCELLED, DONE, NEEDS_PERSON, REFUSED, claim
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.state import stopped

BACK = "fab rollback goes back to the release before; fab deploy --force makes the container anew"


def execute(site: Site) -> Optional[End]:
    """The whole run, under its lock. What may happen on a server is in the End, never raised.

    None where it was not seen how the consumer is: whoever comes next brings the run to its end.
    """
    (step,) = site.plan.consumers
    end = preconditions.refused(site)
    if end:
        return end
    if not claim(site.store.decision(site.plan.id), "go"):
        return End(CANCELLED, "cancelled, nothing changed")
    begins = Stopping if step.change == "stop" else Restarting
    if not site.journal.write(begins(step.service, step.container, _grace(step))):
        why = f"nothing can be written down in {site.store.folder}: {site.journal.why}"
        return End(REFUSED, f"{why}; nothing was changed", "make room")
    try:
        return _stop(site, step) if step.change == "stop" else _restart(site, step)
    except Refusal as error:
        return End(REFUSED, f"{error.message}; nothing was changed", error.hint)


def _stop(site: Site, step: ConsumerStep) -> Optional[End]:
    try:
        stop_start.stop(site.store, site.docker, site.plan, step, now())
        found = site.docker.inspect(step.container)
    except StepFailed as error:
        why = f"{step.service} could not be stopped: {error}"
        if _is_open(site, error, why):
            return None
        return End(NEEDS_PERSON, why, "see fab status, and docker there")
    again = f"fab restart {step.service} starts it"
    if not (step.old and step.old.running):
        return End(DONE, f"{step.service} was stopped already; from now on it is meant to be: {again}")
    notes = stop_start.killed(step.service, step.stop_grace, found.exit_code if found else None)
    return End(DONE, f"{step.service} is stopped and stays so: {again}", "", "", EndDetails(notes=notes))


def _restart(site: Site, step: ConsumerStep) -> Optional[End]:
    stopped.forget(site.store, [step.service])
    try:
        begin = watch.reader(site, step)
        site.docker.ensure_stopped(step.container, step.stop_grace, sync=False)
        before = site.docker.present(step.container)
        begin()
        position = offset.upcoming(step.offset)
        stop_start.start(site.docker, step)
        after = site.docker.present(step.container)
    except StepFailed as error:
        why = f"{step.service} could not be restarted: {error}"
        return None if _is_open(site, error, why) else _failed(site, step, why)
    said, down, code = f"{step.service} was started", None, None
    if step.old and step.old.running:
        down, code = outage(before, after, site.journal.age), before.exit_code
        said = f"{step.service} was restarted, down for {down:.2f} s"
    site.journal.write(Restarted(step.service, step.container, position, down, code, watch.begun(site, step)))
    notes = stop_start.killed(step.service, step.stop_grace, code)
    password = site.secrets.passwords.get(step.service, "")
    watched = watch.watched(step, step.container, password, position, after.started, site.logs.get(step.service))
    verdict = watch.watch(site.docker, [watched])[step.service]
    if verdict.outcome == FAILED:
        return _failed(site, step, f"{said}, and failed its watch: {verdict.reason}")
    said += f", and is {verdict.outcome}: {verdict.reason}"
    return End(DONE, said, "", verdict.outcome, EndDetails(site.plan.release, notes))


def _failed(site: Site, step: ConsumerStep, reason: str) -> End:
    return End(NEEDS_PERSON, reason, BACK, "", EndDetails(log=watch.last_words(site, step.service, step.container)))


def _is_open(site: Site, error: StepFailed, why: str) -> bool:
    """Whether it was not seen how the consumer is: then the run has no end yet, and its journal says why."""
    if isinstance(error, Final):
        return False
    site.journal.write(Unfinished(why))
    return True


def _grace(step: ConsumerStep) -> int:
    """The seconds it has to stop, 0 for one that does not run."""
    return step.stop_grace if step.old and step.old.running else 0
