"""Who brings a server to its end after a death: a further command, or a round of the scheduled check."""

from __future__ import annotations

import json
from subprocess import CompletedProcess
from typing import Any

from sandbox import Sandbox, run_inside, stop
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import Laptop
from tests.faults.shim import PLACE
from tests.real import STATE, fire

COMMAND, ROUND = "command", "round"
HELPERS = (COMMAND, ROUND)
FOLDER = f"{STATE}/health"
JUDGED = (0, 1, 2)  # exit statuses of a round that has looked
UNKNOWN = 3  # that of one that could not see everything, and of one that failed by itself

# Cron starts nothing on 30 February: all rounds are a case's own, also after a reboot. They run behind the shim of
# python3, and what they print can be read. Three restarts within the hour are the most, and cases follow each other.
_TAMED = rf"""
crontab -l | sed -E 's|^[^#].* (-IS [^ ]+check\.pyz) .*|0 0 30 2 * {PLACE}/python3 \1 </dev/null|' | crontab -
rm -f {FOLDER}/state.json {FOLDER}/state.spare {FOLDER}/history.jsonl
"""


def look_after(laptop: Laptop) -> None:
    """Leave the check on the server as if it had never made a round; from here on rounds are made by `make_round`."""
    stop(laptop.sandbox, "cron")
    said = laptop.fab("schedule.install")
    assert said.status == 0, said.all
    run_inside(laptop.sandbox, ["sh", "-ec", _TAMED], user=LOGIN_USER)


def make_round(sandbox: Sandbox) -> CompletedProcess[str]:
    """One round with what cron gives to it, to its end; it prints its rows."""
    (ended,) = fire(sandbox)
    return ended


def not_judged(ended: CompletedProcess[str]) -> list[str]:
    """What is wrong with a round that has ended: a sentence, or none."""
    rows = [line for line in ended.stdout.splitlines() if line.startswith("unknown ")]  # one that failed has none
    looked = ended.returncode in JUDGED or (ended.returncode == UNKNOWN and rows)
    if looked and "Traceback" not in ended.stdout + ended.stderr:
        return []
    return [f"a round ended with {ended.returncode}: {ended.stdout.strip()} {ended.stderr.strip()}"]


def history(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The rounds that were made since the check was left there."""
    lines = run_inside(sandbox, ["cat", f"{FOLDER}/history.jsonl"], check=False).stdout.splitlines()
    return [json.loads(line) for line in lines]
