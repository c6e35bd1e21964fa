"""The line in front of the server's sshd: its delay, and the ways it can be cut."""

from __future__ import annotations

from sandbox.machine import run_inside
from sandbox.place import Sandbox

STATES = ("open", "dead", "reset")


def set_line(sandbox: Sandbox, rtt: float = 0, state: str = "open") -> None:
    """Set the round trip in milliseconds, for bytes that arrive from now on, and what becomes of connections.

    `open` forwards; `dead` keeps every connection, new ones too, and answers nothing; `reset` ends those that are open.
    """
    if state not in STATES:
        raise ValueError(f"a line is {', '.join(STATES)}, and not {state}")
    run_inside(sandbox, ["line", "set", str(rtt), state])


def round_trip(sandbox: Sandbox) -> float:
    """The round trip in force, in milliseconds."""
    return float(run_inside(sandbox, ["line", "get"]).stdout)
