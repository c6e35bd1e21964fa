"""Two deaths in one run, and the death of whoever helps: which, and at which points, is drawn by a seed."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from random import Random

from tests.faults import shim
from tests.faults.deaths import DEATHS, Death
from tests.faults.helpers import COMMAND, HELPERS, ROUND, make_round, not_judged
from tests.faults.kept import Outcome
from tests.faults.servers import Case, Track
from tests.faults.shim import Point
from tests.faults.story import SECONDS, UNDONE, Stage, execute, started
from tests.faults.story import Case as Story

IN_ONE_RUN, OF_A_HELPER = 60, 40  # cases
SURVIVED = ("laptop", "reset", "black hole", "engine")  # by the run
FATAL = ("process", "process and children", "engine", "reboot")
CUT_OFF = ("process", "process and children", "reboot")

# The points that every run has, and those that every helper comes to that has something to mend: calls and lines.
CALLS = {"deploy": 7, "rollback": 6, "first deploy": 3, UNDONE: 12}
LINES = {"deploy": 12, "rollback": 12, "first deploy": 9, UNDONE: 14}
FURTHER = 3  # calls after the first death
LET_GO = 0.2  # seconds: ten turns of whoever is halted


class Twice(Story):
    """Two deaths, each at a point: what both kinds of it have."""

    def __init__(self, stage: Stage, action: str, first: tuple[Point, Death], second: tuple[Point, Death], helper: str):
        super().__init__(stage, action, *first, helper)
        self.next_point, self.next_death = second
        self.fells_engine |= self.next_death.fells_engine
        self.may_repeat += self.next_death.twice

    def struck_once(self) -> tuple[bool, subprocess.Popen[str], list[str]]:
        """Whether the first death came, the laptop that it met, and the command that helps."""
        words, again = self.words()
        shim.arm(self.sandbox, self.point)
        with started(self.stage.laptop, words) as laptop:
            try:
                came = shim.wait_for_point(self.sandbox, self.point, lambda: laptop.poll() is not None)
                if came:
                    self.strike(self.death, laptop)
                    self.while_halted(laptop)
            finally:
                shim.let_go(self.sandbox)
            self.come_to_rest(laptop)
        return came, laptop, again

    def while_halted(self, laptop: subprocess.Popen[str]) -> None:
        """What is done before whoever was halted at the first point goes on."""


class TwoDeaths(Twice):
    """A run that outlives its first death, and meets a second one at a later point."""

    def run(self) -> bool:
        came, _, again = self.struck_once()
        if came:
            self.help(again)
        return came

    def while_halted(self, laptop: subprocess.Popen[str]) -> None:
        """The run goes on to its next point, where it has one; a run that has ended by then has nothing to fear."""
        shim.arm(self.sandbox, self.next_point)
        shim.go_on(self.sandbox, LET_GO)
        if shim.wait_for_point(self.sandbox, self.next_point, lambda: shim.is_free(self.sandbox)):
            self.strike(self.next_death, laptop)


class HelperDies(Twice):
    """A run that is cut off; whoever helps then is struck at a point of that, too, and a second one has to help."""

    def run(self) -> bool:
        came, laptop, again = self.struck_once()
        if not came:
            return False
        shim.arm(self.sandbox, self.next_point)
        struck = self._by_command(again) if self.helper == COMMAND else self._by_round(laptop)
        if struck:
            self.ended_well = False
            self.help(again)
        return struck

    def _by_command(self, words: list[str]) -> bool:
        with started(self.stage.laptop, words) as laptop:
            try:
                struck = self._struck(laptop, lambda: laptop.poll() is not None)
            finally:
                shim.let_go(self.sandbox)
            self.come_to_rest(laptop)
        return struck

    def _by_round(self, laptop: subprocess.Popen[str]) -> bool:
        """`laptop`: that of the run that was cut off."""
        ended: list[str] = []
        thread = threading.Thread(target=lambda: ended.extend(not_judged(make_round(self.sandbox))))
        thread.start()
        try:
            struck = self._struck(laptop, lambda: not thread.is_alive())
        finally:
            shim.let_go(self.sandbox)
            thread.join(SECONDS)
        self.wrong += [] if struck else ended
        return struck

    def _struck(self, laptop: subprocess.Popen[str], ended: Callable[[], bool]) -> bool:
        struck = shim.wait_for_point(self.sandbox, self.next_point, ended)
        if struck:
            self.strike(self.next_death, laptop)
        return struck


def tracks(seed: int) -> list[Track]:
    """Each case on whatever server is free: none is like the one before it."""
    random = Random(f"twice {seed}")  # noqa: S311  cases, not secrets
    found = [_in_one_run(random) for _ in range(IN_ONE_RUN)] + [_of_a_helper(random) for _ in range(OF_A_HELPER)]
    return [Track([case]) for case in _numbered(found)]


def _numbered(found: list[Case]) -> list[Case]:
    return [Case(f"{number}: {case.name}", case.row, case.play) for number, case in enumerate(found, 1)]


def _in_one_run(random: Random) -> Case:
    action, helper = random.choice(list(CALLS)), random.choice(HELPERS)
    first = _point(random, action), DEATHS[random.choice(SURVIVED)]
    second = Point(random.choice(("before", "after")), random.randint(1, FURTHER)), DEATHS[random.choice(FATAL)]
    return case_of(TwoDeaths, action, first, second, helper)


def _of_a_helper(random: Random) -> Case:
    action, helper = random.choice(("deploy", "rollback", UNDONE)), random.choice(HELPERS)
    # From the first rename on there is something to mend.
    first = Point(random.choice(("before", "after")), random.randint(4, CALLS[action])), DEATHS[random.choice(CUT_OFF)]
    second = _helpers_point(random, helper), DEATHS[random.choice(FATAL)]
    return case_of(HelperDies, action, first, second, helper)


def _point(random: Random, action: str) -> Point:
    when = random.choice(("before", "after", "at line"))
    return Point(when, random.randint(1, (LINES if when == "at line" else CALLS)[action]))


def _helpers_point(random: Random, helper: str) -> Point:
    """A round may have nothing to do but to write an end; a command makes its own deploy after that."""
    if helper == ROUND:
        return Point("at line", random.randint(1, 2))
    return Point(random.choice(("before", "after")), random.randint(1, 7))


def case_of(
    kind: type[TwoDeaths | HelperDies],
    action: str,
    first: tuple[Point, Death],
    second: tuple[Point, Death],
    helper: str = COMMAND,
) -> Case:
    """A case of either kind, as it is named: what is struck where, and then what where."""
    whom = "its helper" if kind is HelperDies else "it"
    row = f"{action} | two deaths in one run" if kind is TwoDeaths else f"{action} | death of the helper: {helper}"
    name = f"{action}, {first[1].name} {first[0]}, then {whom}: {second[1].name} {second[0]}, helped by a {helper}"

    def played(stage: Stage) -> Outcome:
        came, case = execute(kind(stage, action, first, second, helper))
        return Outcome(name, row, tuple(case.wrong), came, helped=case.helped, twice=case.twice)

    return Case(name, row, played)
