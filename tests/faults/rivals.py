"""Two laptops that deploy at the same instant: one wins, the other is told by whom, since when."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

from sandbox import finish, run_inside, start_publishing
from tests.deploy.laptop import Laptop, Said, finished, new_laptop
from tests.faults import whole
from tests.faults.story import RATE, Stage
from tests.real import STATE

LOAD = 250  # messages that are published in one round
APART = 0.25  # seconds; the second laptop is so much later, or twice or three times as much, or not at all

# What the loser reads, by how far it got: the look, the lock, or the plan's starting point.
LOSING = (
    r"gpu-1: (?P<who>\w+) is at it: deploy (?P<run>[\w-]+) since 20[\w:.-]+Z, at step \w+",
    r"gpu-1: (?P<who>\w+) holds the lock of this server since 20[\w:.-]+Z: deploy (?P<run>[\w-]+) is at step \w+",
    r"gpu-1: somebody changed annotation-queue since the look: now there is .+; nothing was changed",
)


def one_round(stage: Stage, folder: Path, number: int) -> list[str]:
    """A round on a server that is whole; a sentence for everything that went wrong. `folder` is an empty one.

    number: from 0 up; every fourth begins at the same instant, the others a little apart.
    """
    rivals = {"ann": stage.laptop, "bob": new_laptop(folder, stage.laptop.sandbox)}
    rivals["bob"].queue["watch"] |= stage.laptop.queue["watch"]
    rivals["bob"].save()
    sandbox = stage.laptop.sandbox
    before, known = whole.before(stage), _ends(stage)
    producer = start_publishing(sandbox, LOAD, RATE, stage.published + 1)
    started = {}
    for tag, (who, laptop) in zip(("1.0", "1.1"), rivals.items(), strict=True):
        started[who] = _started(laptop, who, tag)
        time.sleep(APART * (number % 4))
    said = {who: finished(process) for who, process in started.items()}
    stage.published += finish(producer)
    ends = {run: who for run, who in _ends(stage).items() if run not in known}
    return _judged(said, ends) + whole.wrong(stage, before)


def _started(laptop: Laptop, who: str, tag: str) -> subprocess.Popen[str]:
    """The name a laptop's user goes by is that of its environment."""
    before = os.environ.get("LOGNAME")
    os.environ["LOGNAME"] = who
    try:
        return laptop.start("deploy", "--service", "annotation-queue", "--force", "--tag", tag)
    finally:
        if before is None:
            del os.environ["LOGNAME"]
        else:
            os.environ["LOGNAME"] = before


def _judged(said: dict[str, Said], ends: dict[str, str]) -> list[str]:
    """`ends`: who made each of the round's runs that ended well."""
    won = sorted(who for who, one in said.items() if one.status == 0)
    wrong = [] if won == sorted(ends.values()) else [f"{won} were told of success, and {ends} succeeded"]
    if not won:
        wrong.append("nobody won")
    for who, one in said.items():
        if one.status != 0:
            wrong += [f"{who}: {text}" for text in _refusal(one, ends)]
    return wrong


def _refusal(one: Said, ends: dict[str, str]) -> list[str]:
    sentence, *hint = one.err.strip().splitlines() or [""]
    found = next((match for pattern in LOSING if (match := re.fullmatch(pattern, sentence))), None)
    if one.status != 12 or found is None or len(hint) > 1:
        return [f"exit status {one.status}: {one.err.strip()}"]
    named = found.groupdict()
    if named and ends.get(named["run"]) != named["who"]:
        return [f"the one who is named is not the one who won ({ends}): {sentence}"]
    return []


def _ends(stage: Stage) -> dict[str, str]:
    """Every run that ended well, and who made it."""
    script = f"for run in {STATE}/runs/*.jsonl; do head -n 1 $run; tail -n 1 $run; done"
    lines = [json.loads(line) for line in run_inside(stage.laptop.sandbox, ["sh", "-c", script]).stdout.splitlines()]
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return {begin["run"]: begin["who"] for begin, end in pairs if end.get("outcome") == "done"}
