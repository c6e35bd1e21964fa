"""`make bench`: measures on a sandbox of its own, and writes BENCHMARKS.md."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

from bench import calls, swap
from bench.pairs import Pairs
from runbook import bundle
from runbook.errors import RunbookError
from sandbox import Sandbox, down, set_line, up
from sandbox.place import CHECKOUT
from sandbox.say import with_time
from tests.deploy.laptop import new_laptop
from tests.real import published

PORT_BASE = 27000
PAGE = """\
# Benchmarks

`make bench`, on {machine}. Each ratio is the median of pairs: ours and the floor in turn, on the same sandbox, so that
a machine that slows down slows both. The floors are scripts in `bench/` that a stranger can read: `docker stop` and
`docker start` of the same image in one shell at the server; one bare `ssh` with the same key exchange and a script that
asks the same; `fab --list` of an empty fabfile. Ratios are what to compare; seconds hold for that machine only.

| what | ratio | at most | ours | floor | pairs |
|---|---|---|---|---|---|
{rows}

The program that travels with a call: {sizes} KB compressed.
"""


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
            measured = _measure(sandbox, count)
        finally:
            down(sandbox, say)
    except RunbookError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    page = _page(measured)
    (CHECKOUT / "BENCHMARKS.md").write_text(page)
    print(page)
    return 0 if all(pairs.kept for pairs in measured) else 1


def _measure(sandbox: Sandbox, count: int) -> list[Pairs]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = calls.listing(folder, count)
        laptop = new_laptop(folder, sandbox)
        laptop.queue["watch"] |= {"settle": 1, "window": 1}
        laptop.save()
        (folder / "fabfile.py").unlink()
        published(sandbox, 100)
        laptop.deployed()
        laptop.deployed("--force")
        for rtt in (0, 20, 100):
            set_line(sandbox, rtt)
            measured += calls.health(laptop, count, rtt)
        for rtt in (0, 100):
            set_line(sandbox, rtt)
            measured += swap.pairs(laptop, count, f"{rtt} ms")
    return measured


def _page(measured: list[Pairs]) -> str:
    sizes = ", ".join(f"{verb} {len(bundle.pack(verb, {})) / 1000:.1f}" for verb in ("look", "fetch", "run", "health"))
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return PAGE.format(machine=machine, rows="\n".join(pairs.row() for pairs in measured), sizes=sizes)


if __name__ == "__main__":
    sys.exit(main())
