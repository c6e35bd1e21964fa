"""A run that could not be brought to its end yet: one line of its journal for all tries, and what it has left open."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Sequence, Set

from gpu_runbook.common.clock import moment, now
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.run.swap import Swap
from gpu_runbook.server.state.journal import Journal

EVENT = "unfinished"
HOUR, MOST = 3600.0, 3  # a round tries so many times within so many seconds

Lines = Sequence[Dict[str, Any]]


def cannot_act() -> Refusal:
    """What is said of an engine that answers, and can do nothing to a container."""
    hint = "see systemctl status containerd docker on the server"
    return Refusal("the docker engine answers and cannot act: its containerd is away", hint, "server")


def recently(lines: Lines, at: float) -> List[str]:
    """When it was tried within the hour before `at`, in seconds since 1970. A time that lies ahead counts as now."""
    told = lines[-1].get("tried") if lines and lines[-1]["event"] == EVENT else None
    return [text for text in told or () if isinstance(text, str) and at - min(_moment(text), at) < HOUR]


def _moment(text: str) -> float:
    try:
        return moment(text)
    except ValueError:
        return 0.0


def note(path: str, begun: int, before: Lines, why: str) -> None:
    """Put one line in the place of all that a try has written since `begun`, a length of the journal in bytes.

    `before`: the lines that it had then. The line of the tries before it goes with it: however often it is tried, the
    journal stays as long as it is.
    """
    last = before[-1] if before and before[-1]["event"] == EVENT else {}
    tries = int(last.get("tries", 0))
    if last:
        with open(path, "rb") as file:
            begun = file.read(begun).rstrip(b"\n").rfind(b"\n") + 1
    os.truncate(path, begun)
    tried = [*recently(before, time.time()), now()][-MOST:]
    journal = Journal(path)
    journal.write(EVENT, why=why, tries=tries + 1, tried=tried)
    journal.close()


def swaps(lines: Lines, run: str) -> List[Swap]:
    """Those that a run's journal tells of. Raises Malformed and KeyError."""
    return [decode(Swap, line["swap"], f"{run}.swap") for line in lines if line["event"] == "swap"]


def unobeyed(lines: Lines, swaps: Sequence[Swap]) -> Set[str]:
    """The containers that a run has told to stop, as far as is known, and of which nobody has seen that they did.

    A run that died just then has not written down what became of its command: what comes right before it counts.
    """
    told: Set[str] = set()
    olds = {(swap.new, swap.name): swap.old for swap in swaps if swap.old_ran}
    for line in lines:
        argv = line.get("argv")
        if line["event"] in ("restart", "stop") and line.get("grace"):
            told.add(str(line.get("container")))
        elif line["event"] != "command" or not isinstance(argv, list) or len(argv) < 3:
            continue
        elif argv[1] == "rename" and (argv[2], argv[-1]) in olds:
            told.add(olds[argv[2], argv[-1]])
        elif argv[1] == "stop" and line.get("status") != 0:
            told.add(argv[-1])
        elif argv[1] in ("stop", "start") and line.get("status") == 0:
            told.discard(argv[-1])
    return told - {""}
