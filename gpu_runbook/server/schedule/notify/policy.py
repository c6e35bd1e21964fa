"""Who is to be told what: a first failure is soft, a second one hard; what lasts, gets worse or is over. Pure."""

from __future__ import annotations

import dataclasses
from typing import Collection, Dict, List, Optional, Sequence, Tuple

from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.schedule import Alarm
from gpu_runbook.protocol.values import dataclass

ATTEMPTS = 2  # rounds in a row that something must be wrong before anybody is told
RANK = {OK: 0, SKIPPED: 0, WARNING: 1, UNKNOWN: 1, CRITICAL: 2}
NEW, WORSE, STILL, OVER = "new", "worse", "still", "over"


@dataclass(frozen=True)
class News:
    """Something to tell. `what` is new, worse, still or over; of what is over, the check is what it is now."""

    what: str
    check: Check
    since: str


Alarms = Dict[str, Alarm]


def rank(level: str) -> int:
    """How bad a level is; one that the state of another version has is unknown."""
    return RANK.get(level, RANK[UNKNOWN])


def judge(
    known: Alarms,
    checks: Sequence[Check],
    at: str,
    step: float,
    repeat: float,
    at_once: Collection[str] = (),
    frozen: Collection[str] = (),
) -> Tuple[Alarms, List[News]]:
    """The alarms after one more round at the time `at`, `step` seconds after the last one; and what is to be told.

    `at_once` names the rows whose critical needs no second round, `frozen` those that say nothing this time because
    what they depend on is itself at fault. An alarm that was told is told again after `repeat` seconds.
    """
    alarms: Alarms = {}
    news: List[News] = []
    for check in checks:
        before = known.get(check.name, Alarm(since=at))
        if check.name in frozen:
            after, what = dataclasses.replace(before, quiet=before.quiet + step), None
        else:
            after, what = _after(before, check.level, step, repeat, check.name in at_once)
        if what:
            news.append(News(what, check, before.since))
        if after.count or after.told:
            alarms[check.name] = after
    gone = {name: one for name, one in known.items() if one.told and name not in {check.name for check in checks}}
    news += [News(OVER, Check(name, OK, "is no longer so"), one.since) for name, one in gone.items()]
    return alarms, news


def _after(before: Alarm, level: str, step: float, repeat: float, at_once: bool) -> Tuple[Alarm, Optional[str]]:
    if not rank(level):
        return Alarm(), OVER if before.told else None
    count, quiet = before.count + 1, before.quiet + step
    if not before.told:
        what = NEW if count >= ATTEMPTS or (at_once and level == CRITICAL) else None
    elif rank(level) > rank(before.told):
        what = WORSE
    else:
        what = STILL if quiet >= repeat else None
    told = level if what else before.told
    return Alarm(count, before.since, told, 0.0 if what else quiet), what
