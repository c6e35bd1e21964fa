"""Many complaints as one error, so that a person corrects a file once and not once per mistake."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from gpu_runbook.laptop.errors import BadInput

MOST_LINES = 50  # shown of all complaints; nobody reads more before correcting the first


def bad_input(subject: str, problems: Iterable[str], hint: str, contacted: bool = False) -> BadInput:
    """One error out of at least one problem: a sentence that counts them, then a line for each.

    `contacted`: a server was asked before they were seen.
    """
    lines = list(dict.fromkeys(problems))
    count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
    shown = lines[:MOST_LINES] + ([f"… and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else [])
    nothing = "nothing was changed there" if contacted else "nothing was contacted or changed"
    return BadInput(f"{subject}: {count}, {nothing}.", hint, shown)


def printable(text: str, limit: int = 80) -> str:
    """A key or name out of a file, fit for a terminal: control characters replaced, length bounded."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "port"?` when something known is close, else nothing."""
    match = get_close_matches(word, list(known), n=1)
    return f'; did you mean "{printable(match[0])}"?' if match else ""
