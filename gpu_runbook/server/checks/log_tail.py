"""Are the last lines of a container's log clean?"""

from __future__ import annotations

from typing import Sequence

from gpu_runbook.common import humanize
from gpu_runbook.protocol.check import OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.server.docker.engine import Engine, EngineError, Unreadable

LINES = 20
HINT = "docker inspect says which log driver it has; a container that fab deploy makes has json-file"
WIDTH = 200  # characters of a line that is shown


def check(name: str, container: str, engine: Engine, failure_text: Sequence[str]) -> Check:
    """Searches the last 20 lines for the texts, literally. An old line stays among them while little is written."""
    try:
        lines = engine.logs(container, tail=LINES).splitlines()
    except Unreadable as error:
        return Check(name, UNKNOWN, f"it cannot be read: {quoted(error.message, WIDTH)}", hint=HINT)
    except EngineError as error:
        if error.status == 404:
            return Check(name, SKIPPED, f"there is no container {container}")
        raise
    found = [line for line in lines if any(text in line for text in failure_text)]
    figures = {"lines": len(lines), "failures": len(found)}
    if not found:
        clean = f"clean: its last {humanize.several(len(lines), 'line')}" if lines else "its log is empty"
        return Check(name, OK, clean, figures)
    last = quoted(found[-1], WIDTH)
    sentence = f"{len(found)} of its last {humanize.several(len(lines), 'line')} say that it failed, as: {last}"
    return Check(name, WARNING, sentence, figures, f"see fab logs {container} --tail {LINES}")
