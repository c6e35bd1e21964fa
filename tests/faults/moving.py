"""The state moves out of the root of an older version's server, and is cut off or met by that version at every change.

On the server a consumer was stopped on purpose, a pause holds, alerts wait for a channel that takes none, and a round
of the older version's check is due. `fab setup` moves all that. In the end one folder is in force, with all of it, and
nothing that was stopped runs.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox import run_inside, stop
from sandbox.place import LOGIN_USER
from tests.data import old
from tests.deploy.laptop import QUEUE, Laptop, older_laptop
from tests.faults import shim
from tests.faults.helpers import JUDGED
from tests.faults.kept import Outcome
from tests.faults.servers import Case, Host, Track, stages
from tests.faults.shim import Point
from tests.faults.story import FIT_TO_END, SECONDS, started
from tests.real import ROOT, STATE, as_it_was, clean, docker, fire, inspected, published, started_training

IN_ROOT = f"{ROOT}/.deploy"
KEPT = "/var/kept"  # what a case begins with
MOST = 400  # points; a move has far fewer
MOVE = ("setup",)
REFUSES = (11, 12, 17)  # exit statuses of a laptop of 0.1.0 that finds no folder, or one that is locked
WANTS = (("resume",), ("deploy", "--service", QUEUE, "--force"), ("restart", QUEUE))
FAILS = (3, 75)  # exit statuses of a round of 0.1.0 that does without its look while the move has the lock
ARRIVES = 2.0  # seconds in which it has come to the lock

_KEEP = f"""
mkdir -p {KEPT}; cp -a {IN_ROOT} {KEPT}/deploy; crontab -u {LOGIN_USER} -l >{KEPT}/crontab
"""
_PUT_BACK = f"""
rm -rf {IN_ROOT} {IN_ROOT}.moved-* {STATE}
cp -a {KEPT}/deploy {IN_ROOT}; crontab -u {LOGIN_USER} {KEPT}/crontab
"""
# What a folder of the state remembers: of every file its digest, of what waits to be told the messages.
_REMEMBERED = r"""
import hashlib, json, os, sys
folder, found = sys.argv[1], {}
for where, _, names in os.walk(folder):
    for name in names:
        path = os.path.join(where, name)
        short = os.path.relpath(path, folder)
        if short.startswith(("runs/", "releases/", "env/")) or short in (
            "previous-tags.json", "model.json", "paused.json", "stopped.json", "salt"
        ):
            data = open(path, "rb").read()
            if b'"move-state"' not in data.partition(b"\n")[0]:
                found[short] = hashlib.sha256(data).hexdigest()
try:
    found["alerts"] = sorted(str(one) for one in json.load(open(folder + "/health/state.json"))["pending"])
except OSError:
    found["alerts"] = []
print(json.dumps(found))
"""


@dataclass
class Scene:
    """A server that the older version left, and both versions' laptops in front of it. remembered: what it knows."""

    laptop: Laptop
    older: Laptop
    remembered: dict[str, object] | None = None  # None before anything was done there


def host(port_base: int) -> Host:
    """A server of its own for each number."""

    @contextmanager
    def scenes(number: int) -> Iterator[Scene]:
        with (
            stages(port_base)(number) as stage,
            tempfile.TemporaryDirectory() as folder,
            made(stage.laptop, Path(folder)) as scene,
        ):
            yield scene

    return scenes


@contextmanager
def made(laptop: Laptop, folder: Path) -> Iterator[Scene]:
    """The scene of a laptop's server; the folder is empty, and takes the older version."""
    (folder / "older").mkdir()
    scene = Scene(laptop, older_laptop(folder / "older", laptop, old.unpacked(folder / "source")))
    try:
        yield scene
    finally:
        shim.remove(laptop.sandbox)
        run_inside(laptop.sandbox, ["rm", "-rf", KEPT])  # it holds secrets, for which other tests search


def prepare(scene: Scene, ground: str = "") -> None:
    """What the older version left, once; each case puts it back by itself."""
    if scene.remembered is not None:
        return
    sandbox = scene.laptop.sandbox
    clean(sandbox)
    as_it_was(sandbox)
    run_inside(sandbox, ["rm", "-rf", KEPT])
    for one in (scene.older, scene.laptop):
        one.queue["watch"] |= {"settle": 0, "window": 4}
        one.hosts["schedule"] = {"alerts": {"ops": {"kind": "webhook", "url_variable": "HOOK_URL"}}}
        one.variables["HOOK_URL"] = "http://127.0.0.1:9/nobody"
        one.save()
    started_training(sandbox)
    published(sandbox, 100)
    scene.older.deployed("--tag", "1.0")
    stop(sandbox, "cron")
    _went(scene.older, "schedule.install")
    docker(sandbox, "stop", QUEUE)
    for _ in range(3):  # a dead consumer is worth an alert, once it is no accident
        docker(sandbox, "stop", QUEUE)
        fire(sandbox)
    _went(scene.older, "stop", QUEUE, "--reason", "the label team asked")
    _went(scene.older, "pause", "--for", "8h", "--reason", "the disk is exchanged")
    run_inside(sandbox, ["sh", "-ec", _KEEP])
    shim.install(sandbox)
    found = _remembered(scene, IN_ROOT)
    assert found["alerts"] and "paused.json" in found and "stopped.json" in found, found
    scene.remembered = found


