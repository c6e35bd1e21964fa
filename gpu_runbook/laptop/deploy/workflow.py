"""What `fab deploy` and `fab rollback` do to one server: look, gate, plan, show, fetch, run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from gpu_runbook.laptop.deploy import (
    holds,
    journal_text,
    origin,
    plan_text,
    preflight,
    result_rows,
    snapshot,
    state_move,
)
from gpu_runbook.laptop.deploy.journal_text import News
from gpu_runbook.laptop.deploy.plan import Order, changed_variables, deploy_plan, images_to_fetch, nothing_to_do
from gpu_runbook.laptop.deploy.recovery import closed, ended_first
from gpu_runbook.laptop.deploy.rollback_plan import rollback_plan
from gpu_runbook.laptop.deploy.run import Succeeded, execute
from gpu_runbook.laptop.errors import BadInput, CannotConnect, Defect, LostContact, Refused
from gpu_runbook.laptop.gates import ask as gating
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.model import Inventory, Service
from gpu_runbook.laptop.rpc.call import DAY, SILENCE, Deadline, ask, cancelled, entry
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal import interrupts
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.check import COMMAND, CRITICAL, OK, SKIPPED, WARNING, Check
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.deadlines import PULL_STANDS_STILL
from gpu_runbook.protocol.forms import Image
from gpu_runbook.protocol.journal import JournalEvent
from gpu_runbook.protocol.plan import Plan
from gpu_runbook.protocol.requests import ImagesRequest, Secrets
from gpu_runbook.protocol.snapshot import ImageIdentity, Snapshot
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.deploy import DeployAnswer


@dataclass(frozen=True)
class Job:
    """One order for one server, with everything that is needed to carry it out."""

    inventory: Inventory
    resolved: Resolved
    services: Sequence[Service]
    order: Order
    dry_run: bool = False


def deploy(session: Session, job: Job, screen: Screen) -> DeployAnswer:
    """Raises what ends it early; the result is what --json prints."""
    look = looked(session, job, screen, job.order.tags)
    with undisturbed(session):
        with screen.working(f"{session.host.name}: looking at the images"):
            look = origin.told(session, job.resolved, look, job.order.tags)
        rows = _preflight(job, look)
        _refuse_beside(session, look)
        skipped = _gate(session, job, look, rows, screen)
        plan = deploy_plan(job.inventory, job.resolved, job.services, look, job.order)
    return _execute(session, job, dataclasses.replace(plan, skipped=skipped), look, screen, rows)


def rollback(session: Session, job: Job, screen: Screen) -> DeployAnswer:
    """The same with a plan from the record. Needs neither registry nor free disk."""
    look = looked(session, job, screen, None)
    with undisturbed(session):
        let_pass(session, look, screen)
        screen.rows(holds.rows(look, WARNING))
        plan = rollback_plan(job.inventory, job.resolved, job.services, look, job.order)
        changed = changed_variables(look, look.record.find(plan.release))
        if changed:
            sentence = f"release {plan.release} had other values: {', '.join(changed)}; its own config goes back"
            screen.rows([Check(".env", WARNING, sentence, hint="if a password was changed meanwhile, deploy instead")])
    return _execute(session, job, plan, look, screen, look.rows)


def _preflight(job: Job, look: Snapshot) -> list[Check]:
    """What is to be known before a deploy, in the order in which it is shown."""
    tags = preflight.tag_rows(job.services, look, job.order.tags)
    found = [*gating.absent(job.inventory), *look.rows, *tags, preflight.env_row(job.resolved, look)]
    return preflight.ordered([*found, *holds.rows(look, CRITICAL)], job.services)


def looked(session: Session, job: Job, screen: Screen, tags: Any) -> Snapshot:
    """One look; a run that was cut off is brought to an end first, or closed, and the server is looked at again."""
    with undisturbed(session), screen.working(f"{session.host.name}: looking"):
        look = snapshot.look(session, job.inventory, job.resolved, job.services, tags)
    if job.order.supersede:
        look = _superseded(session, job, screen, look, tags)
    inventory, host, who = job.inventory, job.resolved.host, job.order.who
    if look.run and look.run.state == "cut-off":  # nor could it be brought to its end
        _refuse_for(session, [row for row in look.rows if row.name == COMMAND and row.level == CRITICAL])
    if job.dry_run or not ended_first(session, inventory, host, who, look.run, screen):
        return look
    with undisturbed(session):
        return snapshot.look(session, job.inventory, job.resolved, job.services, tags)


def _superseded(session: Session, job: Job, screen: Screen, look: Snapshot, tags: Any) -> Snapshot:
    """Close the run that was named, unless the deploy is held back anyhow; what there is then."""
    server, run = session.host.name, job.order.supersede
    if look.run is None or look.run.id != run or look.run.state != "cut-off":
        hint = "name its server with --hosts, or leave --supersede out; fab history names what there was"
        raise BadInput(f"{server}: no run {run} waits there for its end", hint)
    if job.dry_run:
        return dataclasses.replace(look, run=None)
    _refuse_held_back(session, job, look, preflight.with_skips(_preflight(job, look), job.order.skips))
    who, reason = job.order.who, "a deploy goes ahead without it"
    for sentence in closed(session, job.inventory, job.resolved.host, who, run, reason, deploys=True):
        screen.say(f"{server}: {sentence}", "yellow")
    with undisturbed(session):
        return snapshot.look(session, job.inventory, job.resolved, job.services, tags)


def _gate(session: Session, job: Job, look: Snapshot, rows: Sequence[Check], screen: Screen) -> dict[str, str]:
    """Show rows of the preflight; raise Refused for what holds the deploy back, or give what is gone past, and why."""
    shown = preflight.with_skips(rows, job.order.skips)
    screen.rows(shown)
    _refuse_held_back(session, job, look, shown)
    return preflight.gone_past(rows, job.order.skips)


def _refuse_held_back(session: Session, job: Job, look: Snapshot, shown: Sequence[Check]) -> None:
    wrong = preflight.blocking(shown, job.services, look)
    # In a dry run the image need not be on the server, by whose id alone some reports can be told apart.
    _refuse_for(
        session, [_with_a_way_out(row, job) for row in wrong if not (job.dry_run and row.figures.get("awaits"))]
    )


def _with_a_way_out(row: Check, job: Job) -> Check:
    """What holds back a batch service holds back nothing else."""
    others = [service.name for service in job.services if service.name != row.name]
    if len(others) == len(job.services) or not others:
        return row
    return dataclasses.replace(row, hint=f"{row.hint}; or deploy the rest alone: --service {','.join(others)}")


def let_pass(session: Session, look: Snapshot, screen: Screen) -> None:
    """Only what makes a rollback impossible holds it back; the rest is said."""
    screen.rows([row for row in look.rows if row.level not in (OK, SKIPPED)])
    _refuse_beside(session, look)
    _refuse_for(session, [row for row in look.rows if row.level == CRITICAL and preflight.rules_out(row)])


def _refuse_beside(session: Session, look: Snapshot) -> None:
    if look.run is not None and look.run.state == "under-way":
        run = look.run
        raise Refused(
            f"{session.host.name}: {run.who} is at it: {run.action} {run.id} since {run.since}, at step {run.step}",
            f"wait for it, or watch it: fab follow --run {run.id}",
        )


def _refuse_for(session: Session, wrong: Sequence[Check]) -> None:
    if wrong:
        said = "; ".join(f"{row.name}: {row.sentence}" for row in wrong)
        hints = "; ".join(dict.fromkeys(row.hint for row in wrong if row.hint))
        raise Refused(f"{session.host.name}: nothing was changed: {said}", hints)


def _execute(
    session: Session, job: Job, plan: Plan, look: Snapshot, screen: Screen, rows: Sequence[Check]
) -> DeployAnswer:
    for line in plan_text.lines(plan, look, with_commands=job.dry_run):
        screen.say(line, copyable=True)
    if nothing_to_do(plan) and not job.dry_run:
        if plan.action == "deploy":
            state_move.make_ready(session, job.inventory, job.resolved, look.rows, screen)
        screen.say(f"{session.host.name}: up to date, nothing was stopped", "green")
        return {**_answer(session, plan, rows, "up-to-date"), "release": look.record.current}
    known = dict(look.identities)
    with undisturbed(session):
        if not job.dry_run:
            known |= _fetch(session, job, images_to_fetch(plan, look), screen)
        if plan.action == "deploy":
            gates = _gates(job, plan, look, known, screen)
            plan = dataclasses.replace(plan, skipped=plan.skipped | _gate(session, job, look, gates, screen))
            rows = (*rows, *gates)
    if job.dry_run:
        return _answer(session, plan, rows, "dry-run")
    if plan.action == "deploy":
        state_move.make_ready(session, job.inventory, job.resolved, look.rows, screen)
    events: list[JournalEvent] = []
    ended = run(session, job, plan, screen, events.append)
    after = show_after(job.inventory, session.host.name, job.resolved.host.root, events, screen)
    return {
        **_answer(session, plan, rows, "done"),
        "verdict": ended.verdict,
        "release": ended.release,
        "sentence": ended.sentence,
        "after": [encode(row) for row in after],
    }


def _answer(
    session: Session, plan: Plan, rows: Sequence[Check], outcome: Literal["done", "up-to-date", "dry-run"]
) -> DeployAnswer:
    server = session.host.name
    return {"server": server, "plan": encode(plan), "rows": [encode(row) for row in rows], "outcome": outcome}


def show_after(
    inventory: Inventory, server: str, root: str, events: Sequence[JournalEvent], screen: Screen
) -> list[Check]:
    """Show what stands at the end of a run, by the events of its journal. `root`: of the server's data."""
    rows = result_rows.rows(events, root, inventory.health.disk)
    if rows:
        screen.say(f"{server}: after it", "bold")
        screen.rows(rows)
    return rows


