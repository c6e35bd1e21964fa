"""What --debug shows of an error: where it came from, and no text that may quote a secret.

Our own errors are written so that they hold none. What another library says of a value it could not take may quote it,
so of its errors only the kind is shown, and what the operating system or an import says, which know no values.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator

from gpu_runbook.laptop.errors import RunbookError, ServerTraceback

_FRAME = re.compile(r'\s+File "[^"]+", line \d+')
_KIND = re.compile(r"[\w.]*(?:Error|Exception|Exit|Interrupt)(?=:|$)")


def lines(error: BaseException) -> Iterator[str]:
    """The whole chain of an error, the first cause first, as Python would print it."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from lines(before)
        how = "led to" if error.__cause__ else "was being handled when came"
        yield from ("", f"which {how}:", "")
    frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
    if frames:
        yield "Traceback (most recent call last):"
        yield from "".join(frames).splitlines()
    yield f"{type(error).__name__}: {_text(error)}".removesuffix(": ")


def _text(error: BaseException) -> str:
    if isinstance(error, RunbookError | ServerTraceback | ImportError):
        return str(error)
    return error.strerror or "" if isinstance(error, OSError) else ""


def of_a_complaint(complaint: str) -> str:
    """The frames and the kinds of error in what a Python on a server has printed before it ended, and nothing else.

    It may have choked on the request itself, and quote it.
    """
    found = (_FRAME.match(line) or _KIND.match(line) for line in complaint.splitlines())
    return "\n".join(match[0] for match in found if match)
