"""Sends a plan, follows its run to the end, and turns how it ended into a result or an error."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from gpu_runbook.laptop.deploy.journal_text import Lost, News, meaning
from gpu_runbook.laptop.errors import (
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
from gpu_runbook.laptop.rpc.call import DAY, Deadline, ask, cancelled, entry
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal import interrupts
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.deadlines import PATIENCE, QUICK
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.forms import RunId
from gpu_runbook.protocol.journal import Begin, BeginOfPlan, End, Line, as_line, told
from gpu_runbook.protocol.plan import Plan
from gpu_runbook.protocol.requests import OfRunRequest, RunRequest, Secrets
from gpu_runbook.protocol.values import dataclass

SILENCE = 10.0  # seconds without a word of a run after which its following is taken up anew; the server beats every 3
COMING_BACK = 15.0  # seconds for which that is tried: with the silence, a dead line is said within half a minute
STAGE = 5.0  # seconds for each stage of one try
CANCEL = 60.0  # seconds for the one answer; the server itself waits 15 for the run to put its things away
PAUSE = 1.0  # seconds between two of them

MARGIN = 600.0  # seconds of a run that belong to none of its steps: staging, the record, what is no longer needed
COMMANDS = 10  # of docker, beside the stops, that exchange one container and put it back
UNPLANNED = 7200.0  # seconds for a run that has no plan, as one that removes images

VERBS = {"restart": "restart", "stop": "restart"}  # by the plan's action; the others are the verb run

ENDS: dict[str, type[RunbookError]] = {
    "refused": Refused,
    "rolled-back": RolledBack,
    "needs-person": NeedsPerson,
    "cancelled": Cancelled,
}

Tell = Callable[[News], None]


@dataclass(frozen=True)
class Succeeded:
    """A run that went well. `verdict` is proven, unproven, or empty when nothing had to be watched."""

    run: str
    release: str
    sentence: str
    verdict: str = ""
    notes: tuple[str, ...] = ()


@dataclasses.dataclass
class Listener:
    """Tells what each line of a journal says once, however often the journal is read from its beginning.

    Raises Defect for what is no line of a journal.
    """

    server: str
    tell: Tell
    deadline: Deadline = dataclasses.field(default_factory=Deadline)
    heard: int = 0
    run: str = ""  # as the journal's first line names it
    calls: int = 0
    _at: int = 0

    def again(self) -> None:
        self._at = 0

    def __call__(self, event: dict[str, Any]) -> None:
        self.calls += 1
        self._at += 1
        if self._at > self.heard:
            self.heard = self._at
            self._hear(event.get("line"))

    def _hear(self, written: Any) -> None:
        try:
            line = as_line(written)
        except Malformed as error:
            hint = "fab status says how the run ended"
            raise Defect(f"{self.server}: an event is not what it should be", hint) from error
        event = meaning(line)
        if isinstance(event, Begin) and not self.run:
            self.run = event.run
            self.deadline.allow(_longest_of(line))
        if event:
            self.tell(event)


def longest(plan: Plan) -> float:
    """Seconds after which a run has come to its end, forward or back, however little its engine answers."""
    steps = [step for step in plan.consumers if step.change != "none"]
    stops = sum(2 * (step.stop_grace + QUICK + PATIENCE) for step in steps)
    there_and_back = stops + len(steps) * COMMANDS * (QUICK + PATIENCE)
    return MARGIN + there_and_back + sum(step.watch.settle + step.watch.window for step in steps)


def _longest_of(line: Line) -> float:
    plans = [begin.plan for begin in told([line], BeginOfPlan)]  # none where it is of another version
    return min(longest(plans[0]), DAY) if plans else UNPLANNED


def execute(session: Session, plan: Plan, secrets: Secrets, tell: Tell) -> Succeeded:
    """Start the run and follow it. Ctrl-C asks the server once whether it can still be stopped.

    Raises Refused, RolledBack, NeedsPerson, Cancelled, or LostContact when the run goes on without us. From then on
    Ctrl-C is not heard: what has been answered is not to be drowned by another one.
    """
    try:
        try:
            listener = Listener(session.host.name, tell, Deadline(longest(plan)), run=plan.id)
            return conclude(session, _heard_out(session, plan, secrets, listener))
        except KeyboardInterrupt:
            raise _interrupted(session, plan) from None
    except KeyboardInterrupt:
        message = f"{session.host.name}: you left before the answer; run {plan.id} may go on"
        raise LostContact(message, "fab status") from None
    finally:
        interrupts.heard = False


def follow(session: Session, place: tuple[str, str], run: str, tell: Tell) -> Succeeded:
    """Follow a run, the newest one when `run` is empty. Ctrl-C ends the following and nothing else."""
    listener = Listener(session.host.name, tell)

    def resume(anew: Session) -> dict[str, Any]:
        return _ask_follow(anew, place, listener.run, listener)

    try:
        try:
            answer = _ask_follow(session, place, run, listener)
        except LostContact as error:
            if not listener.run:
                raise LostContact(f"{error.message}; nothing was heard of it", "fab status says how it is") from error
            if listener.deadline.over:
                raise _unended(error, listener.run) from error
            answer = _come_back(session, listener, error, listener.run, resume)
        return conclude(session, answer)
    except KeyboardInterrupt:
        if not listener.calls:
            raise cancelled(session) from None
        raise LostContact(f"{session.host.name}: you have stopped following; the run goes on", "fab follow") from None
    finally:
        interrupts.heard = False


def conclude(session: Session, answer: dict[str, Any]) -> Succeeded:
    """What the last line of a journal means. Raises the error it stands for."""
    server, last = session.host.name, answer.get("end")
    run = entry(server, answer, "run", RunId)
    if last is None:
        why = str(answer.get("why") or "its process is gone and it has no end")
        raise NeedsPerson(
            one_line(f"{server}: run {run} was cut off: {why}", LONGEST),
            "fab deploy or fab rollback finishes or undoes it first, and so does the scheduled check",
        )
    defect = Defect(f"{server}: the end of run {run} is not what it should be")
    try:
        end = decode(End, last, "end")
    except Malformed as error:
        raise defect from error
    said, details = one_line(f"{server}: {end.sentence}", LONGEST), end.details
    if end.outcome in ENDS:
        failed = ENDS[end.outcome](said, one_line(end.hint, LONGEST))
        failed.details = {name: value for name, value in encode(details).items() if value}
        raise failed
    if end.outcome == "done":
        notes = tuple(one_line(note, LONGEST) for note in details.notes)
        return Succeeded(run, details.release, said, end.verdict, notes)
    raise defect


def _heard_out(session: Session, plan: Plan, secrets: Secrets, listener: Listener) -> dict[str, Any]:
    """Start the run and hear it out, over as many connections as that takes."""

    def resume(anew: Session) -> dict[str, Any]:
        """A run that never began is kept from beginning."""
        try:
            return _ask_follow(anew, place_of(plan), plan.id, listener)
        except BadInput:
            if _cancel(anew, plan):
                message = f"{anew.host.name}: contact was lost before the run had begun; nothing was changed"
                raise Cancelled(message, "run it again") from None
            raise LostContact(f"{anew.host.name}: run {plan.id} begins at this very moment") from None

    try:
        request = RunRequest(plan, secrets)
        return ask(session, VERBS.get(plan.action, "run"), request, listener, SILENCE, deadline=listener.deadline)
    except LostContact as error:
        if listener.deadline.over:
            raise _unended(error, plan.id) from error
        return _come_back(session, listener, error, plan.id, resume)


def place_of(plan: Plan) -> tuple[str, str]:
    """Where a plan's run is written down."""
    return plan.root, plan.state


