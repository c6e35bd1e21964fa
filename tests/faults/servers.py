"""Cases dealt out over servers that stand side by side; each is kept as soon as it is over."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_runbook.laptop.errors import RunbookError
from sandbox import Sandbox, down, up
from sandbox.place import CHECKOUT
from tests.deploy.laptop import new_laptop
from tests.faults import disk, kept
from tests.faults.kept import Outcome, Results
from tests.faults.story import Stage, leave, make_ready

PORT_BASE, SPAN = 26300, 100  # of ports for each server; beside those of the tests and the bench
BARE = "bare"  # a ground: as it came up, without a release

Say = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """`play` plays it on whatever its part's cases are played on, a Stage for most. `row` counts it in the table."""

    name: str
    row: str
    play: Callable[[Any], Outcome]


@dataclass
class Track:
    """Cases that one server plays one after the other. Where `endless`, the first that does not come is the end."""

    cases: Sequence[Case]
    ground: str = disk.PLAIN
    endless: bool = False


@dataclass
class Deal:
    """What is left of a part, and what was found out. Several threads deal with one: one for each server.

    limit: so many cases more at most, all there are without it. all_of_it: the tracks are all that the part has.
    """

    results: Results
    folder: Path
    tracks: list[Track]
    say: Say
    limit: int | None = None
    all_of_it: bool = True
    errors: list[Exception] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _begun: float = field(default_factory=time.monotonic)
    _before: float = 0.0

    def __post_init__(self) -> None:
        self._before = self.results.seconds
        self._left = self.limit
        self._all = list(self.tracks)

    def next_track(self, ground: str) -> Track | None:
        """The next one, rather for a server as it stands: to change what it stands on takes a while."""
        with self._turn:
            if self.stopped.is_set() or not self.tracks:
                return None
            track = next((one for one in self.tracks if one.ground == ground), self.tracks[0])
            self.tracks.remove(track)
            return track

    def known(self, case: Case) -> Outcome | None:
        """How a case went that was played before, in this call or an earlier one."""
        return self.results.known.get(case.name)

    def take(self) -> bool:
        """Whether one more case may be played."""
        with self._turn:
            if self.stopped.is_set() or self._left == 0:
                return False
            if self._left is not None:
                self._left -= 1
            return True

    def left(self) -> int:
        """How many tracks have a case that was not played yet."""
        return sum(not self._is_over(track) for track in self._all)

    def _is_over(self, track: Track) -> bool:
        for case in track.cases:
            outcome = self.known(case)
            if outcome is None:
                return False
            if track.endless and not outcome.came:
                return True
        return True

    def add(self, one: Outcome) -> None:
        with self._turn:
            outcomes = (*self.results.outcomes, one)
            seconds = round(self._before + time.monotonic() - self._begun, 1)
            self.results = dataclasses.replace(self.results, outcomes=outcomes, seconds=seconds)
            kept.save(self.folder, self.results)
            if one.came:
                how = f"wrong: {'; '.join(one.wrong)}" if one.wrong else "whole"
                self.say(f"{self.results.cases:5}  {one.case}: {how} ({one.seconds:.0f} s)")
            elif self._left is not None:
                self._left += 1  # it was none

    def end(self) -> None:
        """Nothing is left: everything there is was played."""
        if self.all_of_it and not self.stopped.is_set() and not self.left():
            self.results = dataclasses.replace(self.results, whole=True)
            kept.save(self.folder, self.results)


Host = Callable[[int], AbstractContextManager[Any]]  # what cases are played on, from the number of its server


def play_all(deal: Deal, jobs: int, host: Host, prepare: Callable[[Any, str], None]) -> None:
    """Play everything on so many servers. Raises the first error that no other server could have helped with.

    A KeyboardInterrupt is raised on once every server is down again; what was played until then is kept.
    """
    jobs = min(jobs, deal.left())
    threads = [threading.Thread(target=_serve, args=(deal, host, prepare, number)) for number in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        deal.stopped.set()
        deal.say("stopping: the servers are taken down")
        for thread in threads:
            thread.join()
        raise
    if deal.errors:
        raise deal.errors[0]
    deal.end()


def _serve(deal: Deal, host: Host, prepare: Callable[[Any, str], None], number: int) -> None:
    """The life of one server."""
    try:
        with host(number) as scene:
            ground = ""
            while track := deal.next_track(ground):
                ground = track.ground
                _play(deal, track, scene, prepare)
    except Exception as error:  # a thread's error would be lost with it
        deal.errors.append(error)
        deal.stopped.set()


def _play(deal: Deal, track: Track, scene: Any, prepare: Callable[[Any, str], None]) -> None:
    for case in track.cases:
        outcome = deal.known(case)
        if outcome is None:
            if not deal.take():
                return
            prepare(scene, track.ground)
            outcome = _played(case, scene)
            if deal.stopped.is_set():
                return
            deal.add(outcome)
        if track.endless and not outcome.came:
            return


def _played(case: Case, scene: Any) -> Outcome:
    """A case that could not be played to its end is a wrong one: a server on which nothing works is not whole."""
    begun = time.monotonic()
    try:
        outcome = case.play(scene)
    except Exception as error:
        outcome = Outcome(case.name, case.row, (f"{type(error).__name__}: {error}",))
    return dataclasses.replace(outcome, case=case.name, seconds=round(time.monotonic() - begun, 1))


def stages(port_base: int) -> Host:
    """A sandbox of its own for each number."""

    @contextmanager
    def host(number: int) -> Iterator[Stage]:
        base = port_base + SPAN * number
        sandbox = Sandbox(CHECKOUT / f".sandbox-tests-{base}", base)
        up(sandbox, quiet)
        try:
            with tempfile.TemporaryDirectory() as folder:
                yield Stage(new_laptop(Path(folder), sandbox))
        finally:
            down(sandbox, quiet)

    return host


def prepare_stage(stage: Stage, ground: str) -> None:
    """A server that cannot even be cleaned is built anew."""
    try:
        _prepare(stage, ground)
    except (RunbookError, AssertionError, OSError):
        down(stage.sandbox, quiet)
        up(stage.sandbox, quiet)
        _prepare(stage, ground)


def _prepare(stage: Stage, ground: str) -> None:
    if ground == BARE:
        leave(stage)
    else:
        make_ready(stage, ground)


def quiet(text: str) -> None:
    """Side by side, nobody could tell whose lines they are."""
