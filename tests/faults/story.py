"""One case: a run, a death at one point of it, at most one thing that helps; and what is wrong in the end."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from sandbox import Sandbox, docker_events, finish, keep_publishing, renew_stream, run_inside
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop, Said, finished
from tests.faults import disk, shim, witness
from tests.faults.deaths import Death, Relief
from tests.faults.helpers import COMMAND, ROUND, look_after, make_round, not_judged
from tests.faults.shim import Point
from tests.faults.witness import ENGINE_DIED, Witness
from tests.real import ROOT, STATE, clean, docker, started_training

SECONDS = 90.0  # what a laptop may take to end once its run has
PATIENCE = 30.0  # and what consumers may take for the messages that wait then
RATE = 80  # messages a second that are published while a case goes on
ACTIONS = ("first deploy", "deploy", "rollback")
UNDONE = "undone deploy"  # of a release that ends at once
BAD = "bad-exits"  # its tag
NOTHING_CHANGED = (11, 12)  # exit statuses of a command that was refused
FIT_TO_END = (0, 11, 12, 13, 14, 16)  # exit statuses of a laptop whose run something died in

# Nothing of ours but the images; what trains goes on.
_BARE = f"""
docker ps --all --quiet --filter label=gpu-runbook.service | xargs --no-run-if-empty docker rm --force >/dev/null
rm -rf {STATE} {ROOT}/config.yaml {ROOT}/offset.yaml {ROOT}/offset.tmp {ROOT}/annotations.log
"""


@dataclass
class Stage:
    """A server on which case follows case: what was published so far, and which tag comes next.

    `ready`: empty for a server on which nothing is certain, else what it stands on.
    """

    laptop: Laptop
    ready: str = ""
    published: int = 0
    first: int = 1  # the number of the first message that annotations.log still tells of
    configs: int = 0
    tags: list[str] = field(default_factory=lambda: ["1.0", "1.1"])

    def __post_init__(self) -> None:
        self.laptop.queue["watch"] |= {"settle": 0, "window": 4}
        self.laptop.save()

    @property
    def sandbox(self) -> Sandbox:
        return self.laptop.sandbox

    def next_tag(self) -> str:
        """The other tag, with another config: what belongs to which release can be told apart."""
        self.tags.reverse()
        self.configs += 1
        self.laptop.variables["AZAION_API_EMAIL"] = f"release-{self.configs}@azaion.example"
        self.laptop.save()
        return self.tags[0]


@dataclass(frozen=True)
class Played:
    """How a case went. `came`: whether the run came to the point at all; `wrong`: what must be so and is not."""

    action: str
    point: Point
    death: str
    came: bool
    wrong: tuple[str, ...] = ()
    twice: int = 0
    helped: bool = False  # whether a further command was given, or a round made
    seconds: float = 0.0
    helper: str = COMMAND  # who was to help, if anybody had to

    def __str__(self) -> str:
        by = " and a round" if self.helper == ROUND else ""
        return f"{self.action}, {self.death} {self.point}{by}"


def new_server(stage: Stage, ground: str = disk.PLAIN) -> None:
    """A server on which nothing was deployed yet, and a training runs."""
    leave(stage)
    if ground == disk.OWN:
        disk.mount(stage.sandbox)
    elif ground == disk.ENGINES:
        disk.mount_engines(stage.sandbox)
    shim.install(stage.sandbox)
    stage.published, stage.first = 0, 1
    started_training(stage.sandbox)


def leave(stage: Stage) -> None:
    """A server as it came up, for whoever has it next."""
    stage.ready = ""
    clean(stage.sandbox)
    if disk.is_mounted(stage.sandbox):
        disk.unmount(stage.sandbox)
        clean(stage.sandbox)
    elif disk.is_engines_mounted(stage.sandbox):
        disk.unmount_engines(stage.sandbox)
        clean(stage.sandbox)
    shim.remove(stage.sandbox)


def make_ready(stage: Stage, ground: str = disk.PLAIN) -> None:
    """A whole server with one release on it; nothing is done where it is so already."""
    if stage.ready != ground:
        new_server(stage, ground)
        stage.laptop.deployed("--tag", stage.next_tag())
        stage.ready = ground


def play(stage: Stage, action: str, point: Point, death: Death, helper: str = COMMAND) -> Played:
    """Play one case on a server that is ready, and leave it ready if nothing went wrong."""
    begun = time.monotonic()
    came, case = execute(Case(stage, action, point, death, helper))
    taken = time.monotonic() - begun
    return Played(action, point, death.name, came, tuple(case.wrong), case.twice, case.helped, taken, helper)


AnyCase = TypeVar("AnyCase", bound="Case")


def execute(case: AnyCase) -> tuple[bool, AnyCase]:
    """Play a case from its first message to its last; whether it came to its point, and what was found out."""
    stage, ready = case.stage, case.stage.ready
    stage.ready = ""
    if case.action == "first deploy":
        run_inside(stage.sandbox, ["sh", "-ec", _BARE])
        renew_stream(stage.sandbox)
        stage.published, stage.first = 0, 1
    else:
        # A consumer appends: what earlier cases have written need not be counted again.
        run_inside(stage.sandbox, ["truncate", "--size=0", f"{ROOT}/annotations.log"])
        stage.first = stage.published + 1
    if case.helper == ROUND:
        look_after(stage.laptop)
    first = stage.published + 1
    with _published(stage):
        if case.action == "rollback":
            stage.laptop.deployed("--force", "--tag", stage.next_tag())
        case.begin()
        came = case.run()
    if came:
        case.read_on(first)
    stage.ready = "" if case.wrong else ready
    return came, case


@contextmanager
def _published(stage: Stage) -> Iterator[None]:
    """Messages keep coming, and are counted."""
    producer = keep_publishing(stage.sandbox, RATE, stage.published + 1)
    try:
        yield
    finally:
        stage.published += finish(producer)


@contextmanager
def started(laptop: Laptop, words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A `fab` under way, which does not outlive an error."""
    process = laptop.start(*words)
    try:
        yield process
    except BaseException:  # a test that is interrupted leaves no laptop behind, and is interrupted all the same
        process.kill()
        process.communicate()
        raise


