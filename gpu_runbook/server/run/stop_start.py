"""Stops and starts a consumer in its place. Both lead to a state: the same lines end a run that was cut off."""

from __future__ import annotations

from typing import Optional, Tuple

from gpu_runbook.common.container import KILLED
from gpu_runbook.protocol.pause import IntendedStop
from gpu_runbook.protocol.plan import ConsumerStep, Plan
from gpu_runbook.server.docker.commands import Docker, Final
from gpu_runbook.server.state import stopped
from gpu_runbook.server.state.store import Store


def stop(store: Store, docker: Docker, plan: Plan, step: ConsumerStep, at: str) -> None:
    """Remember that it is meant, then stop it. May be repeated. Raises Refusal with nothing changed, or StepFailed."""
    docker.refuse_run(step.container)
    stopped.remember(store, step.service, IntendedStop(plan.who, at, step.reason))
    if step.restart == "always":  # an engine that starts would start it again, whoever has stopped it
        docker.ensure_restart(step.container, "unless-stopped")
    docker.ensure_stopped(step.container, step.stop_grace)


def start(docker: Docker, step: ConsumerStep) -> None:
    """Start it, with the restart policy that it is to have. May be repeated. Raises StepFailed.

    One that was told to stop and was not seen to is stopped first: it would end later, with nobody to start it.
    """
    if step.container in docker.unobeyed:
        docker.ensure_stopped(step.container, step.stop_grace)
    docker.ensure_started(step.container)
    docker.ensure_restart(step.container, step.restart)


def killed(what: str, grace: int, code: Optional[int]) -> Tuple[str, ...]:
    """What there is to know of one that was stopped and ended with a code: that its grace period ran out, or nothing.

    None is the code of one that did not run.
    """
    if code != KILLED:
        return ()
    said = f"{what} did not stop within its grace of {grace} s and was killed ({KILLED}): its offset may be behind, "
    return (f"{said}and messages it had handled are read again",)


def finish(store: Store, docker: Docker, plan: Plan, at: str) -> Tuple[str, str]:
    """Lead a stop or restart that was cut off to its end; (outcome, sentence). Raises StepFailed to be tried again."""
    step = plan.consumers[0]
    found, named = docker.inspect(step.container), docker.inspect(step.service)
    cut = f"run {plan.id} was cut off"
    if found is None or (named and named.id != step.container):
        return "needs-person", f"{cut}, and somebody has removed or replaced {step.service} since; it was left alone"
    try:
        if step.change == "stop":
            stop(store, docker, plan, step, at)
            return "done", f"{cut}; {step.service} is stopped, as it was meant"
        start(docker, step)
    except Final as error:
        return "needs-person", f"{cut}, and its {step.change} of {step.service} failed: {error}"
    stopped.forget(store, [step.service])
    return "done", f"{cut}; {step.service} runs again, unwatched"
