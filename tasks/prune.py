"""fab prune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import PruneAnswer
    from gpu_runbook.laptop.ssh.session import Session


@shared.task(
    help={
        "keep": "how many releases stay, at least 2; keep_releases of hosts.yaml without it",
        "dry-run": "list what would go, and end",
        "hosts": shared.HOSTS,
        "json": shared.JSON,
        "debug": shared.DEBUG,
    }
)
@shared.guarded
def prune(
    context: Any,
    keep: str | None = None,
    hosts: str | None = None,
    dry_run: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Remove old releases, their containers and images, and old journals; nothing of a training run."""
    from gpu_runbook.laptop.commands import prune as pruning

    from .invocation import Invocation, given, print_json, whole_number

    count = given("--keep", keep)
    invocation = Invocation(context, hosts, None, json, purpose="ask")
    stay = pruning.keep(invocation.inventory, None if count is None else whole_number("--keep", count))

    def change(session: Session) -> PruneAnswer:
        host = invocation.host(session)
        return pruning.prune(session, invocation.inventory, host, stay, dry_run, invocation.screen)

    results = invocation.change_each(change)
    if json:
        print_json({"servers": results})
