"""fab history, fab show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke.tasks import task

from tasks import front

if TYPE_CHECKING:
    from gpu_runbook.laptop.ssh.session import Door


@task(name="history", help={"limit": "how many runs", "hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def runs(context: Any, limit: str = "10", hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Who did what, when, from which image to which, how it ended, and how long the consumer was down."""
    from gpu_runbook.laptop.commands import history
    from tasks.visit import Visit, print_json, whole_number

    most = whole_number("--limit", limit)
    visit = Visit(context, hosts, None, json, purpose="ask")

    def ask(door: Door) -> dict[str, Any]:
        pasts = history.of_server(door, visit.resolved[door.host.name].host.place, most)
        for text, style in history.lines(door.host.name, pasts):
            visit.screen.say(text, style)
        return history.as_result(door.host.name, pasts)

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})


@task(help={"run": "its id; without it the newest", "hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def show(
    context: Any, run: str | None = None, hosts: str | None = None, json: bool = False, debug: bool = False
) -> None:
    """One run: every step of its journal with its time, and the docker commands as they were given."""
    from gpu_runbook.laptop.commands import history
    from tasks.visit import Visit, given, print_json

    visit, wanted = Visit(context, hosts, None, json, purpose="ask"), given("--run", run) or ""

    def ask(door: Door) -> dict[str, Any]:
        past, journal = history.of_run(door, visit.resolved[door.host.name].host.place, wanted)
        if len(visit.hosts) > 1:
            visit.screen.say(f"{door.host.name}:", "bold")
        for text, style in history.shown(past, journal):
            visit.screen.say(text, style)
        return history.as_result(door.host.name, [past]) | {"journal": journal}

    results = visit.ask_each(ask)
    if json:
        print_json({"servers": results})
