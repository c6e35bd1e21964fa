"""A run that could not be brought to its end yet: one line of its journal for all tries, and what it has left open."""

from __future__ import annotations

import os
import time
from typing import List, Sequence, Set

from gpu_runbook.common.clock import moment, now
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import (
    Begin,
    Command,
    Line,
    Recorded,
    Restarting,
    Staged,
    Staging,
    Stopping,
    Swapping,
    Undoing,
    Unfinished,
    told,
)
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.server.state.journal import Journal

HOUR, MOST = 3600.0, 3  # a round tries so many times within so many seconds
FOLLOWED = (Begin, Staging, Staged, Swapping, Restarting, Stopping, Undoing, Recorded)  # by who ends a run

Lines = Sequence[Line]


def cannot_act() -> Refusal:
    """What is said of an engine that answers, and can do nothing to a container."""
    hint = "see systemctl status containerd docker on the server"
    return Refusal("the docker engine answers and cannot act: its containerd is away", hint, "server")


def recently(lines: Lines, at: float) -> List[str]:
    """When it was tried within the hour before `at`, in seconds since 1970. A time that lies ahead counts as now."""
    tried = (text for one in told(lines[-1:], Unfinished) for text in one.tried or ())
    return [text for text in tried if at - min(moment(text), at) < HOUR]


def note(path: str, begun: int, before: Lines, why: str) -> None:
    """Put one line in the place of all that a try has written since `begun`, a length of the journal in bytes.

    `before`: the lines that it had then. The line of the tries before it goes with it: however often it is tried, the
    journal stays as long as it is.
    """
    last = told(before[-1:], Unfinished)
    if last:
        with open(path, "rb") as file:
            begun = file.read(begun).rstrip(b"\n").rfind(b"\n") + 1
    os.truncate(path, begun)
    tries = 1 + sum(one.tries or 0 for one in last)
    tried = (*recently(before, time.time()), now())[-MOST:]
    journal = Journal(path)
    journal.write(Unfinished(why, tries=tries, tried=tried))
    journal.close()


def swaps(lines: Lines, run: str) -> List[Swap]:
    """Those that a run's journal tells of. Raises Malformed for a line that does not fit and that would be followed."""
    for line in lines:
        for kind in FOLLOWED:
            if line.word == kind.word:
                decode(kind, line.written, run)
    return [one.swap for one in told(lines, Swapping)]


def unobeyed(lines: Lines, swaps: Sequence[Swap]) -> Set[str]:
    """The containers that a run has told to stop, as far as is known, and of which nobody has seen that they did.

    A run that died just then has not written down what became of its command: what comes right before it counts.
    """
    stopping: Set[str] = set()
    olds = {(swap.new, swap.name): swap.old for swap in swaps if swap.old_ran}
    for one in told(lines, Restarting, Stopping, Command):
        if isinstance(one, (Restarting, Stopping)):
            stopping |= {one.container} if one.grace else set()
        elif not isinstance(one, Command) or len(one.argv) < 3:
            continue
        elif one.argv[1] == "rename" and (one.argv[2], one.argv[-1]) in olds:
            stopping.add(olds[one.argv[2], one.argv[-1]])
        elif one.argv[1] == "stop" and one.status != 0:
            stopping.add(one.argv[-1])
        elif one.argv[1] in ("stop", "start") and one.status == 0:
            stopping.discard(one.argv[-1])
    return stopping - {""}