def _went(laptop: Laptop, *words: str) -> None:
    said = laptop.fab(*words)
    assert said.status == 0, said.all


def _remembered(scene: Scene, folder: str) -> dict[str, object]:
    words = ["python3", "-IS", "-c", _REMEMBERED, folder]
    found: dict[str, object] = json.loads(run_inside(scene.laptop.sandbox, words).stdout)
    return found


Meets = Callable[["Move"], None]


class Move:
    """One move: it is halted at a point, something meets it there, and it is helped to its end."""

    def __init__(self, scene: Scene, point: Point) -> None:
        self.scene, self.point, self.sandbox = scene, point, scene.laptop.sandbox
        self.wrong: list[str] = []
        self.remembered = scene.remembered or {}
        self.others: list[threading.Thread] = []

    def play(self, meets: Meets, helps: Meets) -> bool:
        """Whether the move came to the point."""
        run_inside(self.sandbox, ["sh", "-ec", _PUT_BACK])
        before = self._containers()
        shim.arm(self.sandbox, self.point)
        with started(self.scene.laptop, MOVE) as laptop:
            try:
                came = shim.wait_for_point(self.sandbox, self.point, lambda: laptop.poll() is not None)
                if came:
                    meets(self)
            finally:
                shim.let_go(self.sandbox)
            out, err = laptop.communicate(timeout=SECONDS)
        if laptop.returncode not in FIT_TO_END or "Traceback" in out + err:
            self.wrong.append(f"fab setup ended with {laptop.returncode}: {err.strip()}")
        for thread in self.others:
            thread.join(SECONDS)
        if came:
            helps(self)
            self._by(self.scene.laptop, MOVE, (0,))
            self.wrong += self._not_moved()
            if self._containers() != before:
                self.wrong.append("a container was touched")
        return came

    def killed(self) -> None:
        run_inside(self.sandbox, ["kill", "-KILL", str(shim.halted(self.sandbox))])

    def old_round(self) -> None:
        """It waits for the move, or the move for it, or cron knows none."""
        self._meanwhile(lambda: self.round(FAILS))

    def old_laptop(self) -> None:
        """It waits for the lock that the move holds, and finds no folder behind it: whatever it wants is refused."""
        words = WANTS[self.point.number % len(WANTS)]
        self._meanwhile(lambda: self._by(self.scene.older, words, REFUSES))
        time.sleep(ARRIVES)

    def _meanwhile(self, act: Callable[[], None]) -> None:
        self.others = [threading.Thread(target=act)]
        self.others[0].start()

    def round(self, also: tuple[int, ...] = ()) -> None:
        for ended in fire(self.sandbox):
            if ended.returncode not in (*JUDGED, *also) or "Traceback" in ended.stdout + ended.stderr:
                self.wrong.append(f"a round ended with {ended.returncode}: {ended.stderr.strip()}")

    def nobody(self) -> None:
        """The same command is all that helps."""

    def _by(self, laptop: Laptop, words: tuple[str, ...], fit: tuple[int, ...]) -> None:
        said = laptop.fab(*words)
        if said.status not in fit or "Traceback" in said.all:
            self.wrong.append(f"fab {words[0]} ended with {said.status}: {said.all.strip()}")

    def _containers(self) -> list[object]:
        return [inspected(self.sandbox, name)["State"] for name in (QUEUE, "training")]

    def _not_moved(self) -> Iterator[str]:
        """What is not as it should be once the state has moved."""
        found = _remembered(self.scene, STATE)
        if found != self.remembered:
            names = {*found, *self.remembered}
            differs = sorted(name for name in names if found.get(name) != self.remembered.get(name))
            yield f"{', '.join(differs)} came otherwise than they were"
        listed = run_inside(
            self.sandbox, ["sh", "-c", f"ls -dp {IN_ROOT}* {STATE}/arriving"], check=False
        ).stdout.split()
        if listed != [IN_ROOT]:
            yield f"there is {', '.join(listed)}, and not a file {IN_ROOT} alone"
        crontab = run_inside(self.sandbox, ["crontab", "-l"], user=LOGIN_USER, check=False).stdout
        if crontab.count("check.pyz") != 1 or f"{STATE}/health/check.pyz" not in crontab:
            yield f"cron has {crontab.count('check.pyz')} checks, or not the one in {STATE}"
        if not shim.is_free(self.sandbox):
            yield "somebody holds the lock"


# By name: what meets the move where it is halted, and what comes before the further command.
MEETINGS: dict[str, tuple[Meets, Meets]] = {
    "killed": (Move.killed, Move.nobody),
    "killed, then a round": (Move.killed, Move.round),
    "met by a round": (Move.old_round, Move.nobody),
    "met by the older version": (Move.old_laptop, Move.nobody),
}


FIRST = {"met by the older version": 2}  # the first change is that of the lock; who has it first goes first


def tracks(seed: int) -> list[Track]:
    return [
        Track([case_of(name, Point(shim.CHANGE, number)) for number in range(FIRST.get(name, 1), MOST)], endless=True)
        for name in MEETINGS
    ]


def case_of(name: str, point: Point) -> Case:
    def played(scene: Scene) -> Outcome:
        move = Move(scene, point)
        came = move.play(*MEETINGS[name])
        return Outcome(case, row, tuple(move.wrong), came)

    case, row = f"the state moves, {name} {point}", f"the state moves, {name}"
    return Case(case, row, played)
