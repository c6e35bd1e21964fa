"""A short life of a server: what a team does with it, step by step, and what has to come of each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox import Sandbox, finish, keep_publishing, start, stop
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop, Said, finished
from tests.deploy.standing import Standing, runs, standing, wait_for_step, watched
from tests.faults import shim
from tests.faults.deaths import DEATHS, UNSAVED
from tests.faults.helpers import JUDGED
from tests.faults.shim import Point
from tests.real import (
    docker,
    exists,
    fire,
    inspected,
    lost_and_twice,
    messages,
    overlap,
    published,
    running_intervals,
    started_training,
    wait_for_annotations,
    written,
)

RATE = 100  # messages a second, while a release is replaced
IN_SWAP = Point("before", 5)  # the old consumer is about to be stopped


class NotSo(Exception):
    """What had to come of a step, and did not."""


@dataclass
class Life:
    """A laptop in front of a fresh server, and what has become of it so far.

    swallowed: the numbers of messages that a bad release was given, which it may lose.
    """

    laptop: Laptop
    begun: float = field(default_factory=time.time)
    published: int = 0
    swallowed: range = range(0)
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def sandbox(self) -> Sandbox:
        return self.laptop.sandbox

    def fab(self, *words: str, status: int = 0) -> Said:
        said = self.laptop.fab(*words)
        return self.ended(said, status, *words)

    def ended(self, said: Said, status: int, *words: str) -> Said:
        _must(said.status == status, f"fab {' '.join(words)} ended with {said.status}, not {status}: {_last(said)}")
        ours = [line for line in said.err.splitlines() if not line.startswith("  | ")]  # and not a container's log
        _must(not any("Traceback" in line for line in ours), f"fab {' '.join(words)} shows a traceback")
        return said

    def server(self, *words: str, status: int = 0) -> dict[str, Any]:
        """The answer of a command about the one server."""
        (answer,) = self.fab(*words, "--json", status=status).json["servers"]
        found: dict[str, Any] = answer
        return found

    def publish(self, count: int) -> None:
        """Publish so many, and wait until consumers have written down all that a good one was given."""
        published(self.sandbox, count, first=self.published + 1)
        self.published += count
        self.await_all()

    def await_all(self) -> None:
        wanted = set(messages(self.published)) - self.may_be_lost
        wait_until(lambda: wanted <= {one.message for one in written(self.sandbox)}, 30, "consumer (with all messages)")

    @property
    def may_be_lost(self) -> set[str]:
        return set(messages(len(self.swallowed), self.swallowed.start))


def live(laptop: Laptop) -> Iterator[str]:
    """Live through it: yields the name of each step before it is taken. Raises NotSo at the first that goes wrong."""
    life = Life(laptop)
    for step in STEPS:
        yield step.__name__.strip("_").replace("_", " ")
        step(life)


def _setup(life: Life) -> None:
    life.fab("setup")
    _must(life.server("setup")["outcome"] == "up-to-date", "a second fab setup has something to do")
    started_training(life.sandbox)
    life.training = inspected(life.sandbox, "training")["State"]


def _deploy(life: Life) -> None:
    watched(life.laptop, settle=1, window=6)
    published(life.sandbox, 100)
    life.published = 100
    answer = life.server("deploy")
    _must((answer["outcome"], answer["verdict"]) == ("done", "proven"), f"the first deploy is {answer['verdict']}")
    wait_for_annotations(life.sandbox, life.published)


def _deploy_under_load(life: Life) -> None:
    producer = keep_publishing(life.sandbox, RATE, life.published + 1)  # however long it takes here
    try:
        answer = life.server("deploy", "--tag", f"{QUEUE}=1.1")
    finally:
        life.published += finish(producer)
    _must(answer["verdict"] == "proven", f"a deploy under load is {answer['verdict'] or answer['outcome']}")
    life.await_all()


def _crash_loop(life: Life) -> None:
    _undone(life, "bad-exits", "it ended by itself", 0)


def _failing_log(life: Life) -> None:
    watched(life.laptop, settle=1, window=60)  # until its log says so
    life.swallowed = range(life.published + 1, life.published + 101)
    _undone(life, "bad-drops", 'its log says: "Error while handling', len(life.swallowed))
    watched(life.laptop, settle=1, window=6)


def _undone(life: Life, tag: str, reason: str, count: int) -> None:
    """A bad release is put under its watch with so many messages, and the one before is back in its place."""
    before = standing(life.sandbox)
    words = ("deploy", "--service", QUEUE, "--tag", tag, "--json")
    number = runs(life.sandbox) + 1
    with life.laptop.start(*words) as process:
        if count:
            wait_for_step(life.sandbox, number, "watching", 60)
            published(life.sandbox, count, first=life.published + 1)
            life.published += count
        said = life.ended(finished(process), 13, *words)
    (answer,) = said.json["servers"]
    _must(reason in answer["sentence"], f"{tag} failed for another reason: {answer['sentence']}")
    _must(standing(life.sandbox) == before, f"what stood before {tag} is not as it was")
    life.publish(10)


def _rollback(life: Life) -> None:
    answer = life.server("rollback")
    _must(answer["outcome"] == "done", f"a rollback is {answer['outcome']}")
    _must(_image(life).endswith(":1.0") or _labelled(life) == "1.0", f"after a rollback {_image(life)} runs")
    life.publish(20)


def _registry_down(life: Life) -> None:
    before = standing(life.sandbox)
    stop(life.sandbox, "registry")
    try:
        said = life.fab("deploy", "--tag", "2.0", status=12)
    finally:
        start(life.sandbox, "registry")
    _must("refused" in said.err, f"a registry that is down is told as: {_last(said)}")
    _must(standing(life.sandbox) == before, "a deploy that was refused has changed something")


def _health(life: Life) -> None:
    answer = life.server("health")
    worse = [f"{row['name']}: {row['text']}" for row in answer["checks"] if row["level"] not in ("ok", "skipped")]
    _must(not worse, "; ".join(worse))


def _prune(life: Life) -> None:
    watched(life.laptop, settle=0, window=1)
    for tag in ("2.0", "1.1"):
        life.fab("deploy", "--service", QUEUE, "--tag", tag)
    running: Standing = standing(life.sandbox)
    answer = life.server("prune", "--keep", "2")
    kinds = {thing["kind"] for thing in answer["things"] if thing["removed"]}
    _must({"release", "container"} <= kinds, f"a prune removed {', '.join(sorted(kinds)) or 'nothing'}")
    _must(standing(life.sandbox) == running, "a prune has changed what runs")
    again = life.server("prune", "--keep", "2")
    _must(again["outcome"] == "up-to-date", f"a second prune finds {len(again['things'])} more things")


def _a_round(life: Life) -> None:
    """One round looks, and the next starts a consumer that has died."""
    stop(life.sandbox, "cron")  # all rounds are made here
    try:
        life.fab("schedule.install")
        _round(life)
        docker(life.sandbox, "kill", QUEUE)
        _round(life)
        _must(inspected(life.sandbox, QUEUE)["State"]["Running"], "a round has not started the consumer that had died")
        seen = life.server("health", "--since", "1h")["rounds"]
        _must(len(seen) == 2, f"{len(seen)} rounds are on record")
        life.fab("schedule.remove")
    finally:
        start(life.sandbox, "cron")
    life.publish(20)


def _round(life: Life) -> None:
    (ended,) = fire(life.sandbox)
    _must(ended.returncode in JUDGED, f"a round ended with {ended.returncode}: {ended.stderr.strip()}")


def _cut_off(life: Life) -> None:
    """A run dies in its swap with all its children; the next command brings the server to its end."""
    words = ("deploy", "--service", QUEUE, "--force", "--tag", "1.1")
    shim.install(life.sandbox)
    try:
        shim.arm(life.sandbox, IN_SWAP)
        with life.laptop.start(*words) as process:
            came = shim.wait_for_point(life.sandbox, IN_SWAP, lambda: process.poll() is not None)
            DEATHS["process and children"].strike(life.sandbox, process)
            shim.let_go(life.sandbox)
            life.ended(finished(process), 14, *words)
        _must(came, "the run did not come to its swap")
        _must("was cut off at step" in life.fab("status").out, "fab status does not name the run that was cut off")
        life.fab(*words)
    finally:
        shim.remove(life.sandbox)
    life.publish(20)


def _logs(life: Life) -> None:
    lines = life.server("logs", QUEUE, "--tail", "20")["lines"]
    _must(any("consuming azaion-annotations" in line["text"] for line in lines), f"the log has {len(lines)} lines")
    _must(len(life.server("history")["runs"]) > 6, "fab history lacks runs")


def _at_the_end(life: Life) -> None:
    """No message lost, at most an unsaved batch twice, never two consumers, training as it was."""
    life.await_all()
    lost, twice = lost_and_twice(written(life.sandbox), messages(life.published))
    lost = [name for name in lost if name not in life.may_be_lost]
    _must(not lost, f"{len(lost)} messages are lost")
    _must(len(twice) <= UNSAVED, f"{len(twice)} messages were read twice")
    training = inspected(life.sandbox, "training")
    _must(training["State"] == life.training, "training was touched")
    ran = running_intervals(life.sandbox, life.begun)
    del ran[training["Id"]]
    pairs = [(one, other) for one in ran for other in ran if one < other and overlap(ran[one], ran[other])]
    _must(not pairs, f"{len(pairs)} pairs of consumers ran at the same moment")
    _must(exists(life.sandbox, QUEUE), "no consumer is there")


STEPS: tuple[Callable[[Life], None], ...] = (
    *(_setup, _deploy, _deploy_under_load, _crash_loop, _failing_log, _rollback, _registry_down, _health),
    *(_prune, _a_round, _cut_off, _logs, _at_the_end),
)


def _image(life: Life) -> str:
    return str(inspected(life.sandbox, QUEUE)["Config"]["Image"])


def _labelled(life: Life) -> str:
    return str(inspected(life.sandbox, QUEUE)["Config"]["Labels"].get("org.opencontainers.image.version", ""))


def _must(so: bool, sentence: str) -> None:
    if not so:
        raise NotSo(sentence)


def _last(said: Said) -> str:
    return " ".join((said.err.strip() or said.out.strip()).splitlines()[-2:])