def _gates(job: Job, plan: Plan, look: Snapshot, known: gating.Identities, screen: Screen) -> list[Check]:
    """What is asked of others about the images that this plan brings."""
    changing = {step.service for step in plan.consumers if step.change != "none"}
    changing |= {batch.service for batch in plan.batches if batch.change != "none"}
    services = [service for service in job.services if service.name in changing]
    if not services or not (job.inventory.ci or job.inventory.scan):
        return []
    with screen.working("asking the gates"):
        return gating.rows(job.inventory, job.resolved, services, job.order.tags, look, known)


def _fetch(session: Session, job: Job, images: list[str], screen: Screen) -> dict[str, ImageIdentity]:
    """Pull what is not there yet; what the server then knows of it, by image."""
    if not images:
        return {}
    address, login = job.resolved.host.docker_host or "", snapshot.login_request(job.resolved.login)
    request = ImagesRequest(address, tuple(images), login)
    server = session.host.name
    with screen.working(f"{server}: pulling {len(images)} image{'s' if len(images) > 1 else ''}") as passing:
        try:
            deadline = Deadline(DAY, PULL_STANDS_STILL + SILENCE)
            answer = ask(session, "pull", request, pull_teller(passing, server), deadline=deadline)
        except LostContact as error:
            raise CannotConnect(f"{error.message} during the pull; nothing was changed", "run it again") from error
    return entry(server, answer, "images", dict[Image, ImageIdentity])


