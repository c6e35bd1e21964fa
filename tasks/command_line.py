"""What a person reads who has typed no task, or a task, a flag or a value that is none: one sentence, exit status 10.

Invoke's own words name its classes, and its status 1 is that of a warning.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from fabric.main import Fab
from invoke.exceptions import Exit, ParseError

from . import errors

FORMATS = ("flat", "nested", "json")
USAGE = "fab TASK with its flags; fab --help TASK tells them, and fab --help those of every task."

_parse_tasks, _parse_cleanup = Fab.parse_tasks, Fab.parse_cleanup


def take_over() -> None:
    """From here on it is so; what Fabric reads before the tasks stays its own."""
    Fab.parse_tasks = _tasks
    Fab.parse_cleanup = _asked
    Fab.no_tasks_given = _nothing


def _tasks(program: Any) -> None:
    try:
        _parse_tasks(program)
    except ParseError as error:
        raise _refused(*_explained(program, error)) from None
    except ValueError:  # of the flags that every task takes, these alone want numbers
        raise _refused("-t, -T and -D want a whole number", "fab --help") from None
    settings = program.args.config.value
    if settings and not Path(settings).expanduser().exists():  # Invoke would go on without them
        raise _refused(f"the settings {settings} that -f names are not there", "correct the path")


def _asked(program: Any) -> None:
    """--help and --list."""
    form = program.args["list-format"].value
    if form not in FORMATS:
        raise _refused(f"-F wants {', '.join(FORMATS)}, and not {form!r}", "fab --help")
    try:
        _parse_cleanup(program)
    except ParseError as error:
        raise _refused(*_explained(program, error)) from None


def _nothing(program: Any) -> None:
    if not program._remainder_only:
        program.list_tasks()
        print(USAGE)
        raise Exit


def _explained(program: Any, error: ParseError) -> tuple[str, str]:
    """The sentence and the hint for what Invoke's parser does not take."""
    from gpu_runbook.laptop.inventory.problems import nearest, printable

    said = str(error)
    task = getattr(error.context, "name", None)
    command = f"fab {task}" if task else "fab"
    help_of = f"fab --help {task}" if task else "fab --help"
    token, flag = re.fullmatch("No idea what ['\"](.*)['\"] is!", said), re.match("Flag <Argument: ([\\w-]+)", said)
    if flag:
        ends = "wants no value" if "doesn't take" in said else "wants a value"
        return f"{command}: --{flag[1]} {ends}", help_of
    if not token:
        return f"{command}: {printable(said)}", help_of
    name = f'"{printable(token[1])}"'
    group = program.collection.collections.get(token[1])
    if group:
        tasks = ", ".join(f"{token[1]}.{one}" for one in sorted(group.task_names))
        return f"{name} is a group of tasks: {tasks}", f"fab --list {token[1]}"
    if token[1].startswith("-"):
        known = [context.flags for context in (error.context, program.initial_context) if context]
        flags = [name for one in known for name in (*one, *one.aliases)]
        return f"{command} has no flag {name}{nearest(token[1], flags)}", help_of
    sentence = f"there is no task {name}{nearest(token[1], program.collection.task_names)}"
    return (f"{sentence}, and {command} takes no such word" if task else sentence), f"fab --list; {help_of}"


def _refused(sentence: str, hint: str) -> Exit:
    from gpu_runbook.laptop.errors import BadInput

    error = BadInput(sentence, hint)
    errors.show(error, {"json": "--json" in sys.argv})
    return Exit(code=error.exit_code)
