"""A word of the command line that may be left out: `fab logs annotation-queue`, and `fab logs`.

Invoke knows required words alone: it ends with an error when one is missing at the end of a task. For the words named
here, what is missing is filled in before it looks.
"""

from __future__ import annotations

from typing import Any

from invoke.parser.parser import ParseMachine

_words: set[tuple[str, str]] = set()  # task and argument
_complete_context = ParseMachine.complete_context


def may_be_left_out(task: str, word: str) -> None:
    """From here on `fab TASK` is as good as `fab TASK WORD`; the argument is False without the word."""
    _words.add((task, word))
    ParseMachine.complete_context = _filling  # type: ignore[method-assign, assignment]


def word(given: Any) -> str | None:
    """The word as the task was given it, None where it was left out."""
    return None if given is False else given


def _filling(machine: ParseMachine) -> None:
    for argument in machine.context.missing_positional_args if machine.context else ():
        if (machine.context.name, argument.name) in _words:
            argument.set_value(False, cast=False)  # None would count as missing, and "" is what a script may have given
    _complete_context(machine)
