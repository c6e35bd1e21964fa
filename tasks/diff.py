"""fab diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.look import DiffAnswer
    from gpu_runbook.laptop.ssh.session import Session


@shared.task(
    name="diff",
    help={
        "tag": shared.TAG,
        "service": shared.SERVICE,
        "hosts": shared.HOSTS,
        "exit-status": "end with exit status 1 when there is any difference, or one that could not be seen",
        "json": shared.JSON,
        "debug": shared.DEBUG,
    },
)
@shared.guarded
def show(
    context: Any,
    tag: str | None = None,
    service: str | None = None,
    hosts: str | None = None,
    exit_status: bool = False,
    json: bool = False,
    debug: bool = False,
) -> int:
    """What a deploy would change now, and what is not as the record has it. Changes nothing."""
    from gpu_runbook.laptop.commands import diff
    from gpu_runbook.laptop.deploy import snapshot

    from .invocation import Invocation, order, print_json, tags_for

    invocation = Invocation(context, hosts, service, json, purpose="preflight")
    tags = tags_for(invocation.services, tag)
    same = []

    def ask(session: Session) -> DiffAnswer:
        resolved = invocation.resolved(session)
        look = snapshot.look(session, invocation.inventory, resolved, invocation.services, tags)
        found = diff.compare(invocation.inventory, resolved, invocation.services, look, order(tags))
        for text, style in diff.lines(found):
            invocation.screen.say(text, style)
        same.append(found.same)
        return diff.as_result(found)

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})
    return int(exit_status and not all(same))
