"""fab setup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from runbook.door import Door


@task(
    name="setup",
    help={
        "hosts": front.HOSTS,
        "dry-run": "say what would be done, and end",
        "json": front.JSON,
        "debug": front.DEBUG,
    },
)
@front.guarded
def make(
    context: Any, hosts: str | None = None, dry_run: bool = False, json: bool = False, debug: bool = False
) -> None:
    """Make the directories that hosts.yaml lists, and log the servers' docker in to the registry. Removes nothing."""
    from runbook import settingup
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="preflight")
    for resolved in visit.resolved.values():
        settingup.checked(visit.inventory, resolved)

    def change(door: Door) -> dict[str, Any]:
        return settingup.set_up(door, visit.inventory, visit.resolved[door.host.name], dry_run, visit.screen)

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})
