"""fab health."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from runbook.door import Door
    from runbook.health import HealthReport
    from tasks.visit import Visit


@task(name="health", help={"hosts": front.HOSTS, "service": front.SERVICE, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def check(
    context: Any, hosts: str | None = None, service: str | None = None, json: bool = False, debug: bool = False
) -> int:
    """Ask the servers how they are: containers, broker, GPUs, disks, offsets. Exit status 0, 1, 2 or 3."""
    from tasks.visit import Visit

    visit = Visit(context, hosts, service, json, purpose="ask")
    reports = [_report(visit, door, json) for door in visit.doors()]

    from runbook import health, show_health
    from runbook.screen import put

    if json:
        put(show_health.as_json(reports))
    return health.EXIT_STATUS[health.worst(report.level for report in reports)]


def _report(visit: Visit, door: Door, json: bool) -> HealthReport:
    """What one server answers, shown as soon as it has."""
    from runbook import health, show_health
    from runbook.schedule.settings import comparable

    resolved = visit.resolved[door.host.name]
    request = health.request_for(visit.inventory, resolved.host, visit.services, resolved)
    whole = len(visit.services) == len(visit.inventory.services)
    request = replace(request, schedule=comparable(visit.inventory, resolved) if whole else {})
    report = health.of_server(door, request)
    if not json:
        show_health.show_report(report, visit.screen)
    return report
