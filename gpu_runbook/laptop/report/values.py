"""What a page is drawn from, and the rounds of one server on their time axis."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from gpu_runbook.common import clock
from gpu_runbook.protocol.check import LEVELS, UNKNOWN, Check
from gpu_runbook.protocol.history import PastRun
from gpu_runbook.protocol.rounds import Round
from gpu_runbook.protocol.values import dataclass

USUAL_STEP = 300.0  # seconds between two rounds where neither a setting nor the rounds tell
FEWEST = 8  # distances between rounds that tell more than the setting does
LATEST = 253_402_300_800.0  # the year 10000, in seconds since 1970
APART = 2.5  # steps between two rounds from which on there was none where one was due

Timed = tuple[float, Round]  # seconds since 1970


@dataclass(frozen=True)
class ServerReport:
    """One server: how it is, its rounds (oldest first) and its runs (newest first).

    `at` is RFC 3339 by the server's clock; `every` the seconds between two rounds, 0 where none are scheduled; `since`
    the seconds to be shown; `damaged` counts the lines of the history that could not be read. With an `error` the
    server gave no answer, and the rest is not shown.
    """

    server: str
    at: str
    checks: tuple[Check, ...]
    rounds: tuple[Round, ...]
    runs: tuple[PastRun, ...]
    every: int
    since: int
    damaged: int
    error: str = ""


@dataclass(frozen=True)
class Course:
    """The rounds between `start` and `end` (seconds since 1970), oldest first, usually `step` seconds apart.

    `untimed` counts the rounds whose time cannot be read, `outside` those of another time.
    """

    start: float
    end: float
    step: float
    rounds: tuple[Timed, ...]
    untimed: int = 0
    outside: int = 0

    def percent(self, moment: float) -> float:
        """Where a moment lies on the axis."""
        return min(max((moment - self.start) / (self.end - self.start), 0.0), 1.0) * 100

    def holds(self, moment: float | None) -> bool:
        return moment is not None and self.start <= moment <= self.end

    @cached_property
    def covers(self) -> list[tuple[float, float]]:
        """The time for which each round stands: up to the next one, or one step where that is missing."""
        times = [at for at, _ in self.rounds]
        ends = [*times[1:], self.end][: len(times)]
        return [(at, end if self.follows(at, end) else at + self.step) for at, end in zip(times, ends, strict=True)]

    @cached_property
    def gaps(self) -> list[tuple[float, float]]:
        """The times without a round where there should have been one."""
        covers = self.covers
        edges = [self.start, *(moment for cover in covers for moment in cover), self.end]
        holes = list(zip(edges[::2], edges[1::2], strict=True))
        first = [] if not covers or self.follows(*holes[0]) else [holes[0]]
        return [*first, *(hole for hole in holes[1:] if hole[0] < hole[1])] if covers else holes

    def follows(self, before: float, after: float) -> bool:
        """Whether two moments are near enough for rounds that follow each other."""
        return after - before <= APART * self.step


def course(report: ServerReport) -> Course:
    """The rounds of a report on their axis, which ends at the server's `at`."""
    timed = [(moment(one.at), one) for one in report.rounds]
    by_time = {at: one for at, one in timed if at is not None}  # of two at once, as after a clock was set, the later
    known = sorted(by_time.items(), key=lambda pair: pair[0])
    end = moment(report.at)
    if end is None:
        end = known[-1][0] if known else 0.0
    start, untimed = end - max(report.since, 1), sum(at is None for at, _ in timed)
    within = tuple((at, one) for at, one in known if start <= at <= end)
    times = [at for at, _ in within]
    return Course(start, end, step(times, report.every), within, untimed, len(known) - len(within))


def step(times: Sequence[float], every: int) -> float:
    """Seconds between two rounds. Where the setting was changed, the longer ones that were usual are no gaps."""
    distances = [after - before for before, after in pairwise(times) if after > before]
    if len(distances) >= FEWEST:
        return max(float(every), statistics.quantiles(distances)[0])
    return float(every) or (statistics.median(distances) if distances else USUAL_STEP)


def moment(text: str) -> float | None:
    """Seconds since 1970 of an RFC 3339 time in UTC, None for what is none."""
    try:
        seconds = clock.moment(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < LATEST else None  # what a server writes may be no time at all


def level(text: str) -> str:
    """One of the levels, whatever a server calls it."""
    return text if text in LEVELS else UNKNOWN
