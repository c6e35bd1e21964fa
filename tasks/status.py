"""fab status."""

from __future__ import annotations

from typing import Any

from invoke.tasks import task

from tasks import front


@task(name="status", help={"hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def show(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """What runs, from which release, how it does, which run is under way, and what training runs from."""
    from runbook import looking, status
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json)
    results = []
    for door in visit.doors():
        with visit.screen.working(f"{door.host.name}: looking", short=True):
            found = looking.status(door, visit.inventory, visit.resolved[door.host.name], visit.services)
        for text, style in status.lines(door.host.name, found, visit.services):
            visit.screen.say(text, style)
        visit.screen.rows(status.rows(found))
        results.append(status.as_result(door.host.name, found, visit.services))
    if json:
        print_json({"servers": results})
