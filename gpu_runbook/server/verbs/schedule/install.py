"""Verb: leaves the scheduled check on this server: one program, its settings, and what starts it: cron, or systemd."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict

from gpu_runbook.protocol.check import CRITICAL
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.requests import InstallRequest, StateMoveRequest
from gpu_runbook.protocol.schedule import Installation, Installed, Settings
from gpu_runbook.server.checks import state
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.schedule import installation
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.schedule_files import PROGRAM, SETTINGS, place
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system import crontab
from gpu_runbook.server.verbs import state_move


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: an InstallRequest. The answer is an Installation. Raises Refusal with the crontab as it was."""
    asked = decode(InstallRequest, request, "request")
    settings = asked.settings
    store = find_store(settings.root, settings.state)
    if store.is_in_root:
        return _moved(asked)
    _is_safe(store, settings)
    make(store)
    program = place(store, PROGRAM)
    before = crontab.read()
    block = crontab.block(settings.root, settings.every, sys.executable, program)
    after = crontab.with_block(before, settings.root, block)
    known, _ = jsonfile.load(Installed, place(store, SETTINGS))
    changed = installation.lay_down(store, asked)
    try:
        if not crontab.stands(after):
            crontab.write(after)
            changed.append("timer" if crontab.starter(settings.root)[1] else "crontab")
    except Refusal:
        if known is None:
            installation.forget(store)
        raise
    running, timer = crontab.starter(settings.root)
    return encode(Installation(tuple(changed), block, running, timer=timer))


def _moved(asked: InstallRequest) -> Dict[str, Any]:
    """The state goes where it belongs, and the check is left there."""
    settings = asked.settings
    where = (settings.root, settings.state, settings.questions.docker_host)
    done = state_move.moved(StateMoveRequest(*where, asked.who, asked.laptop, "root", asked))
    running, timer = crontab.starter(settings.root)
    changed = ("state", "program", "settings", "timer" if timer else "crontab")
    return encode(Installation(changed, done["crontab"], running, (done["was"], done["folder"]), timer))


def _is_safe(store: Store, settings: Settings) -> None:
    """Cron runs what lies there. Raises Refusal where a container could write it."""
    engine = engines.find(settings.questions.docker_host)
    row = state.check("state", store, settings.state, engine, engine.containers())
    if row.level == CRITICAL:
        raise Refusal(f"{row.sentence}; nothing was changed", row.hint)
