"""A day in minutes: what happens is drawn by a seed, and two ledgers are held against each other in the end.

A round is made every five minutes by the clock of everything of ours on the server, which passes as fast as rounds end.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sandbox import docker_events, finish, keep_publishing, kill, reboot, set_gpu, set_line, start
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, finished
from tests.deploy.standing import journal, runs, wait_for_step
from tests.faults import shim, whole, witness
from tests.faults.deaths import UNSAVED, cut_off
from tests.faults.helpers import history, look_after, make_round, not_judged
from tests.faults.kept import Outcome
from tests.faults.servers import BARE, Case, Track
from tests.faults.shim import Point
from tests.faults.story import BAD, PATIENCE, Stage, make_ready
from tests.real import docker, inspected, parsed_annotations
from tests.schedule.receivers import HttpReceiver

DAYS, LENGTH = 2, 20 * 60.0  # so many, and so many seconds of each
EVERY = 300.0  # seconds between two rounds, by the server's clock
RATE = 20  # messages a second
MOST_KILLS, HOUR = 2, 12  # so many, of the three restarts in so many rounds that the check makes by itself
BROKER, GPU = "RabbitMQ reachable", "GPU available"
FORCED = ("deploy", "--service", QUEUE, "--force", "--tag")


@dataclass(frozen=True)
class Owed:
    """An alert that has to come: among those behind the first `since`, one that `fits`."""

    what: str
    since: int
    fits: Callable[[dict[str, Any]], bool]


@dataclass
class Day:
    """What has happened so far."""

    stage: Stage
    hook: HttpReceiver
    random: Random
    clock: float = 0.0
    owed: list[Owed] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    kills: list[int] = field(default_factory=list)  # the rounds after which a consumer was killed
    repeats: int = 0  # messages that may have been handled twice
    rounds_made: int = 0
    producer: subprocess.Popen[str] | None = None
    begun: float = field(default_factory=time.time)
    events_until: float = field(default_factory=time.time)

    @property
    def told(self) -> list[dict[str, Any]]:
        """The alerts that have come, oldest first."""
        return [json.loads(request.body) for request in self.hook.requests if request.method == "POST"]

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.clock += EVERY
            shim.set_clock(self.stage.sandbox, self.clock)
            self.wrong += not_judged(make_round(self.stage.sandbox))
            self.rounds_made += 1

    def owes(self, what: str, fits: Callable[[dict[str, Any]], bool]) -> None:
        self.owed.append(Owed(what, len(self.told), fits))

    def owes_row(self, what: str, name: str) -> None:
        """An alert of which a row is new, or over, or whatever else there is."""

        def fits(told: dict[str, Any]) -> bool:
            return any((row["what"], row["name"]) == (what, name) for row in told["rows"])

        self.owes(f"{what}: {name}", fits)

    def owes_text(self, text: str) -> None:
        self.owes(text, lambda told: text in told["text"])

    def fab(self, *words: str, fit: Sequence[int] = (0,)) -> None:
        said = self.stage.laptop.fab(*words)
        if said.status not in fit or "Traceback" in said.all:
            self.wrong.append(f"{' '.join(words)} ended with {said.status}: {said.err.strip()}")

    def publish(self) -> None:
        self.producer = keep_publishing(self.stage.sandbox, RATE, self.stage.published + 1)

    def publish_no_more(self) -> None:
        if self.producer:
            producer, self.producer = self.producer, None
            self.stage.published += finish(producer)

    def ask_what_was(self) -> None:
        """An engine that dies forgets what happened: it is asked before."""
        self.events += [*docker_events(self.stage.sandbox, self.events_until), {"Action": witness.ENGINE_DIED}]
        self.events_until = time.time()

    def kill_consumer(self) -> None:
        """The engine does not start again what was killed through it; a round does, and says so."""
        docker(self.stage.sandbox, "kill", "--signal=KILL", QUEUE)
        wait_until(lambda: not _runs(self), 10, "consumer (its end)")
        self.kills.append(self.rounds_made)
        self.repeats += UNSAVED
        self.owes_text(f"{QUEUE} was started again")

    def may_kill(self) -> bool:
        return sum(self.rounds_made - at < HOUR for at in self.kills) < MOST_KILLS


def _runs(day: Day) -> bool:
    return bool(inspected(day.stage.sandbox, QUEUE)["State"]["Running"])


def deployed(day: Day) -> None:
    day.fab(*FORCED, day.stage.next_tag())


def badly_deployed(day: Day) -> None:
    day.fab(*FORCED, BAD, fit=(13,))


def rolled_back(day: Day) -> None:
    day.fab(*FORCED, day.stage.next_tag())
    day.fab("rollback")


def restarted(day: Day) -> None:
    day.fab("restart", QUEUE)


def stopped(day: Day) -> None:
    """On purpose: rounds leave it so."""
    day.fab("stop", QUEUE)
    day.rounds(3)
    day.wrong += ["a consumer that was stopped on purpose runs"] if _runs(day) else []
    day.fab("restart", QUEUE)


def paused(day: Day) -> None:
    """Nobody is told and nothing is done before the pause is over."""
    day.fab("pause", "--for", "1h")
    told = len(day.told)
    day.kill_consumer()
    day.rounds(2)
    day.wrong += ["a round has acted in a pause"] if _runs(day) or len(day.told) != told else []
    day.fab("resume")


def killed(day: Day) -> None:
    day.kill_consumer()


def without_broker(day: Day) -> None:
    sandbox = day.stage.sandbox
    day.publish_no_more()
    kill(sandbox, "broker")
    day.owes_row("new", BROKER)
    day.owes_row("over", BROKER)
    day.rounds(day.random.randint(2, 5))
    start(sandbox, "broker")
    day.publish()
    day.rounds(1)
    wait_until(lambda: _runs(day), 90, "consumer (after the broker)")


def without_gpu(day: Day) -> None:
    set_gpu(day.stage.sandbox, lost=[1])
    day.owes_row("new", GPU)
    day.owes_row("over", GPU)
    day.rounds(day.random.randint(2, 4))
    set_gpu(day.stage.sandbox)


def without_channel(day: Day) -> None:
    """What is owed meanwhile comes when the channel is there again."""
    day.hook.refuse()
    day.kill_consumer()
    day.rounds(1)
    set_gpu(day.stage.sandbox, lost=[0])
    day.owes_row("new", GPU)
    day.owes_row("over", GPU)
    day.rounds(day.random.randint(2, 4))
    set_gpu(day.stage.sandbox)
    day.rounds(1)
    day.hook.recover()


def rebooted(day: Day) -> None:
    day.ask_what_was()
    reboot(day.stage.sandbox, lambda text: None)
    day.repeats += UNSAVED
    docker(day.stage.sandbox, "start", "training")
    wait_until(lambda: _runs(day), 60, "consumer (after the boot)")


def deployed_on_a_dead_line(day: Day) -> None:
    sandbox, number = day.stage.sandbox, runs(day.stage.sandbox) + 1
    with day.stage.laptop.start(*FORCED, day.stage.next_tag()) as laptop:
        wait_for_step(sandbox, number, "staged")
        set_line(sandbox, state="dead")
        laptop.kill()
        laptop.communicate()
    set_line(sandbox)
    day.fab("follow")


def deployed_and_cut_off(day: Day) -> None:
    """The next round finishes it or undoes it, and says so."""
    sandbox, point = day.stage.sandbox, Point("after", day.random.randint(2, 7))
    shim.arm(sandbox, point)
    with day.stage.laptop.start(*FORCED, day.stage.next_tag()) as laptop:
        try:
            came = shim.wait_for_point(sandbox, point, lambda: laptop.poll() is not None)
            day.wrong += [] if came else [f"a deploy never came to {point}"]
            cut_off(sandbox)
        finally:
            shim.let_go(sandbox)
        finished(laptop)
    day.owes_text(str(journal(sandbox)[0]["run"]))


Act = Callable[[Day], None]
KILLING: tuple[Act, ...] = (paused, killed, without_channel)
ACTS: tuple[Act, ...] = (
    *(deployed, badly_deployed, rolled_back, restarted, stopped, without_broker, without_gpu, rebooted),
    *(deployed_on_a_dead_line, deployed_and_cut_off, *KILLING),
)


def tracks(seed: int) -> list[Track]:
    return [Track([_case(number, f"{seed} {number}")], BARE) for number in range(1, DAYS + 1)]


def _case(number: int, seed: str) -> Case:
    def played(stage: Stage) -> Outcome:
        random = Random(seed)  # noqa: S311  acts, not secrets
        until = time.monotonic() + LENGTH
        acts: list[str] = []

        def draw(day: Day) -> Act | None:
            if time.monotonic() > until:
                return None
            act = random.choice([one for one in ACTS if one not in KILLING or day.may_kill()])
            acts.append(act.__name__)
            return act

        wrong, twice = live(stage, random, draw)
        print(f"day {number}: {', '.join(acts)}", flush=True)
        return Outcome(f"day {number}", "a day in minutes", tuple(wrong), twice=twice)

    return Case(f"day {number}", "a day in minutes", played)


def live(stage: Stage, random: Random, draw: Callable[[Day], Act | None]) -> tuple[list[str], int]:
    """One day, as long as `draw` gives something to happen; a sentence for all that is wrong, and messages twice."""
    make_ready(stage)
    with HttpReceiver() as hook:
        stage.laptop.hosts["schedule"] = {"alerts": {"ops": {"kind": "webhook", "url_variable": "HOOK_URL"}}}
        stage.laptop.variables["HOOK_URL"] = hook.url("/hook/verysecretpart1234")
        stage.laptop.save()
        try:
            look_after(stage.laptop)
            day, before = Day(stage, hook, random), whole.before(stage)
            stage.ready = ""
            day.publish()
            day.rounds(1)
            while act := draw(day):
                act(day)
                day.rounds(random.randint(2, 3))
            day.rounds(2)
            day.publish_no_more()
            twice = _account(day, before)
        finally:
            shim.set_clock(stage.sandbox)
            del stage.laptop.hosts["schedule"], stage.laptop.variables["HOOK_URL"]
            stage.laptop.save()
    return day.wrong, twice


def _account(day: Day, before: whole.Before) -> int:
    """Both ledgers; how many messages were handled more than once."""
    stage = day.stage
    until = time.monotonic() + PATIENCE
    published = set(range(stage.published))
    seen = witness.look(stage.sandbox, day.events_until)
    while (left := published - _offsets(seen)) and time.monotonic() < until:
        time.sleep(0.5)
        seen = witness.look(stage.sandbox, day.events_until)
    handled = [line.offset for line in parsed_annotations(seen.annotations)]
    twice = len(handled) - len(set(handled))
    day.wrong += [f"{len(left)} offsets of {len(published)} were never handled"] if left else []
    strange = set(handled) - published
    day.wrong += [f"{len(strange)} offsets were handled and never published"] if strange else []
    day.wrong += [f"{twice} messages twice"] if twice > day.repeats else []
    day.wrong += witness.not_whole(before.seen, seen, stopped_by_engine=True)
    day.wrong += witness.never_two(before.seen.running, [*day.events, *seen.events])
    day.wrong += _alerts(day)
    return twice


def _offsets(seen: witness.Witness) -> set[int]:
    return {line.offset for line in parsed_annotations(seen.annotations)}


def _alerts(day: Day) -> list[str]:
    """Every alert that was owed has come, and what has come is what the check has meant to send, in that order."""
    told = day.told
    wrong = [f"never told: {owed.what}" for owed in day.owed if not any(map(owed.fits, told[owed.since :]))]
    sent = [title for one in history(day.stage.sandbox) for title in one.get("alerts", ())]
    came = [one["title"] for one in told]
    if came != sent:
        missing, unmeant = [one for one in sent if one not in came], [one for one in came if one not in sent]
        wrong.append(f"{len(sent)} alerts were to be sent, and {len(came)} came: without {missing}, beside {unmeant}")
    return wrong
