"""fab env.diff, fab env.push."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from gpu_runbook.laptop.ssh.session import Door


@task(help={"service": front.SERVICE, "hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def diff(
    context: Any, service: str | None = None, hosts: str | None = None, json: bool = False, debug: bool = False
) -> None:
    """How the env files on the servers differ from .env: names, never values."""
    from gpu_runbook.laptop.commands import env
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, service, json, purpose="preflight")

    def ask(door: Door) -> dict[str, Any]:
        resolved = visit.resolved[door.host.name]
        entries = env.wanted(visit.inventory, resolved, visit.services)
        found = env.compared(door, resolved.host, entries)
        for text, style in env.lines(door.host.name, found, entries):
            visit.screen.say(text, style)
        return env.as_result(door.host.name, found)

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})


@task(
    help={
        "service": front.SERVICE,
        "hosts": front.HOSTS,
        "dry-run": "say what would change, and end",
        "json": front.JSON,
        "debug": front.DEBUG,
    }
)
@front.guarded
def push(
    context: Any,
    service: str | None = None,
    hosts: str | None = None,
    dry_run: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Write the env files on the servers as .env has them; what runs reads them when it is restarted."""
    from gpu_runbook.laptop.commands import env
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, service, json, purpose="preflight")
    wishes = {}
    for name, resolved in visit.resolved.items():
        entries = env.wanted(visit.inventory, resolved, visit.services)
        wishes[name] = env.wish(resolved, entries, visit.services, dry_run)
    for warning in dict.fromkeys(text for one in wishes.values() for text in env.disagreements(one.entries)):
        visit.screen.say(f"warning: {warning}", "yellow")

    def change(door: Door) -> dict[str, Any]:
        name = door.host.name
        return env.pushed(door, visit.inventory, visit.resolved[name].host, wishes[name], visit.screen)

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})
