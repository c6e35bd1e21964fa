"""What a person reads who has typed no task, or a task, a flag or a value that is none: one sentence, exit status 10.

Invoke's own words name its classes, and its status 1 is that of a warning.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fabric.main import Fab
from invoke.exceptions import Exit, ParseError
from invoke.parser.parser import ParseMachine

from . import errors, listing

FORMATS = ("flat", "nested", "json")
USAGE = "fab TASK with its flags; fab --help TASK tells them, and fab --help those of every task."
EVERYWHERE = (
    "-h",
    "-H",
    "-i",
    "-t",
    "-S",
)  # one-letter flags that are heeded behind a task: Fabric's own, the same for all

_handle = ParseMachine.handle
_parse_tasks, _parse_cleanup = Fab.parse_tasks, Fab.parse_cleanup


def take_over() -> None:
    """From here on it is so; what Fabric reads before the tasks stays its own."""
    Fab.parse_tasks = _tasks
    Fab.parse_cleanup = _asked
    Fab.no_tasks_given = _nothing
    ParseMachine.handle = _handled  # type: ignore[method-assign, assignment]
    listing.take_over()


def _tasks(program: Any) -> None:
    try:
        _parse_tasks(program)
    except ParseError as error:
        raise _refused(*_explained(program, error)) from None
    except ValueError:  # of the flags that every task takes, these alone want numbers
        raise _refused("-t, -T and -D want a whole number", "fab --help") from None
    if program.args.dry.value:  # of what Fabric runs, which is nothing here: the task would change what it changes
        raise _refused("--dry (-R) of Fabric concerns no task of this tool", "--dry-run, for the tasks that have it")
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


def _handled(machine: ParseMachine, token: str) -> None:
    """One word of the command line. A flag is none of a task's required words, as Invoke would have it."""
    context, ours = machine.context, token.startswith("-") and not machine.waiting_for_flag_value
    if machine.current_state == "unknown" or not (ours and context and context.name) or token in _flags(context):
        _handle(machine, token)
    elif token not in machine.initial.flags or (len(token) == 2 and token not in EVERYWHERE):
        machine.error(f"No idea what {token!r} is!")
    elif token in ("-h", "--help"):
        machine.initial.flags[token].value = context.name
        for argument in context.missing_positional_args:
            argument.set_value(False, cast=False)
    else:
        machine.switch_to_flag(token)


def _flags(context: Any) -> list[str]:
    return [*context.flags, *context.flags.aliases, *context.inverse_flags]


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
    if lacking := re.fullmatch("'.*' did not receive required positional arguments: (.*)", said):
        words = lacking[1].replace("'", "").upper()
        return f"{command}: {words} is missing", help_of
    if not token:
        return f"{command}: {printable(said)}", help_of
    name = f'"{printable(token[1])}"'
    group = program.collection.collections.get(token[1])
    if group:
        tasks = ", ".join(f"{token[1]}.{one}" for one in sorted(group.task_names))
        return f"{name} is a group of tasks: {tasks}", f"fab --list {token[1]}"
    if token[1].startswith("-"):
        known = [*_flags(error.context or program.initial_context), *_flags(program.initial_context)]
        if task and len(token[1]) == 2:
            full = [flag for flag in _flags(error.context) if flag.startswith(f"-{token[1]}")]
            meant = f": {' or '.join(full)}" if full else ""
            return f"{command} has no flag {name}; a task's flags are written in full{meant}", help_of
        flags = dict.fromkeys(known)
        return f"{command} has no flag {name}{nearest(token[1], flags)}", help_of
    sentence = f"there is no task {name}{nearest(token[1], program.collection.task_names)}"
    if not task:
        return sentence, f"fab --list; {help_of}"
    by = "a service is named by --service; " if "--service" in _flags(error.context) else ""
    end = "" if sentence.endswith("?") else f", and {command} takes no such word"
    return f"{sentence}{end}", f"{by}fab --list; {help_of}"


def _refused(sentence: str, hint: str) -> Exit:
    from gpu_runbook.laptop.errors import BadInput

    return Exit(code=errors.show(BadInput(sentence, hint), errors.of_the_line()))
