"""What `fab prune` does to one server: list what nothing needs any more, and have what was listed removed."""

from __future__ import annotations

import dataclasses
import getpass
import socket
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from gpu_runbook.common import fullness, humanize
from gpu_runbook.laptop.deploy.recovery import ended_first
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory.model import Host, Inventory
from gpu_runbook.laptop.rpc.call import ANSWER, Deadline, cancelled, change, entry, look, read
from gpu_runbook.laptop.rpc.requests import batch_marks, place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.deadlines import REMOVED
from gpu_runbook.protocol.foreign_text import LONGEST, named, one_line
from gpu_runbook.protocol.prune import FILE, JOURNAL, DiskLeft, Pruned, Thing
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.requests import PruneRequest

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import PruneAnswer

LEAST = 2  # releases: the one in force and the one before it
MANY = 3  # things of one kind that are listed one by one, where nobody wants to read each


def keep(inventory: Inventory, given: int | None) -> int:
    """How many releases stay. Raises BadInput for fewer than two."""
    if given is not None and given < LEAST:
        raise BadInput(
            f"--keep {given}: fab prune keeps at least {LEAST} releases", "the one in force, and one to go back to"
        )
    return given or max(inventory.keep_releases, LEAST)


def prune(session: Session, inventory: Inventory, host: Host, count: int, dry_run: bool, screen: Screen) -> PruneAnswer:
    """The result is what --json prints. Raises what `call.ask` raises, and Cancelled for Ctrl-C before the end."""
    server = session.host.name
    request = PruneRequest(*place(host), count, batch_marks(inventory))
    try:
        with screen.working(f"{server}: looking"):
            things = _listed(session, inventory, host, request, dry_run, screen)
    except KeyboardInterrupt:
        raise cancelled(session) from None
    for text, style in lines(server, things, count, dry_run):
        screen.say(text, style)
    if dry_run or not things:
        return _result(server, "dry-run" if dry_run else "up-to-date", things, Pruned())
    agreed = tuple((thing.kind, thing.id) for thing in things)
    who, laptop = getpass.getuser(), socket.gethostname()
    with screen.working(f"{server}: removing"):
        answer = _removed(session, dataclasses.replace(request, agreed=agreed, who=who, laptop=laptop))
    for note in answer.notes:
        screen.say(one_line(note, LONGEST), "yellow")
    gone = f"{len(answer.removed)} of {humanize.several(len(things), 'thing')}"
    screen.say(f"{server}: removed {gone}; {humanize.size(answer.freed)} are free again{_disk(answer.disk)}", "green")
    return _result(server, "done", things, answer)


def _listed(
    session: Session, inventory: Inventory, host: Host, request: PruneRequest, dry_run: bool, screen: Screen
) -> list[Thing]:
    """What may go; a run that was cut off is brought to an end first, since it may need some of it."""
    things, run = _ask(session, request)
    if dry_run or not ended_first(session, inventory, host, getpass.getuser(), run, screen):
        return things
    return _ask(session, request)[0]


def _ask(session: Session, request: PruneRequest) -> tuple[list[Thing], RunState | None]:
    server = session.host.name
    answer = look(session, "prune", request)
    things = list(entry(server, answer, "things", tuple[Thing, ...]))
    return things, entry(server, answer, "run", RunState) if answer.get("run") is not None else None


def _removed(session: Session, request: PruneRequest) -> Pruned:
    deadline, see = Deadline(ANSWER + 2 * REMOVED * len(request.agreed or ())), "fab show says what became of it"
    answer = change(session, "prune", request, "what was to go is removed without you", see, deadline=deadline)
    return read(session.host.name, Pruned, answer, "prune", see)


def lines(server: str, things: Sequence[Thing], count: int, dry_run: bool) -> Iterator[tuple[str, str]]:
    """(text, style) of each line: what goes, how big it is, and why."""
    if not things:
        yield f"{server}: nothing to remove; the newest {count} releases stay", "green"
        return
    total = humanize.size(sum(thing.size for thing in things))
    would = "would remove" if dry_run else "removes"
    yield f"{server}: fab prune {would} {humanize.several(len(things), 'thing')}, at most {total}", "bold"
    for kind, group in groupby(things, lambda thing: thing.kind):
        yield from ((_line(*row), "") for row in _rows(kind, list(group)))


def _rows(kind: str, things: list[Thing]) -> list[tuple[str, int, str, str]]:
    if kind in (JOURNAL, FILE) and len(things) > MANY:
        return [(kind, sum(thing.size for thing in things), f"{len(things)} of them", things[0].why)]
    return [(kind, thing.size, thing.name, thing.why) for thing in things]


def _line(kind: str, size: int, name: str, why: str) -> str:
    return f"  {kind:9}  {humanize.size(size):>9}  {one_line(name)}  {one_line(why)}"


def _disk(found: DiskLeft | None) -> str:
    return f"; {fullness.enough(named(found.path), found.percent, found.available)}" if found else ""


def _result(
    server: str, outcome: Literal["done", "up-to-date", "dry-run"], things: Sequence[Thing], answer: Pruned
) -> PruneAnswer:
    return {
        "server": server,
        "outcome": outcome,
        "run": answer.run,
        "things": [
            {
                "kind": one.kind,
                "id": one.id,
                "name": one.name,
                "bytes": one.size,
                "why": one.why,
                "removed": (one.kind, one.id) in answer.removed,
            }
            for one in things
        ],
        "freed": answer.freed,
        "notes": list(answer.notes),
        "disk": encode(answer.disk) if answer.disk else None,
    }
