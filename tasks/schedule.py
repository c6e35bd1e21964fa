"""fab schedule.install, schedule.show, schedule.remove, schedule.test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from runbook.door import Door

COMMON = {"hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG}


@task(help=COMMON)
@front.guarded
def install(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Leave the check on the servers: program, settings, and a block of the crontab. May be repeated."""
    from runbook.schedule import asking, showing
    from runbook.schedule.settings import settings_for
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="schedule")
    asking.ready(visit.inventory, visit.resolved.values())

    def change(door: Door) -> dict[str, Any]:
        with visit.screen.working(f"{door.host.name}: leaving the check there", short=True):
            answer = asking.install(door, settings_for(visit.inventory, visit.resolved[door.host.name]))
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
    from remote.words import encode
    from runbook import health
    from runbook.schedule import asking, showing
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="ask")
    levels: list[str] = []

    def ask(door: Door) -> dict[str, Any]:
        answer = asking.show(door, visit.inventory, visit.resolved[door.host.name])
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
    from runbook.schedule import asking, showing
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="ask")

    def change(door: Door) -> dict[str, Any]:
        answer = asking.remove(door, visit.resolved[door.host.name].host.place)
        visit.screen.say(f"{door.host.name}: {showing.removed(answer)}")
        return answer

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})


@task(name="test", help=COMMON)
@front.guarded
def trial(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> int:
    """Send one test alert through every channel of hosts.yaml, from each server. Exit status 0, or 2 if one fails."""
    from remote.words import encode
    from runbook import health
    from runbook.errors import BadInput
    from runbook.schedule import asking
    from runbook.schedule.settings import settings_for
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="schedule")
    asking.ready(visit.inventory, visit.resolved.values())
    if not visit.inventory.schedule.variables and not visit.inventory.schedule.alerts:
        raise BadInput("hosts.yaml names nobody who is to be told", "say whom under schedule.alerts")
    levels: list[str] = []

    def ask(door: Door) -> dict[str, Any]:
        with visit.screen.working(f"{door.host.name}: sending a test alert"):
            rows = asking.trial(door, settings_for(visit.inventory, visit.resolved[door.host.name]))
        visit.screen.rows(rows)
        levels.extend(row.level for row in rows)
        return {"rows": [encode(row) for row in rows]}

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})
    return health.EXIT_STATUS[health.worst(levels)]
