"""fab setup."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import SetupAnswer, StateMoveAnswer
    from gpu_runbook.laptop.ssh.session import Session


@shared.task(
    name="setup",
    help={
        "hosts": shared.HOSTS,
        "dry-run": "say what would be done, and end",
        "move-state": "take over the state from the folder that the containers name, and end",
        "forget-state": "give up the folder that the containers name, and end; they count as somebody else's then",
        "json": shared.JSON,
        "debug": shared.DEBUG,
    },
)
@shared.guarded
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
    from gpu_runbook.laptop.commands import setup
    from gpu_runbook.laptop.deploy import state_move

    from .invocation import Invocation, print_json

    state_move.one_at_most(move_state, forget_state, dry_run)
    invocation = Invocation(context, hosts, None, json, purpose="preflight")
    invocation.require(partial(setup.checked, invocation.inventory))
    login = bool(invocation.inventory.registry and invocation.inventory.registry.username)

    def change(session: Session) -> SetupAnswer | StateMoveAnswer:
        resolved = invocation.resolved(session, needed=login)
        if move_state or forget_state:
            what = state_move.OTHER if move_state else state_move.FORGET
            return state_move.move(
                session, invocation.inventory, resolved, what, None if move_state else False, invocation.screen
            )
        return setup.set_up(session, invocation.inventory, resolved, dry_run, invocation.screen)

    results = invocation.change_each(change)
    if json:
        print_json({"servers": results})
