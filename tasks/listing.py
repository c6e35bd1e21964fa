"""`fab --list` by what tasks are for: Invoke has one alphabet of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fabric.main import Fab

GROUPS = {
    "Daily": ("status", "health", "logs", "deploy", "rollback", "follow", "restart", "training.command"),
    "Looking": (
        *("diff", "preflight", "history", "show", "report"),
        *("schedule.show", "models.list", "env.diff"),
    ),
    "Rarely": ("stop", "pause", "resume", "prune", "models.use", "models.rollback"),
    "Setting up": (
        *("setup", "env.push", "env.import"),
        *("schedule.install", "schedule.test", "schedule.remove"),
    ),
    "Sandbox": ("sandbox.up", "sandbox.status", "sandbox.down"),
}
OTHERS = "Others"  # a task of nobody's group is not lost

Pair = tuple[str, str | None]  # a task as it is called, with its aliases, and what it does

_flat = Fab.list_flat


def take_over() -> None:
    """From here on --list has groups; of one collection, and to a depth, it is as Invoke has it."""
    Fab.list_flat = _grouped


def _grouped(program: Any) -> None:
    if program.list_root or program.list_depth:
        _flat(program)
        return
    pairs: Sequence[Pair] = program._make_pairs(program.scoped_collection)
    width = max(len(name) for name, _ in pairs)  # one column for all groups
    print(f"{program.task_list_opener()}:\n")
    for heading, those in grouped(pairs):
        print(heading)
        program.print_columns([(name.ljust(width), about) for name, about in those])


def grouped(pairs: Iterable[Pair]) -> list[tuple[str, list[Pair]]]:
    """Each group that has tasks, with its tasks in its order."""
    left = {name.split(" ")[0]: (name, about) for name, about in pairs}
    groups = [(heading, [left.pop(name) for name in names if name in left]) for heading, names in GROUPS.items()]
    sandbox = groups.pop()
    return [group for group in (*groups, (OTHERS, list(left.values())), sandbox) if group[1]]
