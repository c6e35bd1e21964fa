"""fab restart, fab stop, fab pause, fab resume, fab prune."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front
from tasks.deploy import execute

if TYPE_CHECKING:
    from gpu_runbook.laptop.ssh.session import Door

WHICH = "a consumer of hosts.yaml"


@task(positional=["service"], help={"service": WHICH, "hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def restart(context: Any, service: str, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Stop a consumer with its grace, start the same container again, and watch it."""
    _operate(context, service, hosts, json, "restart", "")


@task(
    positional=["service"],
    help={
        "service": WHICH,
        "reason": "why, for whoever looks at fab status",
        "hosts": front.HOSTS,
        "json": front.JSON,
        "debug": front.DEBUG,
    },
)
@front.guarded
def stop(
    context: Any,
    service: str,
    reason: str | None = None,
    hosts: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Stop a consumer until somebody restarts or deploys it; that it is meant is remembered."""
    from tasks.visit import given

    _operate(context, service, hosts, json, "stop", given("--reason", reason) or "")


def _operate(context: Any, service: str, hosts: str | None, json: bool, change: str, reason: str) -> None:
    from gpu_runbook.laptop.deploy import restart as operating
    from tasks.visit import Visit, order

    visit = Visit(context, hosts, service, json)
    operating.consumer(visit.services, change)
    execute(visit, order({}), partial(operating.operate, change=change, reason=reason), False, json)


@task(
    help={
        "for_": "how long: 90s, 30m, 2h, 1d; at most 30d",
        "reason": "why, for whoever is held back",
        "hosts": front.HOSTS,
        "json": front.JSON,
        "debug": front.DEBUG,
    }
)
@front.guarded
def pause(
    context: Any,
    for_: str | None = None,
    reason: str | None = None,
    hosts: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Hold deploys and restarts back for a while, whoever asks for them; rollback and stop still go."""
    from gpu_runbook.laptop.commands import pause as pausing
    from tasks.visit import given

    _pause(context, hosts, json, pausing.seconds(for_), given("--reason", reason) or "")


@task(help={"hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def resume(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """End the pause before its time."""
    _pause(context, hosts, json, 0, "")


def _pause(context: Any, hosts: str | None, json: bool, seconds: int, reason: str) -> None:
    from gpu_runbook.laptop.commands import pause as pausing
    from tasks.visit import Visit, print_json

    visit = Visit(context, hosts, None, json, purpose="ask")

    def change(door: Door) -> dict[str, Any]:
        result = pausing.pause(door, visit.resolved[door.host.name].host, seconds, reason)
        visit.screen.say(f"{door.host.name}: {result.pop('told')}")
        return result

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})


@task(
    help={
        "keep": "how many releases stay, at least 2; keep_releases of hosts.yaml without it",
        "dry-run": "list what would go, and end",
        "hosts": front.HOSTS,
        "json": front.JSON,
        "debug": front.DEBUG,
    }
)
@front.guarded
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
    from tasks.visit import Visit, given, print_json, whole_number

    count = given("--keep", keep)
    visit = Visit(context, hosts, None, json, purpose="ask")
    stay = pruning.keep(visit.inventory, None if count is None else whole_number("--keep", count))

    def change(door: Door) -> dict[str, Any]:
        host = visit.resolved[door.host.name].host
        return pruning.prune(door, visit.inventory, host, stay, dry_run, visit.screen)

    results = visit.change_each(change)
    if json:
        print_json({"servers": results})
