"""fab health."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from gpu_runbook.laptop.rpc.requests import request_for
from tasks import front

if TYPE_CHECKING:
    from gpu_runbook.laptop.commands.health import HealthReport
    from gpu_runbook.laptop.ssh.session import Door
    from tasks.visit import Visit

YEAR = 365 * 86400  # seconds


@task(
    name="health",
    help={
        "hosts": front.HOSTS,
        "service": front.SERVICE,
        "since": "instead of asking: what the scheduled check has seen in the last 90m, 24h or 7d",
        "json": front.JSON,
        "debug": front.DEBUG,
    },
)
@front.guarded
def check(
    context: Any,
    hosts: str | None = None,
    service: str | None = None,
    since: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> int:
    """Ask the servers how they are: containers, broker, GPUs, disks, offsets. Exit status 0, 1, 2 or 3."""
    from tasks.visit import Visit, given

    back = given("--since", since)
    if back:
        return _past(context, hosts, service, back, json)
    visit = Visit(context, hosts, service, json, purpose="ask")
    reports = [_report(visit, door, json) for door in visit.doors()]

    from gpu_runbook.laptop.commands import health, health_text
    from gpu_runbook.laptop.terminal.screen import put

    if json:
        put(health_text.as_json(reports))
    return health.EXIT_STATUS[health.worst(report.level for report in reports)]


def _report(visit: Visit, door: Door, json: bool) -> HealthReport:
    """What one server answers, shown as soon as it has."""
    from gpu_runbook.laptop.commands import health, health_text
    from gpu_runbook.laptop.schedule.settings import compared, comparison

    resolved = visit.resolved[door.host.name]
    request = request_for(visit.inventory, resolved.host, visit.services, resolved)
    whole = len(visit.services) == len(visit.inventory.services)
    key = comparison(visit.inventory, resolved) if whole else ""
    report = health.of_server(door, replace(request, schedule=key))
    rows = (compared(row, visit.inventory, resolved, key) for row in report.checks)
    report = replace(report, checks=tuple(rows))
    if not json:
        health_text.show_report(report, visit.screen)
    return report


def _past(context: Any, hosts: str | None, service: str | None, back: str, json: bool) -> int:
    """What was seen while nobody looked. The past has no exit status of its own."""
    from gpu_runbook.laptop.errors import BadInput
    from gpu_runbook.laptop.schedule import client, timeline
    from tasks.visit import Visit, print_json, seconds

    if service is not None:
        raise BadInput("--since shows every row that was asked", "leave --service out")
    length = seconds("--since", back, YEAR)
    visit = Visit(context, hosts, None, json, purpose="ask")

    def ask(door: Door) -> dict[str, Any]:
        seen = client.seen(door, visit.resolved[door.host.name].host.place, length)
        for text, style in timeline.lines(door.host.name, seen, length):
            visit.screen.say(text, style, copyable=True)
        return timeline.as_result(door.host.name, seen)

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})
    return 0