def _ask_follow(session: Session, place: tuple[str, str], run: str, listener: Listener) -> dict[str, Any]:
    listener.again()
    return ask(session, "follow", OfRunRequest(*place, run), listener, SILENCE, deadline=listener.deadline)


def _come_back(
    session: Session, listener: Listener, lost: LostContact, run: str, resume: Callable[[Session], dict[str, Any]]
) -> dict[str, Any]:
    """Take up the following again."""
    listener.tell(Lost(lost.message))
    try:
        answer = come_back(session, resume, lambda: listener.calls, lambda: listener.deadline.over)
    except (LostContact, CannotConnect) as error:
        raise _unended(error, run) from error
    if answer is not None:
        return answer
    if not listener.heard:
        raise LostContact(f"{lost.message}; whether run {run} has begun is not known", "fab status says it") from lost
    hint = f"fab follow --run {run}, as soon as the server can be reached"
    raise LostContact(f"{lost.message}; the run goes on by itself", hint) from lost


def come_back(
    session: Session,
    resume: Callable[[Session], dict[str, Any]],
    calls: Callable[[], int],
    is_over: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Take up a call whose connection was lost, over new connections; its answer, None when nobody answers any more.

    Time begins anew whenever `calls`, which counts what was heard, has grown. Raises the error of a try after which it
    `is_over`.
    """
    until = time.monotonic() + COMING_BACK
    while (left := until - time.monotonic()) > 0:
        before = calls()
        try:
            with session.anew(min(STAGE, left)) as anew:
                return resume(anew)
        except (LostContact, CannotConnect):
            if is_over():
                raise
            if calls() > before:
                until = time.monotonic() + COMING_BACK
            time.sleep(max(min(PAUSE, until - time.monotonic()), 0.0))
    return None


def _unended(error: RunbookError, run: str) -> LostContact:
    """What it means that a run took longer than anything in it may take."""
    said = f"{error.message}; the server does not bring run {run} to its end"
    return LostContact(said, f"see what holds it there; fab follow --run {run} comes back to it")


def _interrupted(session: Session, plan: Plan) -> RunbookError:
    """One question to the server, with one answer."""
    hint = f"fab follow --run {plan.id}"
    try:
        if _cancel(session, plan):
            return cancelled(session)
    except RunbookError as error:
        return LostContact(f"{session.host.name}: nobody answers whether run {plan.id} was stopped: {error}", hint)
    return LostContact(f"{session.host.name}: too late: run {plan.id} goes on", f"follow it with {hint}")


def _cancel(session: Session, plan: Plan) -> bool:
    answer = ask(session, "cancel", OfRunRequest(*place_of(plan), plan.id), deadline=Deadline(CANCEL))
    return entry(session.host.name, answer, "cancelled", bool)
