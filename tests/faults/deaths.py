"""The ways in which something dies in the middle of a run. Each strikes once, at a point where the run is halted."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox import Sandbox, kill, reboot, run_inside, set_line, start
from tests.faults import disk
from tests.faults.shim import family, halted, lose_what_was_not_synced

Relief = Callable[[], None]
Strike = Callable[[Sandbox, "subprocess.Popen[str]"], "Relief | None"]

OUTAGE = 3.0  # seconds for which the line is dead
UNSAVED = 50  # messages that a consumer killed without warning may read again: hosts.yaml's saved_every


@dataclass(frozen=True)
class Death:
    """`strike` gives what ends the trouble, where something does; `story.py` says when that is.

    ends_by_itself: the run must end without anybody's help. twice: so many messages may be handled again.
    fells_engine: with all its containers, training included, whatever a run does. ground: what the server has to stand
    on. serves: one consumer runs all the same while the trouble lasts. outlasts: the trouble is over only after
    somebody has helped. tears_files: it strikes in the middle of writing a file, too. blinds: while it lasts nothing
    can be seen of the server. reboots: a reboot is what ends it. ends: the exit statuses of a laptop whose run it
    struck, where not all are fit. for_a_person: that run ends as one for a person, and with good reason, and the
    consumer is stopped then. seconds: what the run may take to come to rest, where that is long.
    """

    name: str
    what: str
    strike: Strike
    ends_by_itself: bool = False
    twice: int = 0
    fells_engine: bool = False
    ground: str = disk.PLAIN
    serves: bool = False
    outlasts: bool = False
    tears_files: bool = False
    blinds: bool = False
    reboots: bool = False
    ends: tuple[int, ...] = ()
    for_a_person: bool = False
    seconds: float = 90.0

    @property
    def needs_help(self) -> bool:
        """Whether somebody may have to bring the server to its end: docker does not always start what fell with it."""
        return not self.ends_by_itself or self.fells_engine


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
    _end(sandbox, family(sandbox)[:1] or [halted(sandbox)])


def cut_off(sandbox: Sandbox) -> None:
    """Kill whoever holds the lock, and all that descends from it; what its journal had not synced is lost."""
    _end(sandbox, family(sandbox) or [halted(sandbox)])
    lose_what_was_not_synced(sandbox)


def _power(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    cut_off(sandbox)


def _engine(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    kill(sandbox, "engine")
    start(sandbox, "engine")


def _reboot(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> None:
    reboot(sandbox, lambda text: None)
    lose_what_was_not_synced(sandbox)


def _disk(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> Relief:
    filler = disk.fill(sandbox, greedy=True)
    return lambda: disk.make_room(sandbox, filler)


def _full_disk(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> Relief:
    filler = disk.fill(sandbox, greedy=False)
    return lambda: disk.make_room(sandbox, filler)


def _end(sandbox: Sandbox, pids: list[int]) -> None:
    # Some of the family may have ended since they were counted.
    run_inside(sandbox, ["kill", "-KILL", *map(str, pids)], check=False)


DEATHS = {
    death.name: death
    for death in (
        Death("laptop", "the laptop's `fab` is killed", _laptop, ends_by_itself=True),
        Death("reset", "the connection is reset; the laptop comes back by itself", _reset, ends_by_itself=True),
        Death(
            "black hole",
            "the line is silent for 3 s, and the laptop is killed meanwhile",
            _black_hole,
            ends_by_itself=True,
        ),
        Death(
            "process", "the run's process on the server is killed; the docker command it waits for goes on", _process
        ),
        Death(
            "process and children",
            "both are killed, and what the run's journal had not synced is lost",
            _power,
            tears_files=True,
        ),
        Death(
            "engine",
            "the docker engine and all containers are killed, and it is started again",
            _engine,
            ends_by_itself=True,
            twice=UNSAVED,
            fells_engine=True,
        ),
        Death(
            "reboot",
            "the server loses power and boots; what the run's journal had not synced is lost",
            _reboot,
            twice=UNSAVED,
            fells_engine=True,
        ),
        Death(
            "disk full",
            "the file system of root and state fills up and takes nothing more until the run has come to rest",
            _disk,
            twice=UNSAVED,
            ground=disk.OWN,
            serves=True,
        ),
        Death(
            "disk stays full",
            "the same file system fills up once, and whoever helps does so while it is still full",
            _full_disk,
            twice=UNSAVED,
            ground=disk.OWN,
            serves=True,
            outlasts=True,
        ),
    )
}
