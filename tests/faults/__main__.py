"""`make faults`: every death at every point of every kind of run. Prints a table, and writes it with its counts."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from runbook.errors import BadInput, RunbookError
from sandbox import Sandbox, down, up
from sandbox.place import CHECKOUT
from sandbox.say import with_time
from tests.deploy.laptop import new_laptop
from tests.faults import report
from tests.faults.deaths import DEATHS
from tests.faults.shim import WHENS, Point
from tests.faults.story import ACTIONS, Played, Stage, new_server, play

PORT_BASE = 26000
MOST = 60  # points of one kind in one run; a run has far fewer


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--actions", default=",".join(ACTIONS), help=", ".join(ACTIONS))
    parser.add_argument("--deaths", default=",".join(DEATHS), help=", ".join(DEATHS))
    parser.add_argument("--write", type=Path, help="where the table goes, beside the screen")
    words = parser.parse_args()
    try:
        actions = _chosen("action", words.actions, ACTIONS)
        deaths = _chosen("death", words.deaths, tuple(DEATHS))
        played = list(_all(actions, deaths))
    except RunbookError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    text = report.table(played)
    print(text)
    if words.write:
        words.write.parent.mkdir(exist_ok=True)
        words.write.write_text(report.page(text, played))
    return 1 if any(one.wrong for one in played) else 0


def _chosen(what: str, names: str, known: tuple[str, ...]) -> list[str]:
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise BadInput(f"there is no {what} {', '.join(unknown) or '(none was named)'}", f"known: {', '.join(known)}")
    return chosen


def _all(actions: list[str], deaths: list[str]) -> Iterator[Played]:
    """Every case, on one server that each leaves whole for the next."""
    sandbox = Sandbox(CHECKOUT / f".sandbox-tests-{PORT_BASE}", PORT_BASE)
    say = with_time()
    up(sandbox, say)
    try:
        with tempfile.TemporaryDirectory() as folder:
            stage = Stage(new_laptop(Path(folder), sandbox))
            for action in actions:
                new_server(stage)
                stage.laptop.deployed("--tag", stage.next_tag())
                for death in deaths:
                    yield from _points(stage, action, death, say)
    finally:
        down(sandbox, say)


def _points(stage: Stage, action: str, death: str, say: report.Say) -> Iterator[Played]:
    """One death at every point of one kind of run, until the run is over before the point comes."""
    for when in WHENS:
        for number in range(1, MOST):
            begun = time.monotonic()
            played = play(stage, action, Point(when, number), DEATHS[death])
            if not played.came:
                break
            seconds = time.monotonic() - begun
            wrong = "; ".join(played.wrong) or "whole"
            say(f"{action}, {death} {played.point}: {wrong} ({seconds:.0f} s)")
            yield played


if __name__ == "__main__":
    sys.exit(main())
