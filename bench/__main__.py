"""`make bench`: measures on a sandbox of its own, and writes BENCHMARKS.md."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from itertools import repeat
from pathlib import Path

from bench import calls, deploys, memory, probe, rounds, swap
from bench.pairs import Figure, Pairs
from gpu_runbook.laptop.errors import RunbookError
from gpu_runbook.laptop.rpc import bundle
from gpu_runbook.server.docker.containers import LOOP
from sandbox import Sandbox, down, set_line, up
from sandbox.place import CHECKOUT
from sandbox.say import Say, with_time
from tests.deploy.laptop import new_laptop
from tests.real import published, started_training

PORT_BASE = 27000
SIZES = ("snapshot", "pull", "run", "status", "health", "logs")
LIMIT = 32.0  # KB that a program may be, compressed: with its request it is two flights of a new connection
PAGE = """\
# Benchmarks

`make bench` wrote this page: {machine}, {when}.

Everything is measured on real parts, a GPU server set up on the same machine: sshd, a docker engine, a registry and
RabbitMQ; a relay in front of sshd makes the distance. Each ratio is the median of {count} pairs, ours and the other in
turn, so that a machine that slows down slows both. Ratios are what to compare; seconds (median, lowest and highest)
hold for that machine only.

## Over the floor

The floors are scripts in `bench/` that a stranger can read: `floor_swap.sh`, `docker stop && docker start` of the same
containers in one shell at the server; `floor_health.sh`, `floor_status.sh`, `floor_preflight.sh` and `floor_logs.sh`,
the same questions in a script over one bare `ssh` with the same key exchange; for `fab --list`, that of an empty
fabfile.

| what | ratio | at most | ours | floor |
|---|---|---|---|---|
{floors}
{missed}
## In figures

| what | measured | at most |
|---|---|---|
{figures}

## Over the deploy that everybody writes

`everybody/fabfile.py` is the same deploy as a sequence of Fabric's `run` and `put`, and a good one of its kind. Ours
does more in its time: the preflight, the plan, the journal, the record, and the watch over the new container.

| what | ratio | | ours | everybody's |
|---|---|---|---|---|
{everybody}
"""


@dataclass(frozen=True)
class Measured:
    floors: list[Pairs]
    figures: list[Figure]
    everybody: list[Pairs]

    @property
    def kept(self) -> bool:
        return all(pairs.kept for pairs in self.floors) and all(figure.kept for figure in self.figures)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=9, help="how many pairs of each (default 9)")
    count = parser.parse_args().pairs
    if count < 1:
        parser.error("--pairs must be 1 or more")
    say = with_time()
    sandbox = Sandbox(CHECKOUT / f".sandbox-tests-{PORT_BASE}", PORT_BASE)
    try:
        up(sandbox, say)
        try:
            measured = _measure(sandbox, count, say)
        finally:
            down(sandbox, say)
    except RunbookError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    page = _page(measured, count)
    (CHECKOUT / "BENCHMARKS.md").write_text(page)
    print(page)
    return 0 if measured.kept else 1


def _measure(sandbox: Sandbox, count: int, say: Say) -> Measured:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say("fab --list")
        floors = calls.listing(folder, count)
        (folder / "fabfile.py").unlink()
        laptop = new_laptop(folder, sandbox)
        laptop.queue["watch"] |= {"settle": 1, "window": 1}
        laptop.save()
        published(sandbox, 100)
        started_training(sandbox)
        laptop.deployed()
        laptop.deployed("--force")
        time.sleep(LOOP)  # a check looks twice, seconds apart, at a container that is younger
        checks: list[Pairs] = []
        for rtt in (0, 20, 100):
            say(f"fab health at {rtt} ms")
            set_line(sandbox, rtt)
            checks += calls.health(laptop, count, rtt)
        floors += checks
        say("fab status, fab preflight and fab logs at 100 ms")
        for measured in (calls.status, calls.preflight, calls.logs):
            floors += measured(laptop, count, 100)
        for rtt in (0, 100):
            say(f"the swap at {rtt} ms")
            set_line(sandbox, rtt)
            floors += swap.pairs(laptop, count, f"{rtt} ms")
        say("whole deploys")
        figures = [*deploys.distance(laptop, count), *deploys.network(laptop), *memory.peaks(laptop), *_sizes()]
        figures += calls.made_of(checks, count)
        say("rounds of the scheduled check")
        time.sleep(LOOP)
        figures += rounds.figures(laptop, count)
        say("a stream of images")
        figures += probe.figures(sandbox, count)
        say("everybody's deploy")
        everybody = [pairs for rtt in (0, 100) for pairs in deploys.compared(laptop, count, rtt)]
    return Measured(floors, figures, everybody)


def _sizes() -> list[Figure]:
    return [Figure(f"the program of `{verb}`, compressed", bundle.size(verb) / 1000, "KB", LIMIT) for verb in SIZES]


def _page(measured: Measured, count: int) -> str:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    rows = {
        field: "\n".join(one.row() for one in getattr(measured, field)) for field in ("floors", "figures", "everybody")
    }
    missed = "".join(f"\n{text}\n" for text in map(calls.why_missed, measured.floors, repeat(measured.figures)) if text)
    return PAGE.format(machine=machine, when=date.today().isoformat(), count=count, missed=missed, **rows)


if __name__ == "__main__":
    sys.exit(main())
