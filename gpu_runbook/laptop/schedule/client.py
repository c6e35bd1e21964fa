"""Leaves the scheduled check on a server, takes it away, tries its alerts, and asks what it is and what it saw."""

from __future__ import annotations

import base64
import dataclasses
import functools
import getpass
import hashlib
import json
import socket
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gpu_runbook import __version__
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.model import Inventory
from gpu_runbook.laptop.inventory.problems import bad_input
from gpu_runbook.laptop.rpc import bundle
from gpu_runbook.laptop.rpc.call import Deadline, change, entry, look, read
from gpu_runbook.laptop.schedule import settings as making
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.deadlines import MOVED
from gpu_runbook.protocol.forms import Count, Time
from gpu_runbook.protocol.history import PastRun
from gpu_runbook.protocol.requests import (
    InstallRequest,
    ScheduleHistoryRequest,
    ScheduleShowRequest,
    StateRequest,
    TestAlertRequest,
)
from gpu_runbook.protocol.rounds import Round
from gpu_runbook.protocol.schedule import Installation, Removed, Settings, Shown
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.schedule import InstallAnswer, RemoveAnswer, ScheduleAnswer, TrialAnswer

ENTRY = "server.schedule.main"  # the module that a round begins with
SEE = "fab schedule.show says what is there"
SILENCE = 60.0  # seconds: a test alert may take as long as the slowest channel


@dataclass(frozen=True)
class SeenRounds:
    """What rounds saw, oldest first, and the runs among them, newest first. `every` is 0 where none are made."""

    at: str  # RFC 3339, the server's clock
    every: int  # seconds
    damaged: int  # lines of the history that cannot be read
    rounds: tuple[Round, ...]
    runs: tuple[PastRun, ...]


@dataclass(frozen=True)
class ShownCheck:
    """What is known of the check on a server, and whether the program there is this laptop's."""

    found: Shown
    ours: bool


def ready(inventory: Inventory, resolved: Sequence[Resolved]) -> None:
    """Raises BadInput with everything that is wrong with the variables of the alerts, before anything is changed."""
    problems = [problem for one in resolved for problem in making.check(inventory, one)]
    if problems:
        contacted = any(one.host.env.server for one in resolved)
        hint = "Correct these; .env.example names every variable."
        raise bad_input(str(inventory.path), problems, hint, contacted)


@functools.cache
def program() -> tuple[str, str]:
    """The sources of the check, packed to travel, and the hash by which they are told from others."""
    text = json.dumps(bundle.sources(ENTRY), sort_keys=True).encode()
    return base64.b64encode(zlib.compress(text, 9)).decode(), hashlib.sha256(text).hexdigest()[:12]


def install(session: Session, settings: Settings) -> Installation:
    """Leave the check there; what was written, and whether cron runs. Raises what `call.ask` raises."""
    answer = _changed(session, "schedule.install", installation(settings), "the check may be there")
    return read(session.host.name, Installation, answer, "schedule", SEE)


def installation(settings: Settings) -> InstallRequest:
    """What a server is asked to leave the check there."""
    return InstallRequest(settings, *program(), __version__, getpass.getuser(), socket.gethostname())


def remove(session: Session, place: tuple[str, str]) -> Removed:
    """Take it away; what was removed. Raises what `call.ask` raises."""
    answer = _changed(session, "schedule.remove", StateRequest(*place), "the check may be gone")
    return read(session.host.name, Removed, answer, "schedule", SEE)


def show(session: Session, inventory: Inventory, resolved: Resolved) -> ShownCheck:
    """What `server.verbs.schedule.show` answers, its row compared with our settings."""
    key = making.comparison(inventory, resolved)
    answer = look(session, "schedule.show", ScheduleShowRequest(*resolved.host.place, key))
    found = read(session.host.name, Shown, answer, "schedule")
    ours = found.installed is not None and found.installed.program == program()[1]
    row = making.compared(found.row, inventory, resolved, key)
    return ShownCheck(dataclasses.replace(found, row=row), ours)


def trial(session: Session, settings: Settings) -> tuple[Check, ...]:
    """Send a test alert through every channel; a row for each. Raises what `call.ask` raises."""
    request = TestAlertRequest(settings, getpass.getuser())
    doubt = "whether the alerts were sent is not known"
    answer = change(session, "schedule.test", request, doubt, "run it again", silence=SILENCE)
    session.facts.changes += 1
    return entry(session.host.name, answer, "rows", tuple[Check, ...])


def seen(session: Session, place: tuple[str, str], seconds: int, runs: int = 0) -> SeenRounds:
    """What the rounds of so many seconds saw. Raises what `call.ask` raises."""
    server, rounds = session.host.name, list[Round]()

    def hear(event: dict[str, Any]) -> None:
        rounds.extend(entry(server, event, "rounds", tuple[Round, ...]))

    answer = look(session, "schedule.history", ScheduleHistoryRequest(*place, seconds, runs), on_event=hear)
    every, damaged = entry(server, answer, "every", Count), entry(server, answer, "damaged", Count)
    pasts = entry(server, answer, "runs", tuple[PastRun, ...])
    return SeenRounds(entry(server, answer, "at", Time), every, damaged, tuple(rounds), pasts)


def installed_as_result(server: str, found: Installation) -> InstallAnswer:
    """What was left there, for scripts."""
    return {
        "server": server,
        "changed": list(found.changed),
        "crontab": found.crontab,
        "running": found.running,
        "moved": list(found.moved),
        "timer": encode(found.timer) if found.timer else None,
    }


def removed_as_result(server: str, found: Removed) -> RemoveAnswer:
    """What was taken away, for scripts."""
    return {"server": server, "removed": list(found.removed), "history": found.history}


def shown_as_result(server: str, shown: ShownCheck) -> ScheduleAnswer:
    """What is known of the check, for scripts."""
    found = shown.found
    return {
        "server": server,
        "row": encode(found.row),
        "crontab": found.crontab,
        "problem": found.problem,
        "running": found.running,
        "installed": encode(found.installed) if found.installed else None,
        "there": found.there,
        "state": encode(found.state) if found.state else None,
        "told": [encode(event) for event in found.told],
        "ours": shown.ours,
        "timer": encode(found.timer) if found.timer else None,
    }


def trial_as_result(server: str, rows: Iterable[Check]) -> TrialAnswer:
    """Whether each channel takes an alert, for scripts."""
    return {"server": server, "rows": [encode(row) for row in rows]}


def _changed(session: Session, verb: str, request: StateRequest | InstallRequest, doubt: str) -> dict[str, Any]:
    return change(session, verb, request, doubt, SEE, silence=SILENCE, deadline=Deadline(MOVED))
