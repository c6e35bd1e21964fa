"""An engine with an old and a new consumer that its commands really start, stop and rename, on a clock of its own.

And a run there, in as many steps as a test of it takes.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

import gpu_runbook.server.docker.commands
from gpu_runbook.common.clock import moment
from gpu_runbook.common.command import Ended
from gpu_runbook.common.container import labels
from gpu_runbook.protocol.journal import End
from gpu_runbook.protocol.plan import ConsumerStep, Occupant, Plan, Watch
from gpu_runbook.protocol.requests import Secrets
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.commands import Docker
from gpu_runbook.server.docker.engine import EngineError
from gpu_runbook.server.run import recovery, rollout
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.docker_answers import IMAGE, NEVER, Answering, image, inspected, listed
from tests.unit.journals import begin_of

OLD, NEW, MADE = "a" * 64, "b" * 64, "e" * 64
DIALING = 'connection error: desc = "transport: Error while dialing dial unix /run/containerd/containerd.sock"'
SWAP = Swap("queue", "queue", NEW, f"queue.{RUN}", "always", OLD, "queue", "queue.r0", "always", old_ran=True)
HELD = Occupant(OLD, "queue", IMAGE, True, "2026-04-20T10:11:12Z", "always", True)
STEP = ConsumerStep("queue", "replace", "1", Watch(), container=NEW, old=HELD, restart="always")
NOT_ENDED = "cannot stop container: tried to kill container, but did not receive an exit event"
DAY = moment("2026-04-20T12:00:00Z")
KILL = 10.0  # seconds after which the engine gives up waiting for the end of what it has killed


class World(Answering):
    """`now`: seconds. While it is away its containerd does nothing; `hangs`: nor does the engine answer for it.

    `faults`: why a container does not start. `undying`: until when a container does not end. `ran`: each command, and
    when.
    """

    def __init__(self) -> None:
        super().__init__("unix:///nowhere")
        self.put(now=0.0, away_until=0.0, hangs=False, faults={}, undying={}, ran=[], _away_after=("", 0.0))
        self.put(living={OLD}, names={OLD: "queue", NEW: f"queue.{RUN}"}, policies={OLD: "always", NEW: "no"})
        self.put(
            started={OLD: "2026-04-20T10:00:00Z", NEW: NEVER},
            most_at_once=1,
            killed=set(),
            exit_codes={},
            restarts={},
            restarting=set(),
            unhealthy=set(),
        )

    now: float
    away_until: float
    hangs: bool
    faults: dict[str, str]
    undying: dict[str, float]
    ran: list[tuple[float, list[str]]]
    living: set[str]
    names: dict[str, str]
    policies: dict[str, str]
    started: dict[str, str]
    most_at_once: int
    killed: set[str]
    exit_codes: dict[str, int]
    restarts: dict[str, int]
    restarting: set[str]
    unhealthy: set[str]
    _away_after: tuple[str, float]

    def put(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        """An Engine is frozen; the world is not."""
        object.__setattr__(self, name, value)

    def away_after(self, word: str, seconds: float) -> None:
        """Containerd goes away once a command of that name was carried out."""
        self._away_after = word, seconds

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def runs(self, container: str) -> bool:
        if container in self.killed and self.now >= self.undying.get(container, 0.0):
            self.living.discard(container)
            self.killed.discard(container)
        return container in self.living

    def acts(self) -> bool:
        if self.now < self.away_until and self.hangs:
            self.now += 10
        return self.now >= self.away_until

    def inspection(self, name_or_id: str) -> dict[str, Any] | None:
        found = next((one for one, name in self.names.items() if name_or_id in (one, name)), None)
        if found is None:
            return None
        if self.now < self.away_until and self.hangs:
            self.now += 10
            raise EngineError(0, "the docker engine does not answer")
        return inspected(
            found,
            self.names[found],
            labels("queue", RUN, "5bec", "hash"),
            restart=self.policies[found],
            restarts=self.restarts.get(found, 0),
            Status="running" if self.runs(found) else "exited",
            Running=self.runs(found),
            Restarting=found in self.restarting,
            Health={"Status": "unhealthy", "FailingStreak": 3, "Log": []} if found in self.unhealthy else None,
            ExitCode=self.exit_codes.get(found, 0),
            StartedAt=self.started[found] or NEVER,
            FinishedAt="2026-04-20T10:00:00Z",
        )

    def made_from(self, name: str) -> dict[str, Any] | None:
        return image()

    def listing(self) -> list[dict[str, Any]]:
        states = {True: "running", False: "exited"}
        return [listed(one, name, State=states[self.runs(one)]) for one, name in self.names.items()]

    def logs(self, container: str, tail: int = 0, since: float = 0, stamps: bool = False) -> str:
        return ""

    def run(self, argv: list[str], deadline: float, **more: Any) -> Ended:
        """What `docker` comes to."""
        self.now += 0.05
        self.ran.append((self.now, argv))
        if self.now < self.away_until:
            self.now += 60.0 if self.hangs else 0.0
            return Ended(tuple(argv), None if self.hangs else 1, "", DIALING, 0.1)
        said = getattr(self, f"_{argv[1]}")(argv)
        if not said and argv[1] == self._away_after[0]:
            self.away_until, self._away_after = self.now + self._away_after[1], ("", 0.0)
        self.most_at_once = max(self.most_at_once, len(self.living))
        return Ended(tuple(argv), 1 if said else 0, "", said, 0.1)

    def _start(self, argv: list[str]) -> str:
        if self.runs(argv[-1]) or argv[-1] in self.faults:
            return self.faults.get(argv[-1], "")
        self.living.add(argv[-1])
        self.started[argv[-1]] = "2026-04-20T12:00:00Z"
        return ""

    def _stop(self, argv: list[str]) -> str:
        self.killed.add(argv[-1])
        if not self.runs(argv[-1]):
            return ""
        self.now += float(argv[3]) + KILL
        return NOT_ENDED if self.runs(argv[-1]) else ""

    def _rename(self, argv: list[str]) -> str:
        self.names[argv[2]] = argv[3]
        return ""

    def _update(self, argv: list[str]) -> str:
        self.policies[argv[-1]] = argv[3]
        return ""

    def _create(self, argv: list[str]) -> str:
        name = argv[argv.index("--name") + 1]
        if name not in self.faults:
            self.names[MADE], self.policies[MADE], self.started[MADE] = name, "no", ""
        return self.faults.get(name, "")

    def _tag(self, argv: list[str]) -> str:
        return ""

    def _rm(self, argv: list[str]) -> str:
        self.names.pop(argv[-1])
        return ""


def placed(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose engine everybody finds, whose commands docker's are, and whose clock moves where one waits."""
    world = World()
    monkeypatch.setattr(gpu_runbook.server.docker.commands, "run", world.run)
    monkeypatch.setattr(time, "monotonic", lambda: world.now)
    monkeypatch.setattr(time, "sleep", world.sleep)
    monkeypatch.setattr(engines, "find", lambda address: world)
    return world


def docker(store: Store, world: World) -> Docker:
    """The commands of RUN, with its journal."""
    return Docker(world, Journal(store.journal(RUN)), -1, ())


def site(store: Store, world: World, step: ConsumerStep = STEP, action: str = "deploy") -> Site:
    """RUN, begun: of a plan of one step."""
    plan = Plan(RUN, action, "gpu-1", store.root, RUN, "ann", "laptop", "0.1.0", (step,))
    doing = docker(store, world)
    doing.journal.write(begin_of(plan))
    return Site(plan, Secrets(), {}, store, doing, doing.journal)


def exchanged(here: Site) -> End | None:
    """How its swap ends; None: not yet."""
    return rollout._exchange(here, list(here.plan.consumers), [SWAP])


def recovered(store: Store, world: World) -> list[str]:
    """What is said by whoever takes up the runs that were cut off."""
    return recovery.cut_off_runs(store, world, -1, ())
