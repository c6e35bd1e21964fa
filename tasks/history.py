"""fab history, fab show."""

from __future__ import annotations

from typing import Any

from invoke.tasks import task

from tasks import front


@task(name="history", help={"limit": "how many runs", "hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def runs(context: Any, limit: str = "10", hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Who did what, when, from which image to which, how it ended, and how long the consumer was down."""
    from runbook import history
    from tasks.visit import Visit, print_json, whole_number

    most = whole_number("--limit", limit)
    visit = Visit(context, hosts, None, json, purpose="ask")
    results = []
    for door in visit.doors():
        pasts = history.of_server(door, visit.resolved[door.host.name].host.root, most)
        for text, style in history.lines(door.host.name, pasts):
            visit.screen.say(text, style)
        results.append(history.as_result(door.host.name, pasts))
    if json:
        print_json({"servers": results})


@task(help={"run": "its id; without it the newest", "hosts": front.HOSTS, "json": front.JSON, "debug": front.DEBUG})
@front.guarded
def show(
    context: Any, run: str | None = None, hosts: str | None = None, json: bool = False, debug: bool = False
) -> None:
    """One run: every step of its journal with its time, and the docker commands as they were given."""
    from runbook import history
    from tasks.visit import Visit, given, print_json

    visit, wanted = Visit(context, hosts, None, json, purpose="ask"), given("--run", run) or ""
    results = []
    for door in visit.doors():
        past, journal = history.of_run(door, visit.resolved[door.host.name].host.root, wanted)
        for text, style in history.shown(past, journal):
            visit.screen.say(text, style)
        results.append(history.as_result(door.host.name, [past]) | {"journal": journal})
    if json:
        print_json({"servers": results})
