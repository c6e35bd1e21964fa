"""What stands on a server before and after a deploy, and waiting for what a run is at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sandbox import Sandbox, run_inside
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop
from tests.real import ROOT, STATE, inspected, offset, overlap, running_intervals, server_snapshot

RUNS = f"{STATE}/runs"


@dataclass(frozen=True)
class Standing:
    """What a deploy that failed has to put back: equal values mean that it did."""

    container: str
    name: str
    running: bool
    restart: dict[str, Any]
    config: list[Any] | None  # mode, uid, gid, size, digest; None where there is no such file


def watched(laptop: Laptop, settle: int, window: int) -> None:
    """Set the watch. Where the queue is idle nothing can be proven, and every deploy takes the whole window."""
    laptop.queue["watch"] |= {"settle": settle, "window": window}
    laptop.queue["stop_grace"] = 2
    laptop.save()


def standing(sandbox: Sandbox, service: str = QUEUE, config: str = f"{ROOT}/config.yaml") -> Standing:
    found = inspected(sandbox, service)
    return Standing(
        found["Id"],
        found["Name"],
        found["State"]["Running"],
        found["HostConfig"]["RestartPolicy"],
        server_snapshot(sandbox).tree.get(config),
    )


def ran_together(sandbox: Sandbox, since: float) -> list[tuple[str, str]]:
    """The pairs of containers that ever ran at the same moment, by the engine's own events."""
    ran = running_intervals(sandbox, since)
    return [(one, other) for one, other in combinations(ran, 2) if overlap(ran[one], ran[other])]


def journal(sandbox: Sandbox, folder: str = RUNS) -> list[dict[str, Any]]:
    """The whole lines of the newest run's journal, none where there was no run."""
    script = f"cat $(ls {folder}/*.jsonl | tail -1)"
    text = run_inside(sandbox, ["sh", "-c", script], check=False).stdout
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def runs(sandbox: Sandbox) -> int:
    """How many runs there have been."""
    return run_inside(sandbox, ["ls", RUNS], check=False).stdout.count(".jsonl")


def wait_for_step(sandbox: Sandbox, run: int, event: str, seconds: float = 20) -> str:
    """Wait until the server's nth run has come to an event; the run's id."""
    wait_until(
        lambda: runs(sandbox) == run and any(line["event"] == event for line in journal(sandbox)),
        seconds,
        f"run {run} (its {event})",
    )
    return str(journal(sandbox)[0]["run"])


def wait_for_offset(sandbox: Sandbox, value: int) -> None:
    """Wait until the consumer has saved this offset, after which it changes nothing on its own."""
    wait_until(lambda: offset(sandbox) == value, 20, f"consumer (at offset {value})")


def commands(sandbox: Sandbox) -> list[str]:
    """The docker commands that the newest run has run: create, rename, stop …"""
    return [line["argv"][1] for line in journal(sandbox) if line["event"] == "command"]
