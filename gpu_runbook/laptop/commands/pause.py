"""Holding deploys back on a server for a while: how long, asked of the server, and as rows for whoever comes by."""

from __future__ import annotations

import getpass
import socket
from typing import Any

from gpu_runbook.laptop.errors import BadInput, Defect, LostContact
from gpu_runbook.laptop.inventory import fields
from gpu_runbook.laptop.inventory.model import Host
from gpu_runbook.laptop.rpc.call import ask
from gpu_runbook.laptop.rpc.requests import place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.pause import Pause, said, until
from gpu_runbook.protocol.requests import PauseRequest

SHORTEST, LONGEST = 60, 30 * 86400  # seconds


def seconds(given: str | None) -> int:
    """The value of --for, as hosts.yaml writes times. Raises BadInput."""
    try:
        found: int = fields.duration(SHORTEST, LONGEST).parse(given)
        return found
    except ValueError:
        told = f"--for {given} is no time from 1m to 30d" if given else "--for says how long deploys are held back"
        raise BadInput(told, "fab pause --for 90s, 30m, 2h or 1d") from None


def pause(session: Session, host: Host, length: int, reason: str) -> dict[str, Any]:
    """Hold deploys back for so many seconds, or let them go again with 0; one exchange.

    The result is what --json prints: pause and before, each as JSON types or None. Raises what `call.ask` raises.
    """
    request = PauseRequest(*place(host), getpass.getuser(), socket.gethostname(), length, reason)
    try:
        answer = ask(session, "pause", request)
    except LostContact as error:
        raise LostContact(error.message, "fab status says whether deploys are paused") from error
    found, before = (_read(session.host.name, answer.get(name)) for name in ("pause", "before"))
    return {"pause": found and encode(found), "before": before and encode(before), "told": told(found, before)}


def told(found: Pause | None, before: Pause | None) -> str:
    """What became of it, for a person."""
    if found:
        return said(found) + (f"; that replaces the pause {until(before)}" if before else "")
    return f"the pause {until(before)} is ended" if before else "there was no pause"


def _read(server: str, data: Any) -> Pause | None:
    try:
        return None if data is None else decode(Pause, data, "pause")
    except Malformed as error:
        raise Defect(f"{server}: the pause is not what it should be ({error})") from error
