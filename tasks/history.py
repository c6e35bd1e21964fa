"""fab history, fab show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.past import HistoryAnswer, ShowAnswer
    from gpu_runbook.laptop.ssh.session import Session


@shared.task(
    name="history", help={"limit": "how many runs", "hosts": shared.HOSTS, "json": shared.JSON, "debug": shared.DEBUG}
)
@shared.guarded
def runs(context: Any, limit: str = "10", hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Who did what, when, from which image to which, how it ended, and how long the consumer was down."""
    from gpu_runbook.laptop.commands import history

    from .invocation import Invocation, print_json, whole_number

    most = whole_number("--limit", limit)
    invocation = Invocation(context, hosts, None, json, purpose="ask")

    def ask(session: Session) -> HistoryAnswer:
        pasts = history.of_server(session, invocation.host(session).place, most)
        for text, style in history.lines(session.host.name, pasts):
            invocation.screen.say(text, style)
        return history.as_result(session.host.name, pasts)

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})


@shared.task(
    help={"run": "its id; without it the newest", "hosts": shared.HOSTS, "json": shared.JSON, "debug": shared.DEBUG}
)
@shared.guarded
def show(
    context: Any, run: str | None = None, hosts: str | None = None, json: bool = False, debug: bool = False
) -> None:
    """One run: every step of its journal with its time, and the docker commands as they were given."""
    from gpu_runbook.laptop.commands import history

    from .invocation import Invocation, print_json, run_id

    invocation, wanted = Invocation(context, hosts, None, json, purpose="ask"), run_id("--run", run)

    def ask(session: Session) -> ShowAnswer:
        past, journal = history.of_run(session, invocation.host(session).place, wanted)
        if len(invocation.hosts) > 1:
            invocation.screen.say(f"{session.host.name}:", "bold")
        for text, style in history.shown(past, journal):
            invocation.screen.say(text, style)
        return {**history.as_result(session.host.name, [past]), "journal": [line.written for line in journal]}

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})
