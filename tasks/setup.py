"""fab setup."""

from __future__ import annotations

from typing import Any

from invoke.tasks import task

from tasks import front


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
    from runbook.errors import RunbookError
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="preflight")
    for resolved in visit.resolved.values():
        settingup.checked(visit.inventory, resolved)
    results: list[dict[str, Any]] = []
    try:
        for door in visit.doors():
            results.append({"server": door.host.name})
            resolved = visit.resolved[door.host.name]
            results[-1] |= settingup.set_up(door, visit.inventory, resolved, dry_run, visit.screen)
    except RunbookError as error:
        results[-1] |= error.as_result()
        error.results = results
        raise
    if json:
        print_json({"servers": results})
