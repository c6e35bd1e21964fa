"""Is a consumer's container alive? The engine's `Running` alone does not tell: it is true all through a crash loop."""

from __future__ import annotations

import time
from typing import Any, Dict, Optional

from gpu_runbook.common import humanize
from gpu_runbook.common.container import health_told
from gpu_runbook.protocol.check import CRITICAL, OK, WARNING, Check
from gpu_runbook.protocol.foreign_text import named, quoted
from gpu_runbook.server.docker import engine
from gpu_runbook.server.docker.containers import LOOP
from gpu_runbook.server.docker.inspected import Container

RECENT = 600.0  # seconds for which a restart by the engine stays worth a warning


def check(name: str, container: str, docker_host: str, look_again: float) -> Check:
    """Look once; again after `look_again` seconds at a container so young that it has proved nothing yet."""
    docker = engine.find(docker_host)
    found = docker.container(container)
    if found is not None and found.state == "running" and not found.restarts and _is_young(found):
        time.sleep(look_again)
        found = docker.container(container)
    return judge(name, container, found, time.time())


def judge(name: str, container: str, found: Optional[Container], now: float) -> Check:
    """`found` is None for a container that does not exist; `now` in seconds since 1970."""
    if found is None:
        return Check(name, CRITICAL, f"there is no container {container}", hint="fab deploy creates it")
    restarts, age = found.restarts, now - found.started
    figures: Dict[str, Any] = {"status": found.state, "restarts": restarts, "exit_status": found.exit_code}
    if found.state == "running":
        figures["up"] = round(max(age, 0.0), 1)
    if found.health:
        figures["health"] = found.health
    hint = f"fab logs {container} --tail 20"
    if found.state == "paused":
        hint = f"docker unpause {container} on the server lets it go on"
    if found.restarting or (found.state == "running" and restarts and -LOOP < age < LOOP):
        sentence = f"crash loop: the engine has started {container} again {humanize.several(restarts, 'time')}"
        return Check(name, CRITICAL, sentence + _ending(found), {**figures, "loop": True}, hint)
    if found.state != "running":
        return Check(name, CRITICAL, f"{container} is {named(found.state)}{_ending(found)}", figures, hint)
    if found.sick:
        asked = f"see docker inspect --format '{{{{json .State.Health}}}}' {container} on the server"
        return Check(name, CRITICAL, found.sick, figures, asked)
    if restarts and -LOOP < age < RECENT:
        sentence = (
            f"the engine has started {container} again {humanize.several(restarts, 'time')}, {humanize.span(age)} ago"
        )
        return Check(name, WARNING, sentence, figures, hint)
    return Check(name, OK, f"running for {humanize.span(age)}{health_told(found.health)}", figures)


def _is_young(found: Container) -> bool:
    """A start that lies farther ahead is one before the clock was set back."""
    return -LOOP < time.time() - found.started < LOOP


def _ending(found: Container) -> str:
    """How it ended last, as far as the engine tells."""
    if found.error:
        return f" ({quoted(found.error, 200)})"
    if found.killed:
        return f": it {found.killed}"
    return f" (exit status {found.exit_code})" if found.state in ("exited", "restarting", "dead") else ""
