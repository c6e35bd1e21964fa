"""fab status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.look import StatusAnswer
    from gpu_runbook.laptop.ssh.session import Session


@shared.task(name="status", help={"hosts": shared.HOSTS, "json": shared.JSON, "debug": shared.DEBUG})
@shared.guarded
def show(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """What runs, from which release, how it does, which run is under way, and what training runs from."""
    from gpu_runbook.laptop.commands import status
    from gpu_runbook.laptop.deploy import snapshot

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, None, json)

    def ask(session: Session) -> StatusAnswer:
        resolved = invocation.resolved(session)
        with invocation.screen.working(f"{session.host.name}: looking", short=True):
            found = snapshot.status(session, invocation.inventory, resolved, invocation.services)
        for text, style in status.lines(session.host.name, found, invocation.services):
            invocation.screen.say(text, style)
        invocation.screen.rows(status.rows(found))
        return status.as_result(session.host.name, found, invocation.services)

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})
