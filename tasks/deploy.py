"""fab deploy, fab rollback, fab follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.deploy import DeployAnswer, OperateAnswer
    from gpu_runbook.laptop.deploy.plan import Order
    from gpu_runbook.laptop.deploy.workflow import Job
    from gpu_runbook.laptop.ssh.session import Session
    from gpu_runbook.laptop.terminal.screen import Screen
    from gpu_runbook.protocol.journal import JournalEvent

    from .invocation import Invocation


@shared.task(
    help={
        "tag": shared.TAG,
        "service": shared.SERVICE,
        "hosts": shared.HOSTS,
        "dry-run": "look, show the plan, and end",
        "force": "replace the container even if nothing differs; bypasses no check",
        "adopt": "replace a container this tool did not make, and keep it as the previous release",
        "no-rollback": "leave a release that fails its watch running, for a person to look at",
        "supersede": "a run that can neither be finished nor undone: close it, and deploy all the same",
        "skip": "a row of the preflight to go past, such as 'training CI'; may be given again",
        "reason": "why, for the journal; with --skip",
        "json": shared.JSON,
        "debug": shared.DEBUG,
    },
    iterable=["skip"],
)
@shared.guarded
def deploy(
    context: Any,
    tag: str | None = None,
    service: str | None = None,
    hosts: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    adopt: bool = False,
    no_rollback: bool = False,
    supersede: str | None = None,
    json: bool = False,
    skip: list[str] | None = None,
    reason: str | None = None,
    debug: bool = False,
) -> None:
    """Put the images of hosts.yaml on the servers; a release that fails its watch is rolled back by itself."""
    from gpu_runbook.laptop.deploy import preflight, workflow
    from gpu_runbook.laptop.errors import BadInput

    from .invocation import Invocation, given, order, run_id, tags_for

    unfinished = run_id("--supersede", supersede)
    invocation = Invocation(context, hosts, service, json, purpose="deploy")
    invocation.warn()
    tags = tags_for(invocation.services, tag)
    if not tags:
        names = " and ".join(service.name for service in invocation.services)
        raise BadInput(
            f"{names} has no image: there is nothing to deploy", "fab training.command says how it is started"
        )
    skips = preflight.skips(invocation.inventory, invocation.services, skip or [], given("--reason", reason))
    wishes = {"force": force, "adopt": adopt, "undo_on_failure": not no_rollback, "supersede": unfinished}
    asked = order(tags, skips=skips, **wishes)
    execute(invocation, asked, workflow.deploy, dry_run, json)


@shared.task(
    help={
        "to": "the release to go to; without it the newest good one before what is in force",
        "hosts": shared.HOSTS,
        "replay": "read again the messages that the release which is left has handled",
        "dry-run": "look, show the plan, and end",
        "json": shared.JSON,
        "debug": shared.DEBUG,
    }
)
@shared.guarded
def rollback(
    context: Any,
    to: str | None = None,
    hosts: str | None = None,
    replay: bool = False,
    dry_run: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Bring the previous release back: its images, its settings, its config."""
    from gpu_runbook.laptop.deploy import workflow

    from .invocation import Invocation, given, order

    invocation = Invocation(context, hosts, None, json)
    asked = order({}, to=given("--to", to) or "", replay=replay)
    execute(invocation, asked, workflow.rollback, dry_run, json)


@shared.task(
    help={
        "run": "the run's id; without it the newest",
        "close": "a run that can neither be finished nor undone: give it an end as it is, and do nothing else",
        "reason": "why, for whoever reads it; with --close",
        "hosts": shared.HOSTS,
        "debug": shared.DEBUG,
    }
)
@shared.guarded
def follow(
    context: Any,
    run: str | None = None,
    close: str | None = None,
    reason: str | None = None,
    hosts: str | None = None,
    debug: bool = False,
) -> None:
    """Come back to a run: what it has done, what it does, and how it ends."""
    from gpu_runbook.laptop.deploy import run as running
    from gpu_runbook.laptop.deploy import workflow

    from .invocation import Invocation, run_id

    wanted, closing = run_id("--run", run), _closing(run, close, reason)
    invocation = Invocation(context, hosts, None, machine=False, purpose="ask")
    for session in invocation.sessions():
        if closing:
            _close(invocation, session, *closing)
            continue
        place = invocation.host(session).place
        with invocation.screen.working(f"{session.host.name}: following") as passing:
            events: list[JournalEvent] = []
            tell = workflow.teller(invocation.screen, passing, events.append)
            ended = running.follow(session, place, wanted, tell)
        invocation.screen.say(ended.sentence, "green")
        workflow.show_after(invocation.inventory, session.host.name, place[0], events, invocation.screen)


def _closing(run: str | None, close: str | None, reason: str | None) -> tuple[str, str] | None:
    """The run that is to be closed and why, None where one is to be followed. Raises BadInput."""
    from gpu_runbook.laptop.errors import BadInput

    from .invocation import given, run_id

    wanted, why = run_id("--close", close), given("--reason", reason)
    if not wanted and why:
        raise BadInput("--reason is taken with --close alone", "to follow a run: fab follow --run RUN")
    if wanted and run is not None:
        raise BadInput("--run and --close cannot go together", f"fab follow --close {wanted} --reason …")
    if wanted and not why:
        hint = f"fab follow --close {wanted} --reason …, for whoever reads fab history"
        raise BadInput("--close is given without a --reason", hint)
    return (wanted, why) if wanted and why else None


def _close(invocation: Invocation, session: Session, run: str, reason: str) -> None:
    import getpass

    from gpu_runbook.laptop.deploy.recovery import closed

    host = invocation.host(session)
    for sentence in closed(session, invocation.inventory, host, getpass.getuser(), run, reason, deploys=False):
        invocation.screen.say(f"{session.host.name}: {sentence}", "yellow")


def execute(
    invocation: Invocation,
    asked: Order,
    job: Callable[[Session, Job, Screen], DeployAnswer | OperateAnswer],
    dry_run: bool,
    json: bool,
) -> None:
    """One server after the other; the first failure ends it."""
    from gpu_runbook.laptop.deploy.workflow import Job

    from .invocation import print_json

    def change(session: Session) -> DeployAnswer | OperateAnswer:
        resolved = invocation.resolved(session)
        work = Job(invocation.inventory, resolved, invocation.services, asked, dry_run)
        return job(session, work, invocation.screen)

    results = invocation.change_each(change)
    if json:
        print_json({"servers": results})
