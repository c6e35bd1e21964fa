"""What stands before every run: earlier ones are brought to an end, and what it was planned from must still be so."""

from __future__ import annotations

from typing import Any, Optional

from remote import recover
from remote.docker import StepFailed
from remote.ends import NEEDS_PERSON, REFUSED, End
from remote.occupants import occupants
from remote.stage import Site
from remote.words import Refusal


def refused(site: Site) -> Optional[End]:
    """The end of a run that must not begin, None for one that may. The caller holds the lock."""
    try:
        recover.cut_off_runs(site.store, site.docker.engine, site.docker.lock, except_run=site.plan.id)
        _check_starting_point(site)
    except Refusal as error:
        return End(REFUSED, error.message, error.hint)
    except StepFailed as error:
        return End(NEEDS_PERSON, f"an earlier run was cut off and could not be finished or undone: {error}")
    return None


def _check_starting_point(site: Site) -> None:
    """What the plan was made from must still be so."""
    listed = site.docker.engine.containers()
    for step in site.plan.consumers:
        found = occupants(site.docker.engine, step.service, listed)
        expected = [(step.old.container, step.old.running)] if step.old else []
        if [(entry.container, entry.running) for entry in found] != expected:
            raise Refusal(
                f"somebody changed {step.service} since the look: {_named(found)}; nothing was changed",
                "look at fab status and run it again",
            )


def _named(found: Any) -> str:
    said = [f"{entry.name} ({entry.container[:12]}, {'running' if entry.running else 'stopped'})" for entry in found]
    return "now there is " + (" and ".join(said) or "no such container")
