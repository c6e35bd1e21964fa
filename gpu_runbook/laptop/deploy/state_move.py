"""Has a server's state moved to where no container can write: at a deploy, at `fab setup`, or when somebody says so."""

from __future__ import annotations

import contextlib
import getpass
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inputs.resolve import Resolved, resolve
from gpu_runbook.laptop.inventory.model import Host, Inventory
from gpu_runbook.laptop.rpc import server_env
from gpu_runbook.laptop.rpc.call import Deadline, change, read
from gpu_runbook.laptop.rpc.requests import place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.deadlines import MOVED
from gpu_runbook.protocol.foreign_text import LONGEST, named, one_line
from gpu_runbook.protocol.requests import InstallRequest, StateMoveRequest, StateRequest
from gpu_runbook.protocol.state_move import Moved

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import StateMoveAnswer

SILENCE = 330.0  # seconds: a round of the old check that is under way comes to its end first
AGAIN = "run it again: what was begun is brought to its end"
ROW = "state"
ROOT, OTHER, FORGET = "root", "other", "forget"  # what is moved: out of the root, out of another folder; or given up


def one_at_most(move_state: bool, forget_state: bool, dry_run: bool) -> None:
    """Raises BadInput for flags of fab setup that do not go together."""
    if move_state + forget_state + dry_run > 1:
        raise BadInput("--move-state, --forget-state and --dry-run are given one at a time")


def due(rows: Iterable[Check]) -> Check | None:
    """The row that says that the state still lies below the root; None when it is where it belongs."""
    return next((row for row in rows if row.name == ROW and row.figures.get("moves_to")), None)


def make_ready(
    session: Session, inventory: Inventory, resolved: Resolved, rows: Iterable[Check], screen: Screen
) -> None:
    """Move the state out of the root where that is due; make its folder where there is none.

    Raises Refused with everything as it was, or NeedsPerson.
    """
    rows = tuple(rows)
    row = due(rows)
    if row is None:
        if any(one.name == ROW and one.figures.get("there") is False for one in rows):
            change(session, "state_make", StateRequest(*resolved.host.place), "the state's folder may be made", AGAIN)
    else:
        move(session, inventory, resolved, ROOT, bool(row.figures.get("scheduled")), screen)


def move(
    session: Session, inventory: Inventory, resolved: Resolved, what: str, scheduled: bool | None, screen: Screen
) -> StateMoveAnswer:
    """One exchange. `scheduled`: the check is on the server too, and is laid down anew from hosts.yaml and .env.

    None where that is not known: then it is, unless a variable that it needs is missing.
    """
    server, host = session.host.name, resolved.host
    install = None
    with contextlib.suppress(*([Refused] if scheduled is None else [])):
        install = _check_anew(session, inventory, host) if scheduled is not False else None
    request = StateMoveRequest(*place(host), getpass.getuser(), socket.gethostname(), what, install)
    doubt, deadline = "the state is moved without you", Deadline(MOVED)
    with screen.working(f"{server}: moving the state"):
        answer = change(session, "state_move", request, doubt, AGAIN, silence=SILENCE, deadline=deadline)
    session.facts.changes += 1
    found = read(server, Moved, answer, "state", AGAIN)
    was = one_line(found.was, LONGEST)
    if what == FORGET:
        said = f"{was} is given up; " if was else "there was nothing to give up; "
        screen.say(f"{server}: {said}the state is in {found.folder}", "green")
    elif was:
        session.notices.clear()
        screen.say(f"{server}: the state moved from {was} to {found.folder}", "green")
    if found.left:
        names = one_line(", ".join(map(named, found.left)), LONGEST)
        screen.say(f"{server}: not taken along, since it is none of ours: {names}", "yellow")
    return {"server": server, "folder": found.folder, "was": found.was, "left": list(found.left), "run": found.run}


def _check_anew(session: Session, inventory: Inventory, host: Host) -> InstallRequest:
    """What `schedule.install` is asked. Raises Refused where a variable is missing."""
    from gpu_runbook.laptop.schedule import client
    from gpu_runbook.laptop.schedule.settings import settings_for

    server, path = session.host.name, host.env.server
    try:
        there = {host.name: server_env.read(session, path)} if path else None
        known = resolve(inventory, [host], list(inventory.services.values()), "schedule", there)[host.name]
        client.ready(inventory, [known])
        return client.installation(settings_for(inventory, known))
    except BadInput as error:
        why = " ".join(error.message.split())
        hint = f"{error.hint} Or take the check away first: fab schedule.remove"
        raise Refused(
            f"{server}: the state moves with the scheduled check, which cannot be laid down anew: {why}; "
            "nothing was changed",
            hint,
        ) from error
