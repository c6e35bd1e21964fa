"""How an error is shown: a sentence and a hint, with --json a document as well, with --debug where it came from.

With --plugin it is the one line that a monitoring system expects, with the exit status that it has for what is unknown.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def of_the_line() -> dict[str, bool]:
    """The flags that `show` knows, as a command line has them that could not be taken apart."""
    return {name: f"--{name}" in sys.argv for name in ("json", "plugin")}


def show(error: Any, flags: Mapping[str, Any]) -> int:
    """For a person on stderr; for a script on stdout as well, with what was done before it. Returns the exit status."""
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
    if flags.get("plugin") and not flags.get("json"):
        return _as_plugin(error)
    show_error(error)
    return int(error.exit_code)


def _as_plugin(error: Any) -> int:
    from gpu_runbook.laptop.commands import health, plugin
    from gpu_runbook.laptop.terminal.screen import put
    from gpu_runbook.protocol.check import UNKNOWN

    put(plugin.unanswered(error.message))
    return health.EXIT_STATUS[UNKNOWN]
