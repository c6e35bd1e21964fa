"""`make faults`: every death at every point of every kind of run. Prints a table, and writes it with its counts."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from runbook.errors import BadInput, RunbookError
from sandbox.say import with_time
from tests.faults import report
from tests.faults.deaths import DEATHS
from tests.faults.further import FURTHER
from tests.faults.helpers import HELPERS
from tests.faults.matrix import PORT_BASE, Matrix, Row, play_all, rows
from tests.faults.story import ACTIONS

PER_CORE = 2  # servers: most of a case is waiting


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--actions", help=f"of {', '.join(ACTIONS)}; all without it")
    parser.add_argument("--deaths", help=f"of {', '.join(DEATHS)}; all without it")
    parser.add_argument("--helpers", help=f"of {', '.join(HELPERS)}: who helps after a death; all without it")
    parser.add_argument("--jobs", default=str(PER_CORE * (os.cpu_count() or 1)), help="servers side by side")
    parser.add_argument("--port-base", type=int, default=PORT_BASE, help="where the servers' ports begin")
    parser.add_argument("--write", type=Path, help="where the table goes, beside the screen")
    words = parser.parse_args()
    begun = time.monotonic()
    try:
        actions = _chosen("action", words.actions, ACTIONS)
        deaths = _chosen("death", words.deaths, tuple(DEATHS))
        helpers = _chosen("helper", words.helpers, HELPERS)
        jobs = _count(words.jobs)
        further = [] if words.actions or words.deaths or words.helpers else list(FURTHER)
        matrix = Matrix(_rows(actions, deaths, helpers), with_time(), words.port_base, further)
        _play(matrix, jobs)
    except RunbookError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code
    print(report.table(matrix.played), report.further(matrix.tried), sep="\n")
    if matrix.stopped.is_set():
        print(f"interrupted after {len(matrix.played)} cases; nothing was written", file=sys.stderr)
        return 130
    if words.write:
        words.write.parent.mkdir(exist_ok=True)
        words.write.write_text(report.page(matrix, deaths, jobs, time.monotonic() - begun))
    wrong = [*(one.wrong for one in matrix.played), *(one.wrong for one in matrix.tried)]
    return 1 if any(wrong) else 0


def _rows(actions: list[str], deaths: list[str], helpers: list[str]) -> list[Row]:
    found = rows(actions, deaths, helpers)
    if not found:
        raise BadInput(f"after {', '.join(deaths)} nobody has to help", "leave --helpers out")
    return found


def _play(matrix: Matrix, jobs: int) -> None:
    try:
        play_all(matrix, jobs)
    except KeyboardInterrupt:
        matrix.stopped.set()
    except Exception:
        if matrix.played:  # what was found out until then is worth more than the error alone
            print(report.table(matrix.played))
        raise


def _chosen(what: str, names: str | None, known: tuple[str, ...]) -> list[str]:
    if names is None:
        return list(known)
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise BadInput(f"there is no {what} {', '.join(unknown) or '(none was named)'}", f"known: {', '.join(known)}")
    return chosen


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10:
        raise BadInput(f"--jobs {text} is no number of servers", "from 1 to 10")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
