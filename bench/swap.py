"""How long a consumer is down while it is replaced: by us, and by `docker stop && docker start` at the server."""

from __future__ import annotations

import time
from pathlib import Path

from bench.pairs import Pairs, measure
from sandbox import docker_events, run_inside
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import QUEUE, Laptop
from tests.real import docker

FLOOR = Path(__file__).with_name("floor_swap.sh")


def pairs(laptop: Laptop, count: int, what: str) -> list[Pairs]:
    """From the old one's end to the new one's start, and from SIGTERM on, by the engine's own events."""
    figures = {f"consumer down, {what}": 1.1, f"consumer down, from SIGTERM on, {what}": None}
    return measure(figures, lambda: _ours(laptop), lambda: _floor(laptop), count)


def _ours(laptop: Laptop) -> list[float]:
    begun = time.time()
    laptop.deployed("--force")
    return downtime(laptop, begun)


def _floor(laptop: Laptop) -> list[float]:
    """There and back again, so that the server is left as it was; the way back is measured."""
    previous = _newest_parked(laptop)
    for stopped, started in ((QUEUE, previous), (previous, QUEUE)):
        begun = time.time()
        words = ["sh", "-c", FLOOR.read_text(), "sh", stopped, started]
        run_inside(laptop.sandbox, words, user=LOGIN_USER)
        time.sleep(1)  # a consumer that has just been started has to have its SIGTERM handler
    return downtime(laptop, begun)


def _newest_parked(laptop: Laptop) -> str:
    names = docker(laptop.sandbox, "ps", "--all", "--format", "{{.Names}}").split()
    return max(name for name in names if name.startswith(f"{QUEUE}."))


def downtime(laptop: Laptop, since: float) -> list[float]:
    """Seconds from die to start, and from the stop signal to start."""
    times: dict[str, int] = {}
    for event in docker_events(laptop.sandbox, since):
        if event["Action"] in ("kill", "die", "start"):
            times.setdefault(event["Action"], event["timeNano"])
    return [(times["start"] - times[begin]) / 1e9 for begin in ("die", "kill")]
