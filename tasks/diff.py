"""fab diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from gpu_runbook.laptop.ssh.session import Door


@task(
    name="diff",
    help={
        "tag": "the image tag: 1.1 for all services, or annotation-queue=1.1,training=2.0",
        "service": front.SERVICE,
        "hosts": front.HOSTS,
        "exit-status": "end with exit status 1 when there is any difference, or one that could not be seen",
        "json": front.JSON,
        "debug": front.DEBUG,
    },
)
@front.guarded
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
    from tasks.visit import Visit, order, print_json, tags_for

    visit = Visit(context, hosts, service, json, purpose="preflight")
    tags = tags_for(visit.services, tag)
    same = []

    def ask(door: Door) -> dict[str, Any]:
        resolved = visit.resolved[door.host.name]
        look = snapshot.look(door, visit.inventory, resolved, visit.services, tags)
        found = diff.compare(visit.inventory, resolved, visit.services, look, order(tags))
        for text, style in diff.lines(found):
            visit.screen.say(text, style)
        same.append(found.same)
        return diff.as_result(found)

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})
    return int(exit_status and not all(same))
