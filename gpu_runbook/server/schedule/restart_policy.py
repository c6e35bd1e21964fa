"""Which consumers a round starts again, how often, and what is said of it."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from gpu_runbook.common.clock import moment, stamp
from gpu_runbook.common.parallel import ask_all
from gpu_runbook.protocol.check import COMMAND, CRITICAL, Check
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.health import Request
from gpu_runbook.protocol.schedule import Installed, RestartRule
from gpu_runbook.server.checks import suite
from gpu_runbook.server.schedule import repair
from gpu_runbook.server.schedule.attempts import Attempts
from gpu_runbook.server.state.store import Store

HOUR, MOST = 3600.0, 3  # so many times within so many seconds, for each consumer

Restarts = Dict[str, Tuple[str, ...]]  # service -> when, as RFC 3339


def restart_what_is_down(
    installed: Installed,
    store: Store,
    known: Restarts,
    checks: Sequence[Check],
    now: float,
    attempts: Attempts,
    remember: Callable[[Restarts], bool],
) -> Tuple[List[Check], Restarts, List[str]]:
    """Start again what is dead, and what is stuck if that is wanted; the rows after that, when, and what was done.

    `remember` writes the restarts down, and says whether it could: each before it is made, so that no round that is cut
    off forgets it.
    """
    rows = {check.name: check for check in checks}
    restarts = {service: recent(times, now) for service, times in known.items()}
    actions: List[str] = []
    asked = installed.settings.questions
    for restart in installed.settings.restarts:
        what = f"the restart of {restart.service}"
        row, why = attempts.make(what, partial(_fault, restart, asked, rows), ("", ""))
        if not why:
            continue
        docker = rows[COMMAND]
        if docker.level == CRITICAL:
            rows[row] = _with(rows[row], f"it is not started again: {docker.sentence}", docker.hint)
            continue
        times = restarts.get(restart.service, ())
        if len(times) >= MOST:
            rows[row] = _with(rows[row], f"it was started again {MOST} times within the hour, and is left to a person")
            continue
        after = {**restarts, restart.service: (*times, stamp(now))}
        try:
            done = repair.start_again(installed, store, restart, why, partial(remember, after))
        except Refusal as refusal:  # it was not started, and so does not count
            rows[row] = _with(rows[row], refusal.message, refusal.hint)
            if isinstance(refusal.__cause__, OSError):  # no second round is to be waited for
                attempts.note(what, refusal)
            continue
        except Exception as error:  # the other consumers are to be started all the same
            rows[row] = _with(rows[row], f"it could not be started again: {attempts.note(what, error)}")
            continue
        if done:
            restarts = after
            rows[suite.alive_name(restart.service)] = _again(asked, restart.service)
            actions.append(f"{done}; now: {rows[suite.alive_name(restart.service)].sentence}")
    return [rows[check.name] for check in checks], {name: times for name, times in restarts.items() if times}, actions


def recent(times: Sequence[str], now: float) -> Tuple[str, ...]:
    """Those of the last hour. One that lies ahead, as after a clock was set back, counts as one of now."""
    left = []
    for text in times:
        try:
            at = min(moment(text), now)
        except ValueError:
            continue
        if now - at < HOUR:
            left.append(stamp(at))
    return tuple(left)


def _fault(restart: RestartRule, asked: Request, rows: Dict[str, Check]) -> Tuple[str, str]:
    """The row that says what is wrong with a consumer, and whether it is dead or stuck; empty for neither."""
    alive, offset = suite.alive_name(restart.service), suite.offset_name(asked, restart.service)
    figures = rows[alive].figures
    if restart.dead and rows[alive].level == CRITICAL and figures.get("status") in suite.STOPPED:
        return alive, repair.DEAD  # whether somebody stopped it is seen under the lock
    stuck = rows[offset].level == CRITICAL and "standstill" in rows[offset].figures
    if restart.stuck and stuck and figures.get("status") == "running" and not figures.get("loop"):
        return offset, repair.STUCK
    return alive, ""


def _again(asked: Request, service: str) -> Check:
    """Ask once more, after it was started."""
    consumer = next(one for one in asked.consumers if one.service == service)
    (check,) = ask_all([suite.alive(asked, consumer, None)])
    return check


def _with(check: Check, more: str, hint: Optional[str] = None) -> Check:
    return dataclasses.replace(check, sentence=f"{check.sentence}; {more}", hint=hint or check.hint)
