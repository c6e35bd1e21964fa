"""Whole deploys: what distance adds to one, how much of the network it uses, and how it compares with everybody's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench.calls import seconds
from bench.pairs import Figure, Pairs, measure
from bench.swap import downtime
from sandbox import run_inside, set_line
from tests.deploy.laptop import FAB, QUEUE, Laptop
from tests.real import clean, published

EVERYBODY = Path(__file__).with_name("everybody")
DISTANCE = 100  # milliseconds of round trip
ALLOWED = 2.0  # seconds that it may add to a deploy
LOG = "/var/log/sshd.log"


def distance(laptop: Laptop, count: int) -> list[Figure]:
    """What a round trip of 100 ms adds to a whole deploy, start-up included."""

    def at(rtt: int) -> Callable[[], list[float]]:
        def taken() -> list[float]:
            set_line(laptop.sandbox, rtt)
            return seconds([*FAB, "deploy", "--service", QUEUE, "--force"], laptop.folder)

        return taken

    (pairs,) = measure({"": None}, at(DISTANCE), at(0), count)
    set_line(laptop.sandbox)
    return [Figure(f"what {DISTANCE} ms of round trip add to a whole deploy", pairs.added, "s", ALLOWED)]


def network(laptop: Laptop) -> list[Figure]:
    """Connections and channels of a deploy whose images have yet to be pulled, counted by sshd.

    The channels: the look, what the registry says of images that are new, the fetch, the run.
    """
    figures = []
    deploys = {
        "one service": ["--service", QUEUE, "--tag", "1.1"],
        "two services": ["--tag", f"{QUEUE}=2.0,training=2.0"],
    }
    for what, words in deploys.items():
        before = _log(laptop)
        seconds([*FAB, "deploy", *words], laptop.folder)
        new = _log(laptop)[len(before) :]
        connections, channels = new.count("Accepted publickey"), new.count("Starting session")
        figures += [
            Figure(f"connections of a deploy of {what}", connections, "", 1),
            Figure(f"channels of a deploy of {what}", channels, "", 3),
        ]
    return figures


def compared(laptop: Laptop, count: int, rtt: int) -> list[Pairs]:
    """Ours over everybody's Fabric script: the whole deploy, and the time without a consumer."""
    figures: dict[str, float | None] = {f"whole deploy, {rtt} ms": None, f"consumer down, {rtt} ms": None}
    ours = [*FAB, "deploy", "--service", QUEUE, "--tag"]
    theirs = [*FAB[:3], "--search-root", str(EVERYBODY), "deploy", "--tag"]
    return measure(figures, lambda: _second(laptop, ours, rtt), lambda: _second(laptop, theirs, rtt), count)


def _second(laptop: Laptop, deploy: list[str], rtt: int) -> list[float]:
    """The second deploy on a server that was empty: there is a consumer to be replaced, and its image is known."""
    clean(laptop.sandbox)
    published(laptop.sandbox, 100)
    seconds([*deploy, "1.0"], laptop.folder)
    set_line(laptop.sandbox, rtt)
    begun = time.time()
    (whole,) = seconds([*deploy, "1.1"], laptop.folder)
    return [whole, downtime(laptop, begun)[0]]


def _log(laptop: Laptop) -> str:
    return run_inside(laptop.sandbox, ["cat", LOG]).stdout