class Case:
    """What is found out in the course of one case."""

    before: Witness
    events_until: float

    def __init__(self, stage: Stage, action: str, point: Point, death: Death, helper: str = COMMAND) -> None:
        self.stage, self.action, self.point, self.death, self.helper = stage, action, point, death, helper
        self.sandbox = stage.sandbox
        self.events: list[dict[str, object]] = []
        self.wrong: list[str] = []
        self.twice = 0
        self.helped = False
        self.ended_well = False
        self.fells_engine = death.fells_engine or death.reboots
        self.may_repeat = death.twice

    def begin(self) -> None:
        """From here on everything is held against what stands now."""
        self.events_until = time.time()
        self.before = witness.look(self.sandbox, self.events_until)

    def run(self) -> bool:
        """The run, the death and what helps; False when the run ended without coming to the point.

        Of trouble that outlasts the help, a command may say that it can do nothing: it is given again then.
        """
        words, again = self.words()
        shim.arm(self.sandbox, self.point)
        with started(self.stage.laptop, words) as laptop:
            relieve = None
            try:
                came = shim.wait_for_point(self.sandbox, self.point, lambda: laptop.poll() is not None)
                relieve = self.strike(self.death, laptop) if came else None
            finally:
                shim.let_go(self.sandbox)
            try:
                self.come_to_rest(laptop)
                if came and not self.death.blinds and not self.death.reboots:
                    self.see_at_rest()
                    if self.death.outlasts:
                        self.help(again, NOTHING_CHANGED)
            finally:
                if relieve:
                    self._relieve(relieve)
        if came and (self.death.blinds or self.death.reboots):
            self.see_at_rest()
        if came and not self.ended_well:
            self.help(again)
        return came

    def words(self) -> tuple[list[str], list[str]]:
        """The command that is struck, and the one that is given again."""
        tag = self.stage.next_tag() if self.action != "rollback" else ""
        again = self._deploy("--force", "--tag", tag) if tag else ["rollback"]
        return (self._deploy("--force", "--tag", BAD) if self.action == UNDONE else again), again

    def read_on(self, first: int) -> None:
        """Let the consumer read what is left, and judge what stands then. `first`: the number of the first message."""
        count = self.stage.published - first + 1
        until = time.monotonic() + PATIENCE
        seen = self._look()
        while (found := witness.lost_and_repeated(seen, first, count))[0] and time.monotonic() < until:
            time.sleep(0.3)
            seen = self._look()
        lost, self.twice = found
        stopped_by_engine = (self.fells_engine and self.helped) or self.death.for_a_person
        self.wrong += filter(self._is_wrong, witness.not_whole(self.before, seen, stopped_by_engine))
        self.wrong += witness.never_two(self.before.running, [*self.events, *seen.events])
        self.wrong += [witness.not_written(seen, first, count)] if lost else []
        self.wrong += [f"{self.twice} messages twice"] if self.twice > self.may_repeat else []
        if self.fells_engine:
            docker(self.sandbox, "start", "training")
        elif seen.training != self.before.training:
            self.wrong.append("training was touched")

    def _is_wrong(self, text: str) -> bool:
        return not (self.death.for_a_person and re.match(r"run \S+ ended as needs-person: ", text))

    def _deploy(self, *words: str) -> list[str]:
        return ["deploy", "--service", QUEUE, *words]

    def _look(self) -> Witness:
        return witness.look(self.sandbox, self.events_until)

    def strike(self, death: Death, laptop: subprocess.Popen[str]) -> Relief | None:
        if death.fells_engine:
            self._ask_what_was()
        return death.strike(self.sandbox, laptop)

    def _relieve(self, relieve: Relief) -> None:
        if self.death.reboots:
            self._ask_what_was()
        relieve()

    def _ask_what_was(self) -> None:
        """An engine that dies forgets what happened: it is asked before."""
        self.events += [*docker_events(self.sandbox, self.events_until), {"Action": ENGINE_DIED}]
        self.events_until = time.time()

    def come_to_rest(self, laptop: subprocess.Popen[str]) -> None:
        """Wait until nobody holds the lock: the run has ended, or died with all that it started."""
        wait_until(lambda: shim.is_free(self.sandbox), self.death.seconds, "run (its end)")
        killed = laptop.poll() is not None and laptop.returncode < 0
        said = finished(laptop, SECONDS)
        if not killed:
            self._in_words("the laptop", said, self.death.ends or FIT_TO_END)

    def see_at_rest(self) -> None:
        """What is to be so before anybody helps, and whether `fab status` tells it."""
        seen = self._look()
        # Docker does not always start again what fell with it.
        stopped_by_engine = self.fells_engine and not seen.running
        if self.death.ends_by_itself and not stopped_by_engine:
            self.ended_well = True
            self.wrong += [f"before any help: {text}" for text in witness.not_whole(self.before, seen)]
        elif self.death.serves and self.before.running:
            self.wrong += [f"on the full disk: {text}" for text in witness.not_serving(seen)]
        said = self._in_words("fab status", self.stage.laptop.fab("status"), (0,))
        if ("was cut off at step" in said.out) != bool(seen.cut_off):
            self.wrong.append(f"fab status {'does not name the' if seen.cut_off else 'names a'} run that was cut off")

    def help(self, words: list[str], refusals: tuple[int, ...] = ()) -> None:
        """A round decides nothing: where it has left no release in force, a deploy is given again all the same."""
        self.helped = True
        if self.helper == COMMAND or not self._round(bool(refusals)):
            self._further(words, refusals)

    def _round(self, may_fail: bool) -> bool:
        """One round of the scheduled check; whether a release is in force after it."""
        self.wrong += not_judged(make_round(self.sandbox))
        seen = self._look()
        if seen.record["current"]:
            self.ended_well = not list(witness.not_whole(self.before, seen, self.fells_engine))
        elif not may_fail:
            self.wrong += [f"after the round: {text}" for text in witness.not_bare(seen)]
        return bool(seen.record["current"])

    def _further(self, words: list[str], refusals: tuple[int, ...] = ()) -> None:
        """The same again, or a deploy where there is nothing to go back to any more."""
        said = self.stage.laptop.fab(*words)
        if words == ["rollback"] and "no earlier release" in said.err:
            said = self.stage.laptop.fab(*self._deploy("--tag", self.stage.tags[0]))
        self._in_words(f"the further {words[0]}", said, (0, *refusals))
        self.ended_well = said.status == 0

    def _in_words(self, who: str, said: Said, fit: tuple[int, ...]) -> Said:
        if said.status not in fit or "Traceback" in said.all:
            self.wrong.append(f"{who} ended with {said.status}: {said.err.strip()}")
        return said
