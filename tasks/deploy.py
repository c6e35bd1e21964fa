"""fab deploy, fab rollback, fab follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from gpu_runbook.laptop.deploy.plan import Order
    from gpu_runbook.laptop.ssh.session import Door
    from tasks.visit import Visit


@task(
    help={
        "tag": "the image tag: 1.1 for all services, or annotation-queue=1.1,training=2.0",
        "service": front.SERVICE,
        "hosts": front.HOSTS,
        "dry-run": "look, show the plan, and end",
        "force": "replace the container even if nothing differs; bypasses no check",
        "adopt": "replace a container this tool did not make, and keep it as the previous release",
        "no-rollback": "leave a release that fails its watch running, for a person to look at",
        "supersede": "a run that can neither be finished nor undone: close it, and deploy all the same",
        "skip": "a row of the preflight to go past, such as 'training CI'; may be given again",
        "reason": "why, for the journal; with --skip",
        "json": front.JSON,
        "debug": front.DEBUG,
    },
    iterable=["skip"],
)
@front.guarded
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
    from tasks.visit import Visit, given, order, run_id, tags_for

    unfinished = run_id("--supersede", supersede)
    visit = Visit(context, hosts, service, json, purpose="deploy")
    visit.warn()
    tags = tags_for(visit.services, tag)
    skips = preflight.skips(visit.inventory, visit.services, skip or [], given("--reason", reason))
    wishes = {"force": force, "adopt": adopt, "undo_on_failure": not no_rollback, "supersede": unfinished}
    asked = order(tags, skips=skips, **wishes)
    execute(visit, asked, workflow.deploy, dry_run, json)


@task(
    help={
        "to": "the release to go to; without it the newest good one before what is in force",
        "hosts": front.HOSTS,
        "replay": "read again the messages that the release which is left has handled",
        "dry-run": "look, show the plan, and end",
        "json": front.JSON,
        "debug": front.DEBUG,
    }
)
@front.guarded
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
    from tasks.visit import Visit, given, order

    visit = Visit(context, hosts, None, json)
    asked = order({}, to=given("--to", to) or "", replay=replay)
    execute(visit, asked, workflow.rollback, dry_run, json)


@task(
    help={
        "run": "the run's id; without it the newest",
        "close": "a run that can neither be finished nor undone: give it an end as it is, and do nothing else",
        "reason": "why, for whoever reads it; with --close",
        "hosts": front.HOSTS,
        "debug": front.DEBUG,
    }
)
@front.guarded
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
    from tasks.visit import Visit, given

    wanted, closing = given("--run", run) or "", _closing(run, close, reason)
    visit = Visit(context, hosts, None, machine=False, purpose="ask")
    for door in visit.doors():
        if closing:
            _close(visit, door, *closing)
            continue
        place = visit.resolved[door.host.name].host.place
        with visit.screen.working(f"{door.host.name}: following") as passing:
            lines: list[dict[str, Any]] = []
            tell = workflow.teller(visit.screen, passing, door.host.name, lines.append)
            ended = running.follow(door, place, wanted, tell)
        visit.screen.say(ended.sentence, "green")
        workflow.show_after(visit.inventory, door.host.name, lines, visit.screen)


def _closing(run: str | None, close: str | None, reason: str | None) -> tuple[str, str] | None:
    """The run that is to be closed and why, None where one is to be followed. Raises BadInput."""
    from gpu_runbook.laptop.errors import BadInput
    from tasks.visit import given, run_id

    wanted, why = run_id("--close", close), given("--reason", reason)
    if not wanted and why:
        raise BadInput("--reason is taken with --close alone", "to follow a run: fab follow --run RUN")
    if wanted and run is not None:
        raise BadInput("--run and --close cannot go together", f"fab follow --close {wanted} --reason …")
    if wanted and not why:
        hint = f"fab follow --close {wanted} --reason …, for whoever reads fab history"
        raise BadInput("--close is given without a --reason", hint)
    return (wanted, why) if wanted and why else None


def _close(visit: Visit, door: Door, run: str, reason: str) -> None:
    import getpass

    from gpu_runbook.laptop.deploy.recovery import closed

    host = visit.resolved[door.host.name].host
    for sentence in closed(door, visit.inventory, host, getpass.getuser(), run, reason, deploys=False):
        visit.screen.say(f"{door.host.name}: {sentence}", "yellow")


def execute(visit: Visit, asked: Order, job: Any, dry_run: bool, json: bool) -> None:
    """One server after the other; the first failure ends it."""
    from gpu_runbook.laptop.deploy.workflow import Job
    from tasks.visit import print_json

    def change(door: Door) -> dict[str, Any]:
        resolved = visit.resolved[door.host.name]
        done: dict[str, Any] = job(door, Job(visit.inventory, resolved, visit.services, asked, dry_run), visit.screen)
        return done

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})
