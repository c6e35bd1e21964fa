"""Are the last lines of a container's log clean?"""

from __future__ import annotations

from typing import Sequence

from remote.checks import say
from remote.engine import Engine, EngineError
from remote.words import OK, SKIPPED, WARNING, Check

LINES = 20
WIDTH = 200  # characters of a line that is shown


def check(name: str, container: str, engine: Engine, failure_text: Sequence[str]) -> Check:
    """Searches the last 20 lines for the texts, literally. An old line stays among them while little is written."""
    try:
        lines = engine.logs(container, tail=LINES).splitlines()
    except EngineError as error:
        if error.status == 404:
            return Check(name, SKIPPED, f"there is no container {container}")
        raise
    found = [line for line in lines if any(text in line for text in failure_text)]
    figures = {"lines": len(lines), "failures": len(found)}
    last = say.several(len(lines), "line")
    if not found:
        return Check(name, OK, f"the last {last} of its log are clean" if lines else "its log is empty", figures)
    sentence = f"{say.several(len(found), 'line')} of the last {len(lines)} say that it failed: {found[-1][:WIDTH]}"
    return Check(name, WARNING, sentence, figures, f"see fab logs {container} --tail {LINES}")
