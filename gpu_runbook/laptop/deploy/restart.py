"""What `fab restart` and `fab stop` do to one consumer: look, plan, show, run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpu_runbook.common.run_id import following
from gpu_runbook.laptop.deploy import workflow
from gpu_runbook.laptop.deploy.holds import on_purpose, rows
from gpu_runbook.laptop.deploy.plan import Order, frame, occupant, step_today
from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.image_tag import short
from gpu_runbook.laptop.inventory.model import Consumer, Inventory, Service
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.check import CRITICAL, WARNING
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.plan import Occupant, Plan
from gpu_runbook.protocol.snapshot import Snapshot

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.deploy import OperateAnswer

RESTART, STOP = "restart", "stop"


def consumer(services: Sequence[Service], change: str) -> Consumer:
    """The one consumer that was named. Raises BadInput."""
    batch = next((service.name for service in services if not isinstance(service, Consumer)), None)
    if batch:
        raise BadInput(f"fab {change} touches consumers only, and {batch} is none", "training is started by a person")
    if len(services) != 1:
        raise BadInput(f"fab {change} takes one consumer at a time", f"fab {change} {services[0].name}")
    (found,) = services
    assert isinstance(found, Consumer)  # noqa: S101  all of them are
    return found


def operate(session: Session, job: workflow.Job, screen: Screen, change: str, reason: str = "") -> OperateAnswer:
    """Raises what ends it early; the result is what --json prints."""
    service = consumer(job.services, change)
    look = workflow.looked(session, job, screen, None)
    with workflow.undisturbed(session):
        workflow.let_pass(session, look, screen)
        _respect_pause(session, look, screen, change)
        plan = operation_plan(job.inventory, job.resolved, service, look, job.order, change, reason)
    stop = _already_stopped(service, look, change, reason)
    if stop:
        screen.say(f"{session.host.name}: {service.name} is {stop} already, nothing was done", "green")
        return {"server": session.host.name, "plan": encode(plan), "outcome": "up-to-date"}
    screen.say(f"{session.host.name}: {plan.action} {plan.id}: {_what(plan)}", copyable=True)
    ended = workflow.run(session, job, plan, screen)
    return {
        "server": session.host.name,
        "plan": encode(plan),
        "run": plan.id,
        "outcome": "done",
        "verdict": ended.verdict,
        "sentence": ended.sentence,
        "notes": list(ended.notes),
    }


def _already_stopped(service: Consumer, look: Snapshot, change: str, reason: str) -> str:
    """How a consumer was stopped on purpose that is to be stopped, unless there is a new reason to keep; or nothing."""
    stop, running = look.stopped.get(service.name), any(one.running for one in look.occupants[service.name])
    return on_purpose(stop) if stop and not running and change == STOP and not reason else ""


def _respect_pause(session: Session, look: Snapshot, screen: Screen, change: str) -> None:
    """A pause holds a restart back; a stop may be what somebody needs at once."""
    found = rows(look, CRITICAL if change == RESTART else WARNING)
    if change == RESTART and found:
        raise Refused(f"{session.host.name}: nothing was changed: {found[0].sentence}", found[0].hint)
    screen.rows(found)


def operation_plan(
    inventory: Inventory, resolved: Resolved, service: Consumer, look: Snapshot, order: Order, change: str, reason: str
) -> Plan:
    """The plan of a restart or a stop. Raises Refused where no container of ours is in the service's place."""
    old = occupant(resolved, service, look)
    server = resolved.host.name
    if old is None:
        raise Refused(
            f"{server}: {service.name} has no container; nothing was changed", f"fab deploy --service {service.name}"
        )
    if not old.ours:
        raise Refused(
            f"{server}: the container of {service.name} was not made by this tool "
            f"({named(old.name, service.name)}, {old.container[:12]}); nothing was changed",
            "docker on the server does it; or take the container over: fab deploy --adopt",
        )
    release = look.record.find(look.record.current)
    placed = release.services.get(service.name) if release else None
    step = dataclasses.replace(
        step_today(resolved, service, change, placed.tag if placed else "", old),
        config=None,
        container=old.container,
        restart=_policy(old, placed.restart if placed and placed.container == old.container else ""),
        reason=reason,
    )
    run, current = following(look.at, look.newest), look.record.current
    return dataclasses.replace(
        frame(inventory, resolved, look, order, run), action=change, release=current, consumers=(step,)
    )


def _policy(old: Occupant, on_record: str) -> str:
    """The restart policy it is to have: a stop may have changed that of one which would come back by itself."""
    return old.restart if old.running else on_record or old.restart


def _what(plan: Plan) -> str:
    (step,) = plan.consumers
    assert step.old  # noqa: S101  the plan is made from it
    state = f"it has {step.stop_grace} s to stop" if step.old.running else "it does not run"
    return f"{step.service} {short(step.tag)} of release {named(step.old.release) or 'none'}, {state}"
