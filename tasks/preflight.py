"""fab preflight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.look import PreflightAnswer
    from gpu_runbook.laptop.ssh.session import Session
    from gpu_runbook.protocol.check import Check

    from .invocation import Invocation


@shared.task(
    name="preflight",
    help={
        "tag": shared.TAG,
        "service": shared.SERVICE,
        "hosts": shared.HOSTS,
        "json": shared.JSON,
        "debug": shared.DEBUG,
    },
)
@shared.guarded
def check(
    context: Any,
    tag: str | None = None,
    service: str | None = None,
    hosts: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> int:
    """Go through the checklist before a deploy, and change nothing. Exit status 0, 1, 2 or 3."""
    from .invocation import Invocation, print_json, tags_for

    invocation = Invocation(context, hosts, service, json, purpose="preflight")
    invocation.warn()
    tags = tags_for(invocation.services, tag)

    def ask(session: Session) -> PreflightAnswer:
        from gpu_runbook.laptop.commands.health import worst
        from gpu_runbook.protocol.codec import encode

        rows = _rows(invocation, session, tags)
        level = worst(row.level for row in rows)
        return {"server": session.host.name, "level": level, "rows": [encode(row) for row in rows]}

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})

    from gpu_runbook.laptop.commands.health import EXIT_STATUS, worst

    return EXIT_STATUS[worst(result["level"] for result in results)]


def _rows(invocation: Invocation, session: Session, tags: dict[str, str]) -> list[Check]:
    """What one server and the gates answer, shown as soon as it is known."""
    from gpu_runbook.laptop.deploy import holds, origin, preflight, snapshot
    from gpu_runbook.laptop.gates import ask as gating
    from gpu_runbook.protocol.check import CRITICAL

    resolved = invocation.resolved(session)
    with invocation.screen.working(f"{session.host.name}: looking", short=True):
        look = snapshot.look(session, invocation.inventory, resolved, invocation.services, tags)
        look = origin.told(session, resolved, look, tags)
        known = gating.by_the_branch(look.identities)
        gates = gating.rows(invocation.inventory, resolved, invocation.services, tags, look, known)
    gates += gating.absent(invocation.inventory)
    gates += holds.rows(look, CRITICAL)
    gates += preflight.tag_rows(invocation.services, look, tags)
    rows = preflight.ordered([*gates, *look.rows, preflight.env_row(resolved, look)], invocation.services)
    invocation.screen.say(f"{session.host.name}: before a deploy", "bold")
    invocation.screen.rows(rows)
    return rows
