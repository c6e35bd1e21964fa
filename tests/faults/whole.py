"""What must be so again after something that was to harm nobody, held against how it was before."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.faults.deaths import Death
from tests.faults.story import Stage, _repeated, _verify


@dataclass(frozen=True)
class Before:
    """A moment at which the server was whole: seconds since 1970, and how often messages were read again."""

    at: float
    repeated: int


def before(stage: Stage) -> Before:
    return Before(time.time(), _repeated(stage))


def wrong(stage: Stage, since: Before, twice: int = 0) -> list[str]:
    """What is not as the matrix of deaths wants it; `twice` messages may have been read again."""
    harmless = Death("none", lambda sandbox, laptop: None, twice)
    return _verify(stage, since.at, since.repeated, harmless)[1]
