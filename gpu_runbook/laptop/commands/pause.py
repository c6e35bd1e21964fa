"""Holding deploys back on a server for a while: how long, asked of the server, and what became of it."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING, Any

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory import fields
from gpu_runbook.laptop.inventory.model import Host
from gpu_runbook.laptop.rpc.call import change, read
from gpu_runbook.laptop.rpc.requests import place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.pause import Pause, said, until
from gpu_runbook.protocol.requests import PauseRequest

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import PauseAnswer

SHORTEST, LONGEST = 60, 30 * 86400  # seconds


def seconds(given: str | None) -> int:
    """The value of --for, as hosts.yaml writes times. Raises BadInput."""
    try:
        found: int = fields.duration(SHORTEST, LONGEST).parse(given)
        return found
    except ValueError:
        told = f"--for {given} is no time from 1m to 30d" if given else "--for says how long deploys are held back"
        raise BadInput(told, "fab pause --for 90s, 30m, 2h or 1d") from None


def pause(session: Session, host: Host, length: int, reason: str) -> tuple[Pause | None, Pause | None]:
    """Hold deploys back for so many seconds, or let them go again with 0; one exchange.

    The pause in force now, and the one before. Raises what `call.ask` raises.
    """
    request = PauseRequest(*place(host), getpass.getuser(), socket.gethostname(), length, reason)
    doubt = "deploys may be paused" if length else "the pause may be ended"
    answer = change(session, "pause", request, doubt, "fab status says whether deploys are paused")
    return _read(session.host.name, answer, "pause"), _read(session.host.name, answer, "before")


def told(found: Pause | None, before: Pause | None) -> str:
    """What became of it, for a person."""
    if found:
        return said(found) + (f"; that replaces the pause {until(before)}" if before else "")
    return f"the pause {until(before)} is ended" if before else "there was no pause"


def as_result(server: str, found: Pause | None, before: Pause | None) -> PauseAnswer:
    """The same for scripts."""
    return {
        "server": server,
        "pause": encode(found) if found else None,
        "before": encode(before) if before else None,
    }


def _read(server: str, answer: dict[str, Any], name: str) -> Pause | None:
    """Raises Defect where it is not said, which is another thing than that there is none."""
    found = answer.get(name, "missing")
    return None if found is None else read(server, Pause, found, name)
