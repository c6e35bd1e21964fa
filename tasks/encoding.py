"""Whatever is said can be written, in any encoding of a terminal or a pipe: what it has no sign for is replaced."""

from __future__ import annotations

import codecs
import io
import json
import sys

ALIKE = {
    "•": "*",
    "…": "...",
    "–": "-",
    "—": "-",
    "·": ".",
    "×": "x",
    "→": "->",
    "✓": "+",
    "✗": "x",
    "│": "|",
    "─": "-",
}


def fit(document: bool = False) -> None:
    """Let stdout and stderr replace what their encoding lacks. `document`: JSON on stdout is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED if document and stream is sys.stdout else REPLACED)


def _alike(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101  these streams are written to
    return "".join(ALIKE.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


REPLACED, ESCAPED = "gpu_runbook.alike", "gpu_runbook.escaped"
codecs.register_error(REPLACED, _alike)
codecs.register_error(ESCAPED, _escaped)
