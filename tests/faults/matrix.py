"""Every death at every point of every kind of run, as tracks: points are counted until a run ends before the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.faults.deaths import DEATHS, Death
from tests.faults.helpers import COMMAND, HELPERS
from tests.faults.kept import Outcome
from tests.faults.servers import Case, Track
from tests.faults.shim import SYNC, WHENS, Point
from tests.faults.story import ACTIONS, Played, Stage, play
from tests.faults.troubles import TROUBLES

MOST = 60  # points of one kind in one run; a run has far fewer
ALL = {**DEATHS, **TROUBLES}


@dataclass(frozen=True)
class Row:
    """One death at every point of one kind, in one kind of run, and who helps afterwards."""

    action: str
    death: str
    when: str
    helper: str = COMMAND


def rows(
    deaths: Sequence[str],
    actions: Sequence[str] = ACTIONS,
    helpers: Sequence[str] = HELPERS,
    whens: Sequence[str] = WHENS,
) -> list[Row]:
    """Those that take longest first, so that no server has to wait long for the last one.

    Where nobody has to help, it makes no difference who would: such deaths are played once.
    """
    slowest = sorted(deaths, key=lambda death: not ALL[death].fells_engine)
    return [
        Row(action, death, when, helper)
        for death in slowest
        for helper in helpers
        if helper == COMMAND or ALL[death].needs_help
        for action in actions
        for when in (*whens, *([SYNC] if ALL[death].tears_files else []))
    ]


def tracks(found: Sequence[Row]) -> list[Track]:
    return [Track(list(_cases(row)), ALL[row.death].ground, endless=True) for row in found]


def _cases(row: Row) -> Iterator[Case]:
    for number in range(1, MOST):
        yield case_of(row.action, Point(row.when, number), ALL[row.death], row.helper)


def case_of(action: str, point: Point, death: Death, helper: str = COMMAND) -> Case:
    name = str(Played(action, point, death.name, came=True, helper=helper))
    row = f"{action} | {death.name} | {helper}"

    def played(stage: Stage) -> Outcome:
        one = play(stage, action, point, death, helper)
        return Outcome(name, row, one.wrong, one.came, helped=one.helped, twice=one.twice)

    return Case(name, row, played)
