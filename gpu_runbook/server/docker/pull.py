"""Pulls an image by its digest, by the engine itself, and gives up a pull that gets no further."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any, Dict, Iterator, Optional, Tuple

from gpu_runbook.protocol.deadlines import PULL_STANDS_STILL
from gpu_runbook.protocol.forms import NONE
from gpu_runbook.protocol.requests import EngineLogin
from gpu_runbook.server.docker.engine import LINE, Engine, EngineError
from gpu_runbook.server.docker.registry import login_header

PROGRESS = {"id": (str, NONE), "progressDetail": (dict, NONE)}


def pull(
    engine: Engine, image: str, login: Optional[EngineLogin] = None, still: float = PULL_STANDS_STILL
) -> Iterator[Dict[str, Any]]:
    """Pull `repository@digest`, giving the engine's progress as it comes. Ending the iteration ends the pull.

    Raises EngineError when the pull fails, when nothing was heard for `still` seconds, or not a byte came in them.
    """
    name, _, digest = image.partition("@")
    query = {"fromImage": name, "tag": digest}
    reached: Dict[Tuple[Any, Any], int] = {}
    got_on = time.monotonic()
    with closing(engine.send("POST", "/images/create", query, login_header(login), still, endless=True)) as answer:
        try:
            for line in iter(lambda: answer.line(LINE), b""):
                progress: Dict[str, Any] = engine.read(line, PROGRESS)
                if "error" in progress:
                    raise EngineError(answer.status, str(progress["error"]))
                if _gets_on(progress, reached):
                    got_on = time.monotonic()
                elif time.monotonic() - got_on > still:
                    raise EngineError(0, f"nothing more of it has come for {still:.0f} s")
                yield progress
        except OSError as error:
            raise EngineError(0, f"the engine fell silent during the pull ({error})") from error


def _gets_on(progress: Dict[str, Any], reached: Dict[Tuple[Any, Any], int]) -> bool:
    """Whether a line tells of a byte or a step that is new: what will be tried again is none.

    `reached`: by layer and what is done with it, the furthest that it has come.
    """
    status, count = str(progress.get("status"))[:40], (progress.get("progressDetail") or {}).get("current")
    step, count = (progress.get("id"), status), count if isinstance(count, int) else 0
    if status.startswith("Retrying") or count <= reached.get(step, -1):
        return False
    reached[step] = count
    return True
