"""fab preflight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from gpu_runbook.laptop.deploy import holds
from tasks import front

if TYPE_CHECKING:
    from gpu_runbook.laptop.ssh.session import Door
    from gpu_runbook.protocol.check import Check
    from tasks.visit import Visit


@task(
    name="preflight",
    help={
        "tag": "the image tag: 1.1 for all services, or annotation-queue=1.1,training=2.0",
        "service": front.SERVICE,
        "hosts": front.HOSTS,
        "json": front.JSON,
        "debug": front.DEBUG,
    },
)
@front.guarded
def check(
    context: Any,
    tag: str | None = None,
    service: str | None = None,
    hosts: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> int:
    """Go through the checklist before a deploy, and change nothing. Exit status 0, 1, 2 or 3."""
    from tasks.visit import Visit, print_json, tags_for

    visit = Visit(context, hosts, service, json, purpose="preflight")
    visit.warn()
    tags = tags_for(visit.services, tag)

    def ask(door: Door) -> dict[str, Any]:
        from gpu_runbook.laptop.commands.health import worst
        from gpu_runbook.protocol.codec import encode

        rows = _rows(visit, door, tags)
        return {"level": worst(row.level for row in rows), "rows": [encode(row) for row in rows]}

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})

    from gpu_runbook.laptop.commands.health import EXIT_STATUS, worst

    return EXIT_STATUS[worst(result["level"] for result in results)]


def _rows(visit: Visit, door: Door, tags: dict[str, str]) -> list[Check]:
    """What one server and the gates answer, shown as soon as it is known."""
    from gpu_runbook.laptop.deploy import preflight, snapshot
    from gpu_runbook.laptop.gates import ask as gating
    from gpu_runbook.protocol.check import CRITICAL

    resolved = visit.resolved[door.host.name]
    with visit.screen.working(f"{door.host.name}: looking", short=True):
        look = snapshot.look(door, visit.inventory, resolved, visit.services, tags)
        known = gating.by_the_branch(gating.identities(look))
        gates = gating.rows(visit.inventory, resolved, visit.services, tags, look, known)
    gates += gating.absent(visit.inventory)
    gates += holds.rows(look, CRITICAL)
    rows = preflight.ordered([*gates, *look.rows, preflight.env_row(resolved, look)], visit.services)
    visit.screen.say(f"{door.host.name}: before a deploy", "bold")
    visit.screen.rows(rows)
    return rows
