"""How an error is shown: a sentence and a hint, with --json a document as well, with --debug where it came from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def show(error: Any, flags: Mapping[str, Any]) -> None:
    """For a person on stderr; for a script on stdout as well, with what was done before it."""
    from gpu_runbook.laptop.terminal import interrupts

    interrupts.heard = False  # one more Ctrl-C does not take the answer away
    from gpu_runbook.laptop.terminal.screen import put, show_error

    if flags.get("json"):
        import json

        from gpu_runbook.laptop.answers.contract import SCHEMA
        from gpu_runbook.laptop.terminal.spool import pieces

        told = {"schema": SCHEMA, "servers": error.results, "error": error.as_result()}
        lines = flags.get("follow")  # what is followed comes as JSON lines
        for piece in [json.dumps(told, ensure_ascii=False)] if lines else pieces(told):
            put(piece, end="")
        put("")
    if flags.get("debug"):
        from gpu_runbook.laptop.sanitize import clean
        from gpu_runbook.laptop.terminal import traceback as backtrace

        put(clean("\n".join(backtrace.lines(error))), sys.stderr)
    show_error(error)
