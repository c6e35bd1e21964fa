"""What stands on the server at one moment, and what must be so of it after a case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import Sandbox, run_inside
from tests.deploy.laptop import QUEUE
from tests.real import lost_and_twice, messages, parsed_annotations

SCRIPT = Path(__file__).with_name("inside.py")
RUNS_WITH = "unless-stopped"  # the restart policy of a consumer in force
ENGINE_DIED = "engine died"  # what we put among the engine's events, which forgets them then
CHANGES = "done"  # the outcome of a run after which another release is in force
LEAVES = ("rolled-back", "cancelled", "refused")  # and those after which the same one still is


@dataclass(frozen=True)
class Witness:
    """One look at a server; `events` are the engine's own since the case began."""

    containers: list[dict[str, Any]]
    events: list[dict[str, Any]]
    journals: dict[str, list[dict[str, Any] | None]]
    record: dict[str, Any]
    files: list[str]
    digests: dict[str, str]
    offset: str
    annotations: str
    free: bool

    @property
    def consumers(self) -> list[dict[str, Any]]:
        """Those of ours, running or not."""
        return [one for one in self.containers if one["service"] == QUEUE]

    @property
    def running(self) -> list[str]:
        return [one["id"] for one in self.consumers if one["runs"]]

    @property
    def training(self) -> tuple[Any, ...]:
        """Equal as long as the training runs on without having been touched."""
        return tuple((one["id"], one["since"], one["pid"]) for one in self.containers if one["name"] == "training")

    @property
    def cut_off(self) -> list[str]:
        """The runs whose journal has no end."""
        return [run for run, lines in self.journals.items() if _end(lines) is None]


def look(sandbox: Sandbox, since: float) -> Witness:
    """`since`: the time, in seconds since 1970, from which on the engine's events are wanted."""
    said = run_inside(sandbox, ["/usr/bin/python3", "-IS", "-", str(since)], input=SCRIPT.read_text()).stdout
    return Witness(**json.loads(said))


def not_whole(before: Witness, seen: Witness, stopped_by_engine: bool = False) -> Iterator[str]:
    """What is not as it must be on a server to which nobody has to come any more; `before`: as the case began.

    `stopped_by_engine`: a death of the engine had left the consumer stopped before the last command.
    """
    yield from not_serving(seen)
    if not seen.free:
        yield "the lock is held"
    if not seen.offset.removeprefix("offset: ").strip().isdecimal():
        yield f"offset.yaml says {seen.offset!r}"
    yield from _on_record(seen)
    yield from _in_the_journals(before, seen)
    yield from _as_the_next_one_found_it(before, seen, stopped_by_engine)
    yield from (f"{name} is left over" for name in seen.files if _is_temporary(name))
    yield from _of_runs_without_a_swap(seen)


def not_bare(seen: Witness) -> Iterator[str]:
    """What is not as it must be where no release is in force, as after a first deploy that was undone."""
    yield from (f"{one['name']} runs" for one in seen.consumers if one["runs"])
    yield from (f"{one['name']} has restart policy {one['policy']}" for one in seen.consumers if one["policy"] != "no")
    yield from (f"the journal of run {run} has no end" for run in seen.cut_off)
    if not seen.free:
        yield "the lock is held"
    yield from (f"{name} is left over" for name in seen.files if _is_temporary(name))
    yield from _of_runs_without_a_swap(seen)


def _of_runs_without_a_swap(seen: Witness) -> Iterator[str]:
    """A run that never came to its swap needs no folder, and what it staged there has passwords in it."""
    on_record = {entry["id"] for entry in seen.record["releases"]}
    for run, lines in seen.journals.items():
        swapped = any(line and line["event"] == "swap" for line in lines)
        if _end(lines) and not swapped and run not in on_record:
            yield from (f"{name} is left over" for name in seen.files if name.startswith(f"state/releases/{run}/"))


def not_serving(seen: Witness) -> Iterator[str]:
    """What is wrong with the containers: one is to run, and it alone is to come back by itself."""
    if len(seen.running) != 1:
        yield f"{len(seen.running)} consumers run"
    for one in seen.consumers:
        expected = RUNS_WITH if one["runs"] else "no"
        if one["policy"] != expected:
            yield f"{one['name']} has restart policy {one['policy']}, not {expected}"


