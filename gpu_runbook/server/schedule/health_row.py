"""Does the scheduled check do its work? Its own files tell when it looked last, and what it could not do."""

from __future__ import annotations

import shlex
from typing import Any, Dict, List, Tuple

from gpu_runbook.common import humanize
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, WARNING, Check
from gpu_runbook.protocol.schedule import Installed, keyed_hash
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.state import ROUND, State
from gpu_runbook.server.schedule.waiting import held, moment_of
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.schedule_files import SETTINGS, STATE, place
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import timer

LATE = 2.5  # intervals after which the next round is overdue
INSTALL, TRY = "fab schedule.install", "fab schedule.test sends a test alert"
CRON = "see that cron runs: systemctl status cron"
DISK = "see dmesg and the mount on the server: a disk with faults is made read-only"

Findings = List[Tuple[str, str, str]]  # the level, a sentence, and what to do about it


def check(name: str, store: Store, key: str, now: float) -> Check:
    """`key`: with it the settings are hashed, for the laptop to compare; empty where it does not. `now`: since 1970."""
    installed, damage = jsonfile.load(Installed, place(store, SETTINGS))
    if installed is None:
        if damage:
            return Check(name, WARNING, damage, hint=INSTALL)
        return Check(name, SKIPPED, f"nothing looks after this server by itself: {INSTALL} changes that")
    state, damage = states.load(place(store, STATE))
    found, damaged = state or State(), [(WARNING, damage, "")] if damage else []
    begun = moment_of(found.at)
    since = now - begun if begun else max(now - (moment_of(installed.at) or now), 0.0)
    figures: Dict[str, Any] = {"every": installed.settings.every, "since_last": round(max(since, 0.0))}
    figures["rounds"] = found.rounds
    every = installed.settings.every
    findings = [*((CRITICAL, text, TRY) for text in held_back(found, every, now).values()), *damaged]
    unwritable = states.unwritable(place(store, STATE))
    if unwritable:
        findings.append((CRITICAL, f"nothing can be remembered: {unwritable}", DISK))
    findings += [
        *_late(since, every, store.root),
        *_ends(store.root),
        *(_trouble(what, why) for what, why in found.troubles.items()),
    ]
    if key:
        figures["settings"] = keyed_hash(installed.settings, key)
    sentence = _last_round(found, since)
    if not findings:
        return Check(name, OK, sentence, figures)
    level = CRITICAL if any(level == CRITICAL for level, _, _ in findings) else WARNING
    hint = next((hint for _, _, hint in findings if hint), "")
    return Check(name, level, "; ".join([sentence, *(text for _, text, _ in findings)]), figures, hint)


def _trouble(what: str, why: str) -> Tuple[str, str, str]:
    """A round that failed is worse than a file that only people look at."""
    return (CRITICAL, why, "") if what == ROUND else (WARNING, why, "")


def held_back(state: State, every: int, now: float) -> Dict[str, str]:
    """A sentence for each channel that holds alerts back, by its name; `every`: seconds between two rounds."""
    return held(state.pending, now, LATE * every)


def _last_round(state: State, since: float) -> str:
    if not state.at:
        return "it has not looked yet"
    silent = f", in silence: {state.silent}" if state.silent else ""
    return f"it looked {humanize.span(since)} ago, and found the server {state.level}{silent}"


def _ends(root: str) -> Findings:
    """A timer that does not go on by itself, or is not alone."""
    found = timer.of(root)
    if found is None:
        return []
    if timer.is_doubled(root):
        return [(WARNING, "cron starts it as well as its timer", INSTALL)]
    if not found.login:
        return [] if timer.is_active(found) else [(WARNING, "its timer is not active", INSTALL)]
    linger = f"on the server, as root: {shlex.join(['loginctl', 'enable-linger', found.login])}"
    return [(WARNING, f"its timer ends with the last session of {found.login}", linger)]


def _late(since: float, every: int, root: str) -> Findings:
    found = timer.of(root)
    seen = f"see that its timer runs: {timer.status(found)}" if found else CRON
    if since < -every:
        ahead = f"that is {humanize.span(-since)} ahead of this server's clock, and whether it is overdue is not known"
        return [(WARNING, ahead, seen)]
    if since <= LATE * every:
        return []
    overdue = f"it is to look every {humanize.span(every)}, and is overdue"
    return [(WARNING, overdue, seen)]
