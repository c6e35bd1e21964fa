"""`python -m sandbox up|down|status`: the sandbox without the task runner; also what `sudo` is asked to run."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from gpu_runbook.laptop.errors import RunbookError
from sandbox.bases import SUITES, resolved
from sandbox.lifecycle import down, found, up
from sandbox.place import DEFAULT_DIRECTORY, ENGINES
from sandbox.say import plain, with_time
from sandbox.status import describe, status


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox")
    parser.add_argument("verb", choices=("up", "down", "status"))
    parser.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY)
    parser.add_argument("--port-base", type=int, help="the first of the hundred ports it takes its own from")
    parser.add_argument("--rtt", type=float, default=0, help="round trip to the server in milliseconds")
    parser.add_argument("--plain", action="store_true", help="lines without the time")
    parser.add_argument("--base", help=f"the Debian that it runs: {', '.join(SUITES)}, or a folder with one in it")
    parser.add_argument("--engine", choices=ENGINES, help="how its docker engine is set up")
    words = parser.parse_args()
    say = plain if words.plain else with_time()
    try:
        sandbox = found(words.directory.resolve())
        if words.port_base:
            sandbox = replace(sandbox, port_base=words.port_base)
        if words.base is not None:
            sandbox = replace(sandbox, base=resolved(words.base, say))
        if words.engine:
            sandbox = replace(sandbox, engine=words.engine)
        if words.verb == "up":
            up(sandbox, say, words.rtt)
        elif words.verb == "down":
            down(sandbox, say)
        else:
            print(*describe(status(sandbox)), sep="\n")
    except RunbookError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