def run(
    session: Session, job: Job, plan: Plan, screen: Screen, note: Callable[[JournalEvent], None] | None = None
) -> Succeeded:
    """Send the plan and follow it to its end; `note` hears of every event of the journal. Raises as `execute`."""
    rendered = {step.service for step in plan.consumers if step.config and not step.config_from}
    configs = {service.name: job.resolved.config(service) for service in job.services if service.name in rendered}
    passwords = {service.name: job.resolved.stream_password(service) for service in job.services}
    secrets = Secrets(
        {name: text.reveal() for name, text in configs.items() if text},
        {name: password.reveal() for name, password in passwords.items() if password},
        snapshot.reveal_all(job.resolved),
        tuple(job.resolved.hidden),
    )
    with screen.working(f"{session.host.name}: {plan.action} under way") as passing:
        ended = execute(session, plan, secrets, teller(screen, passing, note))
    screen.say(ended.sentence, "green" if ended.verdict != "unproven" else "yellow")
    for text in ended.notes:
        screen.say(text, "yellow")
    return ended


def teller(
    screen: Screen, passing: Callable[[str], None], note: Callable[[JournalEvent], None] | None = None
) -> Callable[[News], None]:
    """Tells of the events of a journal as they come; `note` hears of each."""

    def tell(event: News) -> None:
        stays, passes = journal_text.sentence(event), journal_text.passing(event)
        if note and isinstance(event, JournalEvent):
            note(event)
        if stays:
            screen.say(f"  {stays}")
        if passes:
            passing(passes)

    return tell


def pull_teller(passing: Callable[[str], None], server: str) -> Callable[[dict[str, Any]], None]:
    """Tells of the progress of a pull. Raises Defect for an event that is none."""

    def tell(event: dict[str, Any]) -> None:
        try:
            said = journal_text.pulling(event)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise Defect(f"{server}: an event is not what it should be", "run it again") from error
        if said:
            passing(said)

    return tell


@contextmanager
def undisturbed(session: Session) -> Iterator[None]:
    """Until the run begins, Ctrl-C leaves everything as it is."""
    try:
        interrupts.hear()
        yield
    except KeyboardInterrupt:
        raise cancelled(session) from None
