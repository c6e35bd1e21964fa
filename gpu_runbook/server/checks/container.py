"""Is a consumer's container alive? The engine's `Running` alone does not tell: it is true all through a crash loop."""

from __future__ import annotations

import calendar
import time
from typing import Any, Dict, Optional

from gpu_runbook.common import humanize
from gpu_runbook.protocol.check import CRITICAL, OK, WARNING, Check
from gpu_runbook.protocol.foreign_text import named, quoted
from gpu_runbook.server.docker import engine
from gpu_runbook.server.docker.containers import LOOP

RECENT = 600.0  # seconds for which a restart by the engine stays worth a warning


def check(name: str, container: str, docker_host: str, look_again: float) -> Check:
    """Look once; again after `look_again` seconds at a container so young that it has proved nothing yet."""
    docker = engine.find(docker_host)
    found = docker.container(container)
    if found is not None and found["State"]["Status"] == "running" and not found["RestartCount"] and _is_young(found):
        time.sleep(look_again)
        found = docker.container(container)
    return judge(name, container, found, time.time())


def judge(name: str, container: str, found: Optional[Dict[str, Any]], now: float) -> Check:
    """`found` is what `docker inspect` shows, None for a container that does not exist; `now` in seconds since 1970."""
    if found is None:
        return Check(name, CRITICAL, f"there is no container {container}", hint="fab deploy creates it")
    state, restarts = found["State"], int(found["RestartCount"])
    age = now - started_at(found)
    figures = {"status": state["Status"], "restarts": restarts, "exit_status": state["ExitCode"]}
    if state["Status"] == "running":
        figures["up"] = round(max(age, 0.0), 1)
    hint = f"see docker logs --tail 20 {container} on the server"
    if state["Restarting"] or (state["Status"] == "running" and restarts and -LOOP < age < LOOP):
        sentence = f"crash loop: the engine has started {container} again {humanize.several(restarts, 'time')}"
        return Check(name, CRITICAL, sentence + _ending(state), figures, hint)
    if state["Status"] != "running":
        return Check(name, CRITICAL, f"{container} is {named(state['Status'])}{_ending(state)}", figures, hint)
    if restarts and -LOOP < age < RECENT:
        sentence = (
            f"the engine has started {container} again {humanize.several(restarts, 'time')}, {humanize.span(age)} ago"
        )
        return Check(name, WARNING, sentence, figures, hint)
    return Check(name, OK, f"running for {humanize.span(age)}", figures)


def started_at(found: Dict[str, Any]) -> float:
    """Seconds since 1970; negative for a container that never ran. The engine writes RFC 3339 with nanoseconds."""
    return float(calendar.timegm(time.strptime(found["State"]["StartedAt"][:19], "%Y-%m-%dT%H:%M:%S")))


def _is_young(found: Dict[str, Any]) -> bool:
    """A start that lies farther ahead is one before the clock was set back."""
    return -LOOP < time.time() - started_at(found) < LOOP


def _ending(state: Dict[str, Any]) -> str:
    """How it ended last, as far as the engine tells."""
    if state["Error"]:
        return f" ({quoted(state['Error'], 200)})"
    if state["OOMKilled"]:
        return " (killed: out of memory)"
    return f" (exit status {state['ExitCode']})" if state["Status"] in ("exited", "restarting", "dead") else ""
