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
        "move-state": "take over the state from the folder that the containers name, and end",
        "forget-state": "give up the folder that the containers name, and end; they count as somebody else's then",
        "json": front.JSON,
        "debug": front.DEBUG,
    },
)
@front.guarded
def make(
    context: Any,
    hosts: str | None = None,
    dry_run: bool = False,
    move_state: bool = False,
    forget_state: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Make the directories that hosts.yaml lists, and log the servers' docker in to the registry. Removes nothing."""
    from runbook import moving, settingup
    from tasks.visit import Visit, print_json

    moving.one_at_most(move_state, forget_state, dry_run)
    visit = Visit(context, hosts, None, json, purpose="preflight")
    for resolved in visit.resolved.values():
        settingup.checked(visit.inventory, resolved)

    def change(door: Door) -> dict[str, Any]:
        resolved = visit.resolved[door.host.name]
        if move_state or forget_state:
            what = moving.OTHER if move_state else moving.FORGET
            return moving.move(door, visit.inventory, resolved, what, None if move_state else False, visit.screen)
        return settingup.set_up(door, visit.inventory, resolved, dry_run, visit.screen)

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})
