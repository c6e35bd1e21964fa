"""Whether a server's clock is so far from this laptop's that ages, dates and retention mislead."""

from __future__ import annotations

import time

from gpu_runbook.common import humanize
from gpu_runbook.common.clock import moment
from gpu_runbook.protocol.check import WARNING, Check

APART = 300.0  # seconds by which two clocks may differ


def rows(at: str) -> list[Check]:
    """A row where a server's time (RFC 3339), as it was a moment ago, is far from this laptop's; else none."""
    ahead = moment(at) - time.time()
    if abs(ahead) <= APART:
        return []
    said = f"the server's clock is {humanize.span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} this laptop's"
    hint = "ages and dates go by the server's: timedatectl, there and here, says which of them is off"
    return [Check("clock", WARNING, said, {"seconds": round(ahead)}, hint)]
