"""fab schedule.install, schedule.show, schedule.remove, schedule.test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from gpu_runbook.laptop.ssh.session import Door

COMMON = {"hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG}


@task(help=COMMON)
@front.guarded
def install(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Leave the check on the servers: program, settings, and a block of the crontab. May be repeated."""
    from gpu_runbook.laptop.schedule import client
    from gpu_runbook.laptop.schedule import text as showing
    from gpu_runbook.laptop.schedule.settings import settings_for
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="schedule")
    client.ready(visit.inventory, visit.resolved.values())

    def change(door: Door) -> dict[str, Any]:
        with visit.screen.working(f"{door.host.name}: leaving the check there", short=True):
            answer = client.install(door, settings_for(visit.inventory, visit.resolved[door.host.name]))
        for text, style in showing.installed(answer, len(visit.inventory.schedule.alerts)):
            visit.screen.say(f"{door.host.name}: {text}" if not text.startswith(" ") else text, style)
        return answer

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})


@task(help=COMMON)
@front.guarded
def show(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> int:
    """When it last looked, what it found and did, which version it is, and whom it tells."""
    from gpu_runbook.laptop.commands import health
    from gpu_runbook.laptop.schedule import client
    from gpu_runbook.laptop.schedule import text as showing
    from gpu_runbook.protocol.codec import encode
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="ask")
    levels: list[str] = []

    def ask(door: Door) -> dict[str, Any]:
        answer = client.show(door, visit.inventory, visit.resolved[door.host.name])
        rows = showing.rows(answer)
        visit.screen.say(f"{door.host.name}: the scheduled check", "bold")
        visit.screen.rows(rows)
        for text in showing.told(answer):
            visit.screen.say(text, "dim")
        levels.extend(row.level for row in rows)
        return answer | {"row": encode(answer["row"])}

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})
    return health.EXIT_STATUS[health.worst(levels)]


@task(help=COMMON)
@front.guarded
def remove(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Take the check away from the servers: its block of the crontab, program, settings and notes. History stays."""
    from gpu_runbook.laptop.schedule import client
    from gpu_runbook.laptop.schedule import text as showing
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="ask")

    def change(door: Door) -> dict[str, Any]:
        answer = client.remove(door, visit.resolved[door.host.name].host.place)
        visit.screen.say(f"{door.host.name}: {showing.removed(answer)}")
        return answer

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})


@task(name="test", help=COMMON)
@front.guarded
def trial(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> int:
    """Send one test alert through every channel of hosts.yaml, from each server. Exit status 0, or 2 if one fails."""
    from gpu_runbook.laptop.commands import health
    from gpu_runbook.laptop.errors import BadInput
    from gpu_runbook.laptop.schedule import client
    from gpu_runbook.laptop.schedule.settings import settings_for
    from gpu_runbook.protocol.codec import encode
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="schedule")
    client.ready(visit.inventory, visit.resolved.values())
    if not visit.inventory.schedule.variables and not visit.inventory.schedule.alerts:
        raise BadInput("hosts.yaml names nobody who is to be told", "say whom under schedule.alerts")
    levels: list[str] = []

    def ask(door: Door) -> dict[str, Any]:
        with visit.screen.working(f"{door.host.name}: sending a test alert"):
            rows = client.trial(door, settings_for(visit.inventory, visit.resolved[door.host.name]))
        visit.screen.rows(rows)
        levels.extend(row.level for row in rows)
        return {"rows": [encode(row) for row in rows]}

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})
    return health.EXIT_STATUS[health.worst(levels)]
