"""fab status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from gpu_runbook.laptop.ssh.session import Door


@task(name="status", help={"hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def show(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """What runs, from which release, how it does, which run is under way, and what training runs from."""
    from gpu_runbook.laptop.commands import status
    from gpu_runbook.laptop.deploy import snapshot
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json)

    def ask(door: Door) -> dict[str, Any]:
        with visit.screen.working(f"{door.host.name}: looking", short=True):
            found = snapshot.status(door, visit.inventory, visit.resolved[door.host.name], visit.services)
        for text, style in status.lines(door.host.name, found, visit.services):
            visit.screen.say(text, style)
        visit.screen.rows(status.rows(found))
        return status.as_result(door.host.name, found, visit.services)

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})
