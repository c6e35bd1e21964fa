"""fab health."""

from __future__ import annotations

from typing import Any

from invoke.tasks import task

from tasks import front


@task(name="health", help={"hosts": front.HOSTS, "service": front.SERVICE, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def check(
    context: Any, hosts: str | None = None, service: str | None = None, json: bool = False, debug: bool = False
) -> int:
    """Ask the servers how they are: containers, broker, GPUs, disks, offsets. Exit status 0, 1, 2 or 3."""
    from runbook import health, show_health
    from tasks.visit import Visit

    visit = Visit(context, hosts, service, json)
    reports = []
    for door in visit.doors():
        resolved = visit.resolved[door.host.name]
        request = health.request_for(visit.inventory, resolved.host, visit.services, resolved)
        report = health.of_server(door, request)
        if not json:
            show_health.show_report(report, visit.screen)
        reports.append(report)
    if json:
        print(show_health.as_json(reports))
    return health.EXIT_STATUS[health.worst(report.level for report in reports)]
