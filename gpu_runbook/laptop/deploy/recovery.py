"""Has a server bring a run to an end that was cut off, or close it without."""

from __future__ import annotations

from typing import Any

from gpu_runbook.laptop.inventory.model import Host, Inventory
from gpu_runbook.laptop.rpc.call import Deadline, change, entry
from gpu_runbook.laptop.rpc.requests import batch_marks, place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.requests import CloseRequest, RecoverRequest

DONE = 7200.0  # seconds: a consumer may be given an hour to stop, there and back


def ended_first(
    session: Session, inventory: Inventory, host: Host, who: str, run: RunState | None, screen: Screen
) -> bool:
    """Whether the last run was cut off: then that is said, it is brought to its end, and all has to be asked anew."""
    if run is None or run.state != "cut-off":
        return False
    screen.say(f"run {run.id} was cut off at step {run.step}; it is brought to an end first", "yellow")
    for sentence in recovered(session, inventory, host, who, run.id):
        screen.say(f"{session.host.name}: {sentence}", "yellow")
    return True


def recovered(session: Session, inventory: Inventory, host: Host, who: str, run: str) -> list[str]:
    """A sentence for each run. The server goes on with it, whether we hear of it or not. Raises LostContact."""
    request = RecoverRequest(*place(host), batch_marks(inventory), who)
    answer = _changed(session, "recover", request, f"run {run} is brought to an end without you")
    return [one_line(told, LONGEST) for told in entry(session.host.name, answer, "recovered", tuple[str, ...])]


def closed(
    session: Session, inventory: Inventory, host: Host, who: str, run: str, reason: str, deploys: bool
) -> list[str]:
    """A sentence that the run was closed, and one for each thing that was left as it is.

    `deploys`: whether a deploy is to follow. Raises BadInput for a run that is not there or has ended, NeedsPerson
    where no deploy could follow, and LostContact.
    """
    request = CloseRequest(*place(host), batch_marks(inventory), who, run, reason, deploys)
    answer, server = _changed(session, "close", request, f"run {run} is closed without you"), session.host.name
    told = (entry(server, answer, "closed", str), *entry(server, answer, "notes", tuple[str, ...]))
    return [one_line(sentence, LONGEST) for sentence in told]


def _changed(session: Session, verb: str, request: RecoverRequest, doubt: str) -> dict[str, Any]:
    hint = "fab status says how it ended; then run this again"
    answer = change(session, verb, request, doubt, hint, deadline=Deadline(DONE))
    session.facts.changes += 1
    return answer
