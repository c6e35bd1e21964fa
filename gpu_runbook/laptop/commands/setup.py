"""`fab setup`: makes what a server has to have, and says what is left to a person."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gpu_runbook.common import humanize
from gpu_runbook.laptop.deploy import state_move
from gpu_runbook.laptop.deploy.recovery import recovered
from gpu_runbook.laptop.deploy.snapshot import folders, login_request, wanted_gpus
from gpu_runbook.laptop.errors import BadInput, Defect, NeedsPerson
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inputs.secrecy import REGISTRY_PASSWORD
from gpu_runbook.laptop.inventory.model import Inventory
from gpu_runbook.laptop.rpc.call import change, look
from gpu_runbook.laptop.rpc.requests import place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.requests import SetupRequest
from gpu_runbook.protocol.setup import Done

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import SetupAnswer, SetupDetails

# What may be asked of root, and the words it takes beside a directory.
FOR_ROOT = {"install": r"-[dmog]|[0-7]{4}|\d{1,10}", "chown": r"\d{1,10}:\d{1,10}", "chmod": "[0-7]{4}", "mv": "(?!)"}
AGAIN, DOUBT = "run it again: it only makes what is missing", "things may be set up"


def checked(inventory: Inventory, known: Iterable[Resolved]) -> None:
    """Raises BadInput when the registry's password is not there."""
    for resolved in known:
        if inventory.registry and inventory.registry.username and resolved.login is None:
            raise BadInput(
                f"{resolved.env.source}: {REGISTRY_PASSWORD} has no value; needed by registry.username",
                "set it, or drop registry.username if the registry asks for no login",
            )


def set_up(session: Session, inventory: Inventory, resolved: Resolved, dry_run: bool, screen: Screen) -> SetupAnswer:
    """The result is what --json prints. Raises NeedsPerson, with the same, when something could not be done."""
    server = session.host.name
    with screen.working(f"{server}: setting up"):
        found = _asked(session, inventory, resolved, dry_run)
    for command in found.done:
        screen.say(f"  {'would run' if dry_run else 'done'}: {command}", copyable=True)
    screen.rows(found.rows)
    for one in found.left if dry_run else ():
        screen.say(f"  left to {'root' if one.root else 'a person'}: {one.hint or one.what}", "yellow", copyable=True)
    if found.unfinished and not dry_run:
        screen.say(f"run {found.unfinished} was cut off; it is brought to an end", "yellow")
        for sentence in recovered(session, inventory, resolved.host, getpass.getuser(), found.unfinished):
            screen.say(f"{server}: {sentence}", "yellow")
    result: SetupAnswer = {
        "server": server,
        "outcome": "dry-run" if dry_run else "done" if found.done else "up-to-date",
        "done": list(found.done),
        "left": [encode(one) for one in found.left],
        "rows": [encode(row) for row in found.rows],
    }
    if not dry_run and state_move.due(found.rows):
        state_move.make_ready(session, inventory, resolved, found.rows, screen)
    if found.left and not dry_run:
        raise _needs_person(server, found, result)
    said = {"dry-run": "this was a dry run; nothing was changed", "done": "set up", "up-to-date": "everything is there"}
    screen.say(f"{server}: {said[result['outcome']]}", "green")
    return result


def _asked(session: Session, inventory: Inventory, resolved: Resolved, dry_run: bool) -> Done:
    """One exchange."""
    host, server = resolved.host, session.host.name
    tree = tuple(folders(inventory, host))
    wanted = wanted_gpus(inventory.services.values())
    request = SetupRequest(*place(host), host.gpus, wanted, tree, login_request(resolved.login), dry_run)
    try:
        asked = look(session, "setup", request) if dry_run else change(session, "setup", request, DOUBT, AGAIN)
        found = decode(Done, asked, "setup")
        _see_through(found, [host.root, *(folder.path for folder in tree)])
        session.facts.changes += bool(found.done and not dry_run)
        return found
    except Malformed as error:
        raise Defect(f"{server}: the answer is not what it should be ({error})", "run it again") from error


def _see_through(found: Done, paths: Sequence[str]) -> None:
    """Raises Malformed for a line for root that does anything but what `fab setup` is there for."""
    for at, one in enumerate(found.left):
        if one.root and not _is_for_root(one.hint, paths):
            raise Malformed(f"setup.left[{at}].hint: not a line that puts a directory of hosts.yaml right")


def _is_for_root(line: str, paths: Sequence[str]) -> bool:
    try:
        program, *words = shlex.split(line)
    except ValueError:  # a quote without an end, or no word at all
        return False
    known = {*paths, *(f"{path}.old" for path in paths)}
    fits = all(word in known or re.fullmatch(FOR_ROOT.get(program, ""), word, re.ASCII) for word in words)
    return program in FOR_ROOT and fits and line == shlex.join([program, *words])


def _needs_person(server: str, found: Done, result: SetupAnswer) -> NeedsPerson:
    count = len(found.left)
    who = "root" if all(one.root for one in found.left) else "a person"
    sentence = f"{server}: {humanize.several(count, 'thing')} {'needs' if count == 1 else 'need'} {who}: "
    commands = [one.hint for one in found.left if one.root]
    hints = [*([f"as root: {' && '.join(commands)}"] if commands else [])]
    hints += dict.fromkeys(one.hint for one in found.left if not one.root and one.hint)
    error = NeedsPerson(sentence + "; ".join(one.what for one in found.left), "; ".join([*hints, "then run it again"]))
    details: SetupDetails = {
        "server": server,
        "done": result["done"],
        "left": result["left"],
        "rows": result["rows"],
    }
    error.details = {**details}
    return error
