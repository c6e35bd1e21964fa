"""Sends a plan, follows its run to the end, and turns how it ended into a result or an error."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from remote.words import Plan, encode
from runbook.door import Door
from runbook.errors import (
    BadInput,
    Cancelled,
    CannotConnect,
    Defect,
    LostContact,
    NeedsPerson,
    Refused,
    RolledBack,
    RunbookError,
)
from runbook.exchange import ask

COMING_BACK = 60.0  # seconds a connection that broke is tried again while the run goes on
PAUSE = 2.0

ENDS: dict[str, type[RunbookError]] = {
    "refused": Refused,
    "rolled-back": RolledBack,
    "needs-person": NeedsPerson,
    "cancelled": Cancelled,
}

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Ended:
    """A run that went well. `verdict` is proven, unproven, or empty when nothing had to be watched."""

    run: str
    release: str
    sentence: str
    verdict: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class Listener:
    """Hands each line of a journal on once, however often the journal is read from its beginning."""

    tell: Tell
    heard: int = field(default=0)
    _at: int = field(default=0)

    def again(self) -> None:
        self._at = 0

    def __call__(self, event: dict[str, Any]) -> None:
        self._at += 1
        if self._at > self.heard:
            self.heard = self._at
            self.tell(event)


def carry_out(door: Door, plan: Plan, secrets: dict[str, Any], tell: Tell) -> Ended:
    """Start the run and follow it. Ctrl-C asks the server once whether it can still be stopped.

    Raises Refused, RolledBack, NeedsPerson, Cancelled, or LostContact when the run goes on without us.
    """
    listener = Listener(tell)
    request = {"plan": encode(plan), "secrets": secrets}
    try:
        try:
            answer = ask(door, "run", request, listener)
        except LostContact as error:
            answer = _come_back(door, plan, listener, error)
    except KeyboardInterrupt:
        raise _interrupted(door, plan) from None
    return conclude(door, answer)


def follow(door: Door, root: str, run: str, tell: Tell) -> Ended:
    """Follow a run, the newest one when `run` is empty. Ctrl-C ends the following and nothing else."""
    try:
        return conclude(door, ask(door, "follow", {"root": root, "run": run}, Listener(tell)))
    except KeyboardInterrupt:
        raise LostContact(f"{door.host.name}: you have stopped following; the run goes on", "fab follow") from None


def conclude(door: Door, answer: dict[str, Any]) -> Ended:
    """What the last line of a journal means. Raises the error it stands for."""
    server, run, end = door.host.name, str(answer.get("run", "")), answer.get("end")
    if end is None:
        raise NeedsPerson(
            f"{server}: run {run} was cut off: its process is gone and it has no end",
            "fab deploy or fab rollback finishes or undoes it first",
        )
    defect = Defect(f"{server}: the end of run {run} is not what it should be")
    try:
        outcome, sentence, details = end["outcome"], f"{server}: {end['sentence']}", end.get("details", {})
        if not isinstance(details, dict) or not isinstance(details.get("log", []), list):
            raise defect
        if outcome in ENDS:
            error = ENDS[outcome](sentence, str(end.get("hint", "")))
            error.details = details
            raise error
        if outcome == "done":
            notes = tuple(str(note) for note in details.get("notes", ()))
            return Ended(run, str(details.get("release", "")), sentence, str(end.get("verdict", "")), notes)
    except (KeyError, TypeError, AttributeError) as error:
        raise defect from error
    raise defect


def _come_back(door: Door, plan: Plan, listener: Listener, lost: LostContact) -> dict[str, Any]:
    """Take up the following again; a run that never began is kept from beginning."""
    listener.tell({"event": "lost", "why": lost.message})
    until = time.monotonic() + COMING_BACK
    while time.monotonic() < until:
        listener.again()
        try:
            return ask(door, "follow", {"root": plan.root, "run": plan.id}, listener)
        except BadInput:
            if _cancel(door, plan):
                raise Cancelled(f"{lost.message}; the run had not begun, nothing was changed") from lost
        except (LostContact, CannotConnect):
            time.sleep(PAUSE)
    raise LostContact(
        f"{lost.message}; the run goes on by itself",
        f"fab follow --run {plan.id}, as soon as the server can be reached",
    ) from lost


def _interrupted(door: Door, plan: Plan) -> RunbookError:
    """One question to the server, with one answer."""
    hint = f"fab follow --run {plan.id}"
    try:
        if _cancel(door, plan):
            return Cancelled(f"{door.host.name}: cancelled, nothing changed")
    except KeyboardInterrupt:
        return LostContact(f"{door.host.name}: you left before the answer; run {plan.id} may go on", "fab status")
    except RunbookError as error:
        return LostContact(f"{door.host.name}: nobody answers whether run {plan.id} was stopped: {error}", hint)
    return LostContact(f"{door.host.name}: too late: run {plan.id} goes on", f"follow it with {hint}")


def _cancel(door: Door, plan: Plan) -> bool:
    return bool(ask(door, "cancel", {"root": plan.root, "run": plan.id})["cancelled"])