def never_two(running: Iterable[str], events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """By the engine's own events: the moments at which two consumers ran. `running`: those that did at first."""
    now = set(running)
    for event in events:
        if event["Action"] == ENGINE_DIED:
            now.clear()
        elif event["Actor"]["Attributes"].get("gpu-runbook.service") == QUEUE:
            if event["Action"] == "start":
                now.add(event["id"])
            elif event["Action"] == "die":
                now.discard(event["id"])
        if len(now) > 1:
            yield f"at once ran {' and '.join(sorted(one[:12] for one in now))}"


def lost_and_repeated(seen: Witness, first: int, count: int) -> tuple[int, int]:
    """How many of the case's messages were never written, and how many lines say what had been said before."""
    lines = parsed_annotations(seen.annotations)
    lost, _ = lost_and_twice(lines, messages(count, first))
    return len(lost), len(lines) - len({line.message for line in lines if line.message >= messages(1, first)[0]})


def not_written(seen: Witness, first: int, count: int) -> str:
    """Which of the case's messages were never written, and which was the last that was."""
    lines = parsed_annotations(seen.annotations)
    lost, _ = lost_and_twice(lines, messages(count, first))
    newest = max((line.message for line in lines), default="none")
    return f"{len(lost)} messages lost, {min(lost)} to {max(lost)}; the newest that was written is {newest}"


def _on_record(seen: Witness) -> Iterator[str]:
    current = seen.record["current"]
    for release in seen.record["releases"]:
        placed = release["services"][QUEUE]
        if _config(release["id"]) not in seen.files:
            yield f"the record has release {release['id']}, and its config is gone"
        if release["id"] == current and [placed["container"]] != seen.running:
            yield "the record does not name the container that runs"
    if current not in [release["id"] for release in seen.record["releases"]]:
        yield f"the record names {current or 'no release'} as the one in force, and does not have it"
    in_force = seen.digests.get("config.yaml")
    if in_force is None or in_force != seen.digests.get(_config(current)):
        yield "config.yaml is not the one of the release in force"


def _in_the_journals(before: Witness, seen: Witness) -> Iterator[str]:
    """Each has an end, and one after the other they lead to what the record says now."""
    expected = before.record["current"]
    for run, lines in seen.journals.items():
        end = _end(lines)
        if end is None:
            yield f"the journal of run {run} has no end"
        elif run not in before.journals:
            if end["outcome"] == CHANGES:
                expected = next(line["release"] for line in lines if line and line["event"] == "begin")
            elif end["outcome"] not in LEAVES:
                yield f"run {run} ended as {end['outcome']}: {end['sentence']}"
    if expected != seen.record["current"]:
        yield f"by the journals {expected or 'no release'} is in force, by the record {seen.record['current']}"


def _as_the_next_one_found_it(before: Witness, seen: Witness, stopped_by_engine: bool) -> Iterator[str]:
    """Each run notes what it finds, also after one that was undone: a container in force, and its release's config."""
    for run, lines in seen.journals.items():
        begin = next((line for line in lines if line and line["event"] == "begin"), None)
        if begin is None or run in before.journals:
            continue
        for old in begin["olds"]:
            if (old["running"] or stopped_by_engine, old["restart"]) != (True, RUNS_WITH):
                yield f"run {run} found {old['name']} not in force: running {old['running']}, {old['restart']}"
        found = seen.digests.get(_config(run, "before.yaml"))
        expected = seen.digests.get(_config(begin["leaves"]), found if begin["leaves"] else None)
        if found is not None and found != expected:
            yield f"run {run} found a config.yaml that is not that of release {begin['leaves'] or '(none)'}"


def _config(release: str, name: str = "config.yaml") -> str:
    return f"state/releases/{release}/{QUEUE}/{name}"


def _end(lines: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    return next((line for line in reversed(lines) if line and line["event"] == "end"), None)


def _is_temporary(name: str) -> bool:
    """Ours begin with a dot, wherever they lie."""
    return any(part.startswith(".") for part in name.split("/"))
