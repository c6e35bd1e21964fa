"""The ways in which something dies in the middle of a run. Each strikes once, at a point where the run is halted."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox import Sandbox, kill, reboot, run_inside, set_line, start
from tests.faults.shim import family

Strike = Callable[[Sandbox, "subprocess.Popen[str]"], None]

OUTAGE = 3.0  # seconds for which the line is dead
UNSAVED = 50  # messages that a consumer killed without warning may read again: hosts.yaml's saved_every


@dataclass(frozen=True)
class Death:
    """`twice`: so many messages may be handled again. `fells_training`: by itself, whatever a run does."""

    name: str
    strike: Strike
    twice: int = 0
    fells_training: bool = False


def _laptop(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    laptop.kill()


def _reset(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    set_line(sandbox, state="reset")
    set_line(sandbox)


def _black_hole(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    set_line(sandbox, state="dead")
    laptop.kill()
    time.sleep(OUTAGE)
    set_line(sandbox)


def _process(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    _end(sandbox, family(sandbox)[:1])


def _power(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    _end(sandbox, family(sandbox))


def _engine(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    kill(sandbox, "engine")
    start(sandbox, "engine")


def _reboot(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    reboot(sandbox, lambda text: None)


def _end(sandbox: Sandbox, pids: list[int]) -> None:
    assert pids, "there is no process to end: nobody holds the lock"
    # Some of the family may have ended since they were counted.
    run_inside(sandbox, ["kill", "-KILL", *map(str, pids)], check=False)


DEATHS = {
    death.name: death
    for death in (
        Death("laptop", _laptop),
        Death("reset", _reset),
        Death("black hole", _black_hole),
        Death("process", _process),
        Death("process and children", _power),
        Death("engine", _engine, twice=UNSAVED, fells_training=True),
        Death("reboot", _reboot, twice=UNSAVED, fells_training=True),
    )
}
