"""The strips: for every check the stretches of time in which it stayed at one level. A short critical is never lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gpu_runbook.common import humanize
from gpu_runbook.laptop.report import clock
from gpu_runbook.laptop.report.values import Course, ServerReport, level
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING
from gpu_runbook.protocol.values import dataclass

GAP = "gap"  # no round where there should have been one
WORST_FIRST = (CRITICAL, UNKNOWN, WARNING, OK, SKIPPED, GAP)
TROUBLE = (CRITICAL, UNKNOWN, WARNING)
MOST_STRIPS = 40
FINEST = 250  # parts of the axis below which stretches are drawn as one, once there are more than so many
SAID = 200  # characters of a sentence beside a stretch


@dataclass(frozen=True)
class Stretch:
    """From `start` to `end` (seconds since 1970) a check was at one level, or there was no round.

    `silent` says why nobody was told. `mixed`: levels changed too quickly to be drawn; this is the worst of them.
    """

    level: str
    start: float
    end: float
    rounds: int = 0
    silent: str = ""
    said: str = ""
    mixed: bool = False

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def text(self) -> str:
        """`critical for 45 min, 20 Apr 02:10 to 02:55 UTC: connection refused`."""
        what = "no round" if self.level == GAP else f"{self.level} at worst, changing" if self.mixed else self.level
        began, ended = clock.brief(self.start), clock.brief(self.end)
        ended = ended[-5:] if clock.day(self.start) == clock.day(self.end) else ended
        text = f"{what} for {clock.length(self.seconds)}, {began} to {ended} UTC"
        text += f": {self.said[:SAID]}" if self.said else ""
        return f"{text} (silent: {self.silent[:SAID]})" if self.silent else text


@dataclass(frozen=True)
class Strip:
    """One check over the whole time. `share`: percent of the time it was ok, None where it was never asked."""

    name: str
    stretches: tuple[Stretch, ...]
    share: float | None
    text: str


def strips(report: ServerReport, axis: Course) -> tuple[list[Strip], list[tuple[str, Stretch]], int]:
    """A strip per check, (name, stretch) of all that was not ok, newest first, and how many checks are left out."""
    names = dict.fromkeys([check.name for check in report.checks])
    for _, one in reversed(axis.rounds):
        names.update(dict.fromkeys(one.levels))
    shown = list(names)[:MOST_STRIPS]
    fine = {name: stretches(name, axis) for name in shown}
    drawn = [Strip(name, tuple(coarse(found, axis)), share(found), summary(found)) for name, found in fine.items()]
    trouble = [(name, one) for name, found in fine.items() for one in found if one.level in TROUBLE]
    return drawn, sorted(trouble, key=lambda pair: pair[1].start, reverse=True), len(names) - len(shown)


def stretches(name: str, axis: Course) -> list[Stretch]:
    """Those of one check, oldest first. A time in which there were rounds that did not ask for it has none."""
    found: list[list[int]] = []  # the first and the last round of each
    for index, (_, one) in enumerate(axis.rounds):
        if name not in one.levels:
            continue
        if found and _goes_on(name, axis, found[-1][1], index):
            found[-1][1] = index
        else:
            found.append([index, index])
    drawn = [_stretch(name, axis, first, last) for first, last in found]
    return sorted([*drawn, *(Stretch(GAP, *gap) for gap in axis.gaps)], key=lambda one: one.start)


def _goes_on(name: str, axis: Course, before: int, after: int) -> bool:
    (_, one), (at, other) = axis.rounds[before], axis.rounds[after]
    same = (one.levels[name], one.silent) == (other.levels[name], other.silent)
    return same and axis.covers[before][1] == at


def _stretch(name: str, axis: Course, first: int, last: int) -> Stretch:
    """What is said of it is what was said last."""
    _, one = axis.rounds[last]
    start, end = axis.covers[first][0], axis.covers[last][1]
    return Stretch(level(one.levels[name]), start, end, last - first + 1, one.silent, one.said.get(name, ""))


def coarse(found: Sequence[Stretch], axis: Course) -> list[Stretch]:
    """Few enough to be drawn: neighbours that are too short to be told apart become one, as bad as the worst."""
    if len(found) <= FINEST:
        return list(found)
    return [_merged(group) for group in _groups(found, (axis.end - axis.start) / FINEST)]


def _groups(found: Sequence[Stretch], width: float) -> Iterator[list[Stretch]]:
    group: list[Stretch] = []
    for one in found:
        if group and one.end - group[0].start > width:
            yield group
            group = []
        group.append(one)
    yield group


def _merged(group: Sequence[Stretch]) -> Stretch:
    if len(group) == 1:
        return group[0]
    worst = min(group, key=lambda one: WORST_FIRST.index(one.level))
    silent = worst.silent if all(one.silent for one in group) else ""
    rounds = sum(one.rounds for one in group)
    return Stretch(worst.level, group[0].start, group[-1].end, rounds, silent, worst.said, mixed=True)


def share(found: Sequence[Stretch]) -> float | None:
    """Percent of the time asked about in which it was ok, rounded down: 100 is only what was always ok."""
    asked = sum(one.seconds for one in found if one.level not in (GAP, SKIPPED))
    well = sum(one.seconds for one in found if one.level == OK)
    return int(well / asked * 1000 + 1e-6) / 10 if asked else None


def summary(found: Sequence[Stretch]) -> str:
    """`critical for 45 min (1 time), ok for 6 days 22 h`."""
    parts = []
    for one in WORST_FIRST:
        lengths = [stretch.seconds for stretch in found if stretch.level == one]
        seconds = sum(lengths)
        if seconds or (lengths and one in TROUBLE):  # trouble that began just now has no length yet
            parts.append(f"{'no round' if one == GAP else one} for {clock.length(seconds)}{_times(found, one)}")
    return ", ".join(parts) or "no round in this time"


def _times(found: Sequence[Stretch], level: str) -> str:
    """How often it began; what goes on through the beginning of a silence goes on."""
    begun = sum(
        after.level == level and (before is None or before.level != level or before.end != after.start)
        for before, after in pairwise([None, *found])
        if after is not None
    )
    return f" ({humanize.several(begun, 'time')})" if level in (*TROUBLE, GAP) else ""
