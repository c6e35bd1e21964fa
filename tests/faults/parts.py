"""The parts of `make faults`: each is a run of less than three quarters of an hour, with a file of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.faults import away, clock, day, evil, moving, people, twice
from tests.faults.helpers import COMMAND, HELPERS
from tests.faults.kept import Outcome
from tests.faults.matrix import rows, tracks
from tests.faults.servers import Case, Host, Track, prepare_stage, stages
from tests.faults.story import ACTIONS, UNDONE
from tests.hostile.__main__ import PROPERTIES
from tests.hostile.properties import Ground, Property, try_out

SERVERS = 2 * (os.cpu_count() or 1)  # most of a case is waiting
HOSTILE = 10_000  # cases of all properties together
BEFORE = ("before",)  # of the points: each docker command meets what is away


@dataclass(frozen=True)
class Part:
    """`tracks` gives the cases, which a seed may decide about. cases: how many there are, where `counted` by a run.

    Where it is not counted beforehand, it is what was counted last: as many as a run has points. servers: so many side
    by side, unless somebody says otherwise.
    """

    name: str
    what: str
    cases: int
    tracks: Callable[[int], list[Track]]
    servers: int = SERVERS
    counted: bool = True

    def host(self, port_base: int) -> Host:
        return stages(port_base)

    def prepare(self, scene: Any, ground: str) -> None:
        prepare_stage(scene, ground)


class HostilePart(Part):
    """Its cases need no server but an sshd."""

    def host(self, port_base: int) -> Host:
        @contextmanager
        def host(number: int) -> Iterator[Ground]:
            with Ground() as ground:
                yield ground

        return host

    def prepare(self, scene: Any, ground: str) -> None:
        """A ground is as good as new."""


class MovePart(Part):
    """Its servers are those of an older version."""

    def host(self, port_base: int) -> Host:
        return moving.host(port_base)

    def prepare(self, scene: Any, ground: str) -> None:
        moving.prepare(scene)


def _deaths(name: str, what: str, cases: int, deaths: Sequence[str]) -> Part:
    return Part(name, what, cases, lambda seed: tracks(rows(deaths)), counted=False)


def _absences(seed: int) -> list[Track]:
    return tracks(rows(("engine absent", "containerd absent"), (*ACTIONS, UNDONE), (COMMAND,), BEFORE))


def _limits(seed: int) -> list[Track]:
    found = rows(("docker's disk full", "no inode left"), ("deploy", "rollback", UNDONE), HELPERS, BEFORE)
    return tracks([*found, *rows(("read-only root",), ("deploy", "rollback"), HELPERS, BEFORE)])


def _hostile(seed: int) -> list[Track]:
    return [Track([_property(one, seed)]) for one in PROPERTIES]


def _property(one: Property, seed: int) -> Case:
    def tried(ground: Ground) -> Outcome:
        count = try_out(one, ground, HOSTILE // len(PROPERTIES), seed)
        return Outcome(one.name, "hostile input", cases=count)

    return Case(one.name, "hostile input", tried)


PARTS = {
    part.name: part
    for part in (
        _deaths("line", "the laptop or its line dies", 252, ("laptop", "reset", "black hole")),
        _deaths("process", "the run's process dies", 170, ("process",)),
        _deaths("power", "the run and its children die at once", 239, ("process and children",)),
        _deaths("engine", "the docker engine dies with all containers", 168, ("engine",)),
        _deaths("reboot", "the server loses power", 173, ("reboot",)),
        _deaths("disk", "the disk of root and state is full", 336, ("disk full", "disk stays full")),
        Part("twice", "two deaths in one run, and deaths of who helps", 100, twice.tracks),
        Part("absent", "the engine or containerd is away for 5 s", 58, _absences, counted=False),
        Part("away", "the engine is away for long, or a consumer cannot be killed", 26, away.tracks),
        Part("limits", "docker's disk is full, no inode is left, the root is read-only", 130, _limits, counted=False),
        MovePart("move", "the state moves out of an older version's folder", 400, moving.tracks, counted=False),
        Part("clock", "the server's clock is a year off", 16, clock.tracks),
        Part("people", "Ctrl-C at every point, and two laptops at once", 57, people.tracks, counted=False),
        HostilePart("hostile", "hostile and broken input", HOSTILE, _hostile, servers=1, counted=False),
        Part("evil", "an evil consumer, broker, registry or server", 100, evil.tracks),
        Part("day", "days in minutes, with a ledger of messages and alerts", 2, day.tracks, servers=2),
    )
}
