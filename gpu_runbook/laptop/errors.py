"""The one root of errors: what a person reads, what to do next, and the exit status a script sees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpu_runbook.laptop.sanitize import line
from gpu_runbook.protocol.foreign_text import LONGEST, one_line

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.contract import Failure


class RunbookError(Exception):
    """A failure that a person can act on: one sentence, one hint, one exit status.

    Each is one line, whosever words are in it; `problems` are further lines of the message, one for each.
    Exit statuses 0-3 belong to checks; the classes below say what 10 and up mean.
    """

    exit_code = 17
    interrupted = False  # whether somebody has said stop: nothing further is asked

    def __init__(self, message: str, hint: str = "", problems: Sequence[str] = ()) -> None:
        self.message = "\n  ".join(one_line(part, LONGEST) for part in (message, *problems))
        super().__init__(self.message)
        self.hint = line(hint)
        self.details: dict[str, Any] = {}  # of a run that failed: its log's last lines, the offsets it handled
        self.results: list[dict[str, Any]] = []  # of the servers before and with it, as --json prints them

    def as_result(self) -> dict[str, Any]:
        """The error as --json prints it: a Failure, with its details."""
        kind = re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__).lower()
        own: Failure = {"outcome": kind, "exit_status": self.exit_code, "sentence": self.message, "hint": self.hint}
        return {**own, **self.details, **own}  # details come from a server: they add to an error and never change it


class BadInput(RunbookError):
    """hosts.yaml, .env, a template, ssh_config or the command line is wrong; nothing was changed.

    Nor was anything contacted, but for a server whose variables stand on itself.
    """

    exit_code = 10


class CannotConnect(RunbookError):
    """The server was not reached, not recognised, or cannot carry anything out; nothing was changed."""

    exit_code = 11


class Refused(RunbookError):
    """A gate, a check or a lock said no; nothing was changed."""

    exit_code = 12


class RolledBack(RunbookError):
    """A run failed and the server is as it was before."""

    exit_code = 13


class NeedsPerson(RunbookError):
    """A run failed and could not be undone, or was not to be undone; somebody has to look."""

    exit_code = 14


class Cancelled(RunbookError):
    """Somebody said stop in time; nothing was changed."""

    exit_code = 15


class LostContact(RunbookError):
    """The connection ended, or fell silent, after something was asked: a run goes on, another change may be made."""

    exit_code = 16


class Defect(RunbookError):
    """An answer or a state that the code did not expect: a defect of this tool, or a broken server."""

    exit_code = 17


class ServerTraceback(Exception):
    """Where the server's half came to a defect, in words that quote no value: the cause of the Defect, for --debug."""
