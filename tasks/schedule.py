"""fab schedule.install, schedule.show, schedule.remove, schedule.test."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.schedule import InstallAnswer, RemoveAnswer, ScheduleAnswer, TrialAnswer
    from gpu_runbook.laptop.ssh.session import Session

COMMON = {"hosts": shared.HOSTS, "json": shared.JSON, "debug": shared.DEBUG}


@shared.task(help=COMMON)
@shared.guarded
def install(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Leave the check on the servers: program, settings, and what starts it, cron or a timer. May be repeated."""
    from gpu_runbook.laptop.schedule import client
    from gpu_runbook.laptop.schedule import text as showing
    from gpu_runbook.laptop.schedule.settings import settings_for

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, None, json, purpose="schedule")
    invocation.require(partial(client.ready, invocation.inventory))

    def change(session: Session) -> InstallAnswer:
        settings = settings_for(invocation.inventory, invocation.resolved(session))
        with invocation.screen.working(f"{session.host.name}: leaving the check there", short=True):
            answer = client.install(session, settings)
        for text, style in showing.installed(answer, len(invocation.inventory.schedule.alerts)):
            invocation.screen.say(f"{session.host.name}: {text}" if not text.startswith(" ") else text, style)
        return client.installed_as_result(session.host.name, answer)

    results = invocation.change_each(change)
    if json:
        print_json({"servers": results})


@shared.task(help=COMMON)
@shared.guarded
def show(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> int:
    """When it last looked, what it found and did, which version it is, and whom it tells."""
    from gpu_runbook.laptop.commands import health
    from gpu_runbook.laptop.schedule import client
    from gpu_runbook.laptop.schedule import text as showing

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, None, json, purpose="ask")
    levels: list[str] = []

    def ask(session: Session) -> ScheduleAnswer:
        answer = client.show(session, invocation.inventory, invocation.resolved(session))
        rows = showing.rows(answer)
        invocation.screen.say(f"{session.host.name}: the scheduled check", "bold")
        invocation.screen.rows(rows)
        for text in showing.told(answer):
            invocation.screen.say(text, "dim")
        levels.extend(row.level for row in rows)
        return client.shown_as_result(session.host.name, answer)

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})
    return health.EXIT_STATUS[health.worst(levels)]


@shared.task(help=COMMON)
@shared.guarded
def remove(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Take the check away from the servers: what starts it, program, settings and notes. History stays."""
    from gpu_runbook.laptop.schedule import client
    from gpu_runbook.laptop.schedule import text as showing

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, None, json, purpose="ask")

    def change(session: Session) -> RemoveAnswer:
        answer = client.remove(session, invocation.host(session).place)
        invocation.screen.say(f"{session.host.name}: {showing.removed(answer)}")
        return client.removed_as_result(session.host.name, answer)

    results = invocation.change_each(change)
    if json:
        print_json({"servers": results})


@shared.task(name="test", help=COMMON)
@shared.guarded
def trial(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> int:
    """Send one test alert through every channel of hosts.yaml, from each server. Exit status 0, or 2 if one fails."""
    from gpu_runbook.laptop.commands import health
    from gpu_runbook.laptop.errors import BadInput
    from gpu_runbook.laptop.schedule import client
    from gpu_runbook.laptop.schedule.settings import settings_for

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, None, json, purpose="schedule")
    invocation.require(partial(client.ready, invocation.inventory))
    if not invocation.inventory.schedule.variables and not invocation.inventory.schedule.alerts:
        raise BadInput("hosts.yaml names nobody who is to be told", "say whom under schedule.alerts")
    levels: list[str] = []

    def ask(session: Session) -> TrialAnswer:
        settings = settings_for(invocation.inventory, invocation.resolved(session))
        with invocation.screen.working(f"{session.host.name}: sending a test alert"):
            rows = client.trial(session, settings)
        invocation.screen.rows(rows)
        levels.extend(row.level for row in rows)
        return client.trial_as_result(session.host.name, rows)

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})
    return health.EXIT_STATUS[health.worst(levels)]
