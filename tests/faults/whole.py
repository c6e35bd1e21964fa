"""What must be so again after something that was to harm nobody, held against how it was before."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.faults import witness
from tests.faults.story import PATIENCE, Stage
from tests.faults.witness import Witness


@dataclass(frozen=True)
class Before:
    """A moment at which the server was whole: seconds since 1970, and how it stood then."""

    at: float
    seen: Witness


def before(stage: Stage) -> Before:
    at = time.time()
    return Before(at, witness.look(stage.sandbox, at))


def wrong(stage: Stage, since: Before, twice: int = 0, stopped_by_engine: bool = False) -> list[str]:
    """What is not as the matrix of deaths wants it; `twice` messages may have been read again.

    `stopped_by_engine`: something had left the consumer stopped before a run found it.
    """
    first, count = stage.first, stage.published - stage.first + 1
    _, repeated_before = witness.lost_and_repeated(since.seen, first, 0)
    until = time.monotonic() + PATIENCE
    seen = witness.look(stage.sandbox, since.at)
    while (found := witness.lost_and_repeated(seen, first, count))[0] and time.monotonic() < until:
        time.sleep(0.3)
        seen = witness.look(stage.sandbox, since.at)
    lost, repeated = found
    repeated -= repeated_before
    found_wrong = [
        *witness.not_whole(since.seen, seen, stopped_by_engine),
        *witness.never_two(since.seen.running, seen.events),
    ]
    found_wrong += [witness.not_written(seen, first, count)] if lost else []
    return found_wrong + ([f"{repeated} messages twice"] if repeated > twice else [])
