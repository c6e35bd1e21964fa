"""The directories that a server is to have, and what a setup did."""

from __future__ import annotations

from typing import Optional, Tuple

from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.forms import Mode, Owner, Path, RunId
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Directory:
    """One directory. `owner` is uid:gid, empty for any; `mode` None for any."""

    path: Path
    owner: Owner = ""
    mode: Optional[Mode] = None


@dataclass(frozen=True)
class NotDone:
    """What this login could not do, and what to do about it: a command for root, or a sentence."""

    what: str  # what could not be done
    hint: str  # a command for root, or a sentence; empty where there is nothing to say
    root: bool  # whether root can do it by that command


@dataclass(frozen=True)
class Done:
    """What was done, or would be on a dry run, in words; what is left to a person; how the server is now.

    `unfinished`: a move of the state that was cut off once it was in force. It may have left cron without a check.
    """

    done: Tuple[str, ...]
    left: Tuple[NotDone, ...]
    rows: Tuple[Check, ...]
    unfinished: RunId = ""
