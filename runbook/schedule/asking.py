"""Leaves the scheduled check on a server, takes it away, tries its alerts, and asks what it is and what it saw."""

from __future__ import annotations

import base64
import functools
import getpass
import hashlib
import json
import socket
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from remote.codec import decode
from remote.history import Past
from remote.scheduled.history import is_sound
from remote.scheduled.rounds import Round
from remote.scheduled.settings import Settings
from remote.words import LEVELS, Check, Malformed
from runbook import __version__, bundle
from runbook.door import Door
from runbook.errors import CannotConnect, Defect, LostContact
from runbook.exchange import ask, entry
from runbook.inventory import Inventory
from runbook.problems import bad_input
from runbook.resolve import Resolved
from runbook.schedule import settings as making

ENTRY = "scheduled.main"  # the module that a round begins with
SILENCE = 60.0  # seconds: a test alert may take as long as the slowest channel


@dataclass(frozen=True)
class Seen:
    """What rounds saw, oldest first, and the runs among them, newest first. `every` is 0 where none are made."""

    at: str  # RFC 3339, the server's clock
    every: int  # seconds
    damaged: int  # lines of the history that cannot be read
    rounds: tuple[Round, ...]
    runs: tuple[Past, ...]


def ready(inventory: Inventory, resolved: Iterable[Resolved]) -> None:
    """Raises BadInput with everything that is wrong with the variables of the alerts, before anything is contacted."""
    problems = [problem for one in resolved for problem in making.check(inventory, one)]
    if problems:
        raise bad_input(str(inventory.path), problems, "Correct these; .env.example names every variable.")


@functools.cache
def program() -> tuple[str, str]:
    """The sources of the check, packed to travel, and the hash by which they are told from others."""
    text = json.dumps(bundle.sources(ENTRY), sort_keys=True).encode()
    return base64.b64encode(zlib.compress(text, 9)).decode(), hashlib.sha256(text).hexdigest()[:12]


def install(door: Door, settings: Settings) -> dict[str, Any]:
    """Leave the check there; what was written, and whether cron runs. Raises what `exchange.ask` raises."""
    return _changing(door, "scheduled.install", installation(settings))


def installation(settings: Settings) -> dict[str, Any]:
    """What a server is asked to leave the check there. Holds secrets."""
    sources, mark = program()
    request = {"settings": making.as_json(settings), "sources": sources, "program": mark, "version": __version__}
    return request | {"who": getpass.getuser(), "laptop": socket.gethostname()}


def remove(door: Door, place: dict[str, str]) -> dict[str, Any]:
    """Take it away; what was removed. Raises what `exchange.ask` raises."""
    return _changing(door, "scheduled.remove", place)


def show(door: Door, inventory: Inventory, resolved: Resolved) -> dict[str, Any]:
    """What `remote.scheduled.show` answers, with `ours`: whether the program there is this laptop's."""
    key = making.comparison(inventory, resolved)
    answer = _only_asked(door, "scheduled.show", {**resolved.host.place, "key": key})
    installed = answer.get("installed")
    ours = isinstance(installed, dict) and installed.get("program") == program()[1]
    row = making.compared(_row(door.host.name, answer.get("row")), inventory, resolved, key)
    return answer | {"ours": ours, "row": row}


def trial(door: Door, settings: Settings) -> tuple[Check, ...]:
    """Send a test alert through every channel; a row for each. Raises what `exchange.ask` raises."""
    request = {"settings": making.as_json(settings), "who": getpass.getuser()}
    answer = ask(door, "scheduled.trial", request, silence=SILENCE)
    return tuple(_row(door.host.name, row) for row in entry(door.host.name, answer, "rows", list))


def seen(door: Door, place: dict[str, str], seconds: int, runs: int = 0) -> Seen:
    """What the rounds of so many seconds saw. Raises what `exchange.ask` raises."""
    server, rounds = door.host.name, list[Round]()

    def hear(event: dict[str, Any]) -> None:
        for line in entry(server, event, "rounds", list):
            found = decode(Round, line, "round")
            if not is_sound(found):
                raise Malformed("a round without a time, or with an unknown level")
            rounds.append(found)

    try:
        answer = ask(door, "scheduled.past", {**place, "seconds": seconds, "runs": runs}, hear)
        pasts = tuple(decode(Past, one, "run") for one in entry(server, answer, "runs", list))
    except Malformed as error:
        raise Defect(f"{server}: the history of the check is not what it should be ({error})") from error
    except LostContact as error:
        raise CannotConnect(f"{error.message}; the server was only looked at", "run it again") from error
    every, damaged = entry(server, answer, "every", int), entry(server, answer, "damaged", int)
    return Seen(entry(server, answer, "at", str), every, damaged, tuple(rounds), pasts)


def _changing(door: Door, verb: str, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return ask(door, verb, request, silence=SILENCE)
    except LostContact as error:
        raise LostContact(error.message, "fab schedule.show says what is there") from error


def _only_asked(door: Door, verb: str, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return ask(door, verb, request)
    except LostContact as error:
        raise CannotConnect(f"{error.message}; the server was only looked at", "run it again") from error


def _row(server: str, data: Any) -> Check:
    try:
        row = decode(Check, data, "row")
    except Malformed as error:
        raise Defect(f"{server}: the answer is not what it should be ({error})") from error
    if row.level not in LEVELS:
        raise Defect(f"{server}: the answer is not what it should be ({row.name} has an unknown level)")
    return row
