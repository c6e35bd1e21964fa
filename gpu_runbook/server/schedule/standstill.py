"""Does a consumer get on, from one round to the next? Its position then and now, while messages wait. Pure."""

from __future__ import annotations

import dataclasses
from typing import Optional, Tuple

from gpu_runbook.common import humanize
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, WARNING, Check
from gpu_runbook.protocol.forms import Offset
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Standstill:
    """Where a consumer was, and for how long it has not moved from there although messages waited.

    The seconds are those between rounds that saw both: a clock that is set, or a night without power, adds nothing.
    """

    offset: Offset
    waiting: bool = False  # messages waited at the last round
    seconds: float = 0.0


def judge(
    check: Check, known: Optional[Standstill], step: float, stale_after: float
) -> Tuple[Check, Optional[Standstill]]:
    """The row of an offset as the rounds before make it, and what is known after it. `step`: since the last round."""
    if check.level == SKIPPED:
        return check, None
    figures = check.figures
    if "backlog" not in figures:  # the file or the stream could not be asked, or the row is critical by itself
        return check, known
    now, waiting = int(figures["offset"]), int(figures["backlog"])
    if known is not None and now < known.offset:
        sentence = f"offset went back from {known.offset} to {now} since the last round"
        hint = "as after a restore of the file; what lies between is handled a second time"
        return Check(check.name, WARNING, sentence, figures, hint), Standstill(now, bool(waiting))
    if not waiting:
        return dataclasses.replace(check, level=OK), Standstill(now)
    wait = f"up to {humanize.several(waiting, 'message')} to go"
    if known is None or now > known.offset:
        moved = f"advances, {now - known.offset} since the last round" if known else f"{now} is seen for the first time"
        return Check(check.name, OK, f"offset {moved}, {wait}", figures), Standstill(now, True)
    seconds = known.seconds + step if known.waiting else 0.0
    after = Standstill(now, True, seconds)
    figures = dict(figures, standstill=round(seconds))
    sentence = f"offset {now} has not advanced for {humanize.span(seconds)}, {wait}"
    if seconds < stale_after:
        return Check(check.name, OK, f"{sentence}; critical after {humanize.span(stale_after)}", figures), after
    return Check(check.name, CRITICAL, sentence, figures, check.hint), after
