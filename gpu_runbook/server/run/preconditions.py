"""What stands before every run: earlier ones have come to an end, and what it was planned from is still so."""

from __future__ import annotations

from typing import Any, Optional

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.journal import End
from gpu_runbook.server.docker import disk
from gpu_runbook.server.docker.commands import StepFailed
from gpu_runbook.server.docker.containers import occupants
from gpu_runbook.server.docker.ours import MadeByUs
from gpu_runbook.server.run.outcome import REFUSED
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import record
from gpu_runbook.server.system import files


def refused(site: Site) -> Optional[End]:
    """The end of a run that must not begin, None for one that may. The caller holds the lock."""
    try:
        earlier = (run for run in journals.runs(site.store) if run != site.plan.id)
        cut_off = next((run for run in earlier if journals.state(site.store, run).state == "cut-off"), None)
        if cut_off:  # since the look, after which it would have been brought to an end
            return End(REFUSED, f"run {cut_off} was cut off since the look; nothing was changed", "run it again")
        _check_starting_point(site)
        _refuse_runs(site)
    except Refusal as error:
        return End(REFUSED, str(error), error.hint)
    except (StepFailed, OSError) as error:
        return End(REFUSED, f"{files.why(error)}; nothing was changed")
    return _unstartable(site)


def _unstartable(site: Site) -> Optional[End]:
    """What runs is not stopped where docker could not start it again, nor what is to take its place."""
    for step in site.plan.consumers:
        if step.change not in ("none", "stop") and step.old and step.old.running:
            why = disk.trouble(site.docker.engine)
            said = f"{step.service} was not stopped: it could not be started again, as {why}; nothing was changed"
            return End(REFUSED, said, disk.REMEDY) if why else None
    return None


def _refuse_runs(site: Site) -> None:
    """Nothing that is there already and is to be changed may be a run of a batch service."""
    for step in site.plan.consumers:
        if step.change != "none":
            for container in filter(None, (step.old.container if step.old else "", step.container)):
                site.docker.refuse_run(container)


def _check_starting_point(site: Site) -> None:
    """What the plan was made from must still be so."""
    listed = site.docker.engine.containers()
    known = MadeByUs(site.store, record.load(site.store)[0])
    for step in site.plan.consumers:
        found = occupants(site.docker.engine, known, step.service, listed)
        expected = [(step.old.container, step.old.running)] if step.old else []
        if [(entry.container, entry.running) for entry in found] != expected:
            raise Refusal(
                f"somebody changed {step.service} since the look: {_there(found, step.service)}; nothing was changed",
                "look at fab status and run it again",
            )


def _there(found: Any, service: str) -> str:
    states = [f"{one.container[:12]}, {'running' if one.running else 'stopped'}" for one in found]
    said = [f"{named(one.name, service)} ({state})" for one, state in zip(found, states)]
    return "now there is " + (" and ".join(said) or "no such container")
