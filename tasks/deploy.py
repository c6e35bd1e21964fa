"""fab deploy, fab rollback, fab follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from runbook.door import Door
    from runbook.planning import Order
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
    json: bool = False,
    skip: list[str] | None = None,
    reason: str | None = None,
    debug: bool = False,
) -> None:
    """Put the images of hosts.yaml on the servers; a release that fails its watch is rolled back by itself."""
    from runbook import checklist, jobs
    from tasks.visit import Visit, given, order, tags_for

    visit = Visit(context, hosts, service, json, purpose="deploy")
    visit.warn()
    tags = tags_for(visit.services, tag)
    skips = checklist.skips(visit.inventory, visit.services, skip or [], given("--reason", reason))
    asked = order(tags, force=force, adopt=adopt, undo_on_failure=not no_rollback, skips=skips)
    carry_out(visit, asked, jobs.deploy, dry_run, json)


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
    from runbook import jobs
    from tasks.visit import Visit, given, order

    visit = Visit(context, hosts, None, json)
    asked = order({}, to=given("--to", to) or "", replay=replay)
    carry_out(visit, asked, jobs.rollback, dry_run, json)


@task(help={"run": "the run's id; without it the newest", "hosts": front.HOSTS, "debug": front.DEBUG})
@front.guarded
def follow(context: Any, run: str | None = None, hosts: str | None = None, debug: bool = False) -> None:
    """Come back to a run: what it has done, what it does, and how it ends."""
    from runbook import jobs, running
    from tasks.visit import Visit, given

    visit, wanted = Visit(context, hosts, None, machine=False, purpose="ask"), given("--run", run) or ""
    for door in visit.doors():
        place = visit.resolved[door.host.name].host.place
        with visit.screen.working(f"{door.host.name}: following") as passing:
            lines: list[dict[str, Any]] = []
            tell = jobs.teller(visit.screen, passing, door.host.name, lines.append)
            ended = running.follow(door, place, wanted, tell)
        visit.screen.say(ended.sentence, "green")
        jobs.show_after(visit.inventory, door.host.name, lines, visit.screen)


def carry_out(visit: Visit, asked: Order, job: Any, dry_run: bool, json: bool) -> None:
    """One server after the other; the first failure ends it."""
    from runbook.jobs import Job
    from tasks.visit import print_json

    def change(door: Door) -> dict[str, Any]:
        resolved = visit.resolved[door.host.name]
        done: dict[str, Any] = job(door, Job(visit.inventory, resolved, visit.services, asked, dry_run), visit.screen)
        return done

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})
