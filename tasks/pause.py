"""fab pause, fab resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import PauseAnswer
    from gpu_runbook.laptop.ssh.session import Session


@shared.task(
    help={
        "for_": "how long: 90s, 30m, 2h, 1d; at most 30d",
        "reason": "why, for whoever is held back",
        "hosts": shared.HOSTS,
        "json": shared.JSON,
        "debug": shared.DEBUG,
    }
)
@shared.guarded
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

    from .invocation import given

    _pause(context, hosts, json, pausing.seconds(for_), given("--reason", reason) or "")


@shared.task(help={"hosts": shared.HOSTS, "json": shared.JSON, "debug": shared.DEBUG})
@shared.guarded
def resume(context: Any, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """End the pause before its time."""
    _pause(context, hosts, json, 0, "")


def _pause(context: Any, hosts: str | None, json: bool, seconds: int, reason: str) -> None:
    from gpu_runbook.laptop.commands import pause as pausing

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, None, json, purpose="ask")

    def change(session: Session) -> PauseAnswer:
        server = session.host.name
        found, before = pausing.pause(session, invocation.host(session), seconds, reason)
        invocation.screen.say(f"{server}: {pausing.told(found, before)}")
        return pausing.as_result(server, found, before)

    results = invocation.change_each(change)
    if json:
        print_json({"servers": results})
