"""`fab --list` in groups: each task in one of them, the sandbox last; what else lists or completes them is left."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fabfile import namespace
from tasks import listing
from tasks.listing import GROUPS, OTHERS, grouped
from tests.unit.tasks.test_command_line import fab, folder

__all__ = ["folder"]


def test_every_task_is_in_one_group() -> None:
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == sorted(namespace.task_names), "tasks/listing.py has every task once"


def test_a_task_of_no_group_is_listed_before_the_sandbox() -> None:
    pairs = [("sandbox.up", "a"), ("new", "b"), ("deploy", "c"), ("models.list (models)", None), ("status", "d")]
    assert grouped(pairs) == [
        ("Daily", [("status", "d"), ("deploy", "c")]),
        ("Looking", [("models.list (models)", None)]),
        (OTHERS, [("new", "b")]),
        ("Sandbox", [("sandbox.up", "a")]),
    ]


def test_fab_lists_every_task_once_below_its_group_in_one_column(folder: Path) -> None:
    status, out, err = fab(folder, "--list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line for line in lines[1:] if line[:1].strip()] == list(GROUPS)
    rows = [line for line in lines if line.startswith("  ") and line[2] != " "]
    assert [row.split()[0] for row in rows] == [name for names in GROUPS.values() for name in names]
    assert len({len(re.match(r"  \S+(?: \(\w+\))? +", row)[0]) for row in rows}) == 1  # type: ignore[index]


def test_other_lists_and_completion_have_every_task_as_ever(folder: Path) -> None:
    told = json.loads(fab(folder, "--list", "-F", "json")[1])
    assert {task["name"] for task in told["tasks"]} >= {"deploy", "status"}
    assert fab(folder, "--list", "-D", "1")[1].startswith("Available tasks (depth=1):")
    assert "install" in fab(folder, "--list", "schedule")[1]
    called = "__main__.py"  # as `python -m fabric` is, and as completion takes it off the line
    assert {*fab(folder, "--complete", "--", called)[1].split()} == {*namespace.task_names, "models"}
    assert "--hosts" in fab(folder, "--complete", "--", called, "status", "--h")[1]
    assert listing.OTHERS not in fab(folder, "--list")[1]
