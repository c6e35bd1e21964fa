"""How a move of the state went."""

from __future__ import annotations

from typing import Tuple

from gpu_runbook.protocol.forms import Place, RunId
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Moved:
    """Where the state lies now, where it lay (or what was given up, in words), and our block of the crontab.

    `left`: names of what was not taken along. All but `folder` is empty where there is none.
    """

    folder: Place
    was: str = ""
    run: RunId = ""
    left: Tuple[str, ...] = ()
    crontab: str = ""
