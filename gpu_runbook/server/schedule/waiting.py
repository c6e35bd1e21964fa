"""What waits for a channel: how much of it is kept, and what is said in place of what is not. Pure."""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Optional, Sequence

from gpu_runbook.common import humanize
from gpu_runbook.common.clock import moment, stamp
from gpu_runbook.protocol.check import CRITICAL, WARNING
from gpu_runbook.protocol.forms import minute
from gpu_runbook.server.schedule.notify.message import TITLE, Message, ending, simple
from gpu_runbook.server.schedule.state import LONGEST_PENDING, MOST_PENDING, Pending

DROPPED = "dropped"  # in a row of an alert, in the place of new or over: that this says how many others were dropped
HINT = "fab health --since 7d has the titles of all alerts"
SEE = "; see fab health"
ABOUT, SAID = 60, 200  # characters of what a dropped alert was about, and of why a channel took nothing


def moment_of(text: str) -> Optional[float]:
    """Seconds since 1970, None for what is no time."""
    try:
        return moment(text) if text else None
    except ValueError:
        return None


def kept(waiting: Sequence[Pending], server: str, now: float) -> List[Pending]:
    """Of what waits for one channel, oldest first: the newest, as far as they are not too old; `now`: since 1970."""
    alerts = [one for one in waiting if not _count(one)]
    young = [one for one in alerts if now - (moment_of(one.since) or now) <= LONGEST_PENDING][-MOST_PENDING:]
    gone = [one for one in alerts if not any(one is other for other in young)]
    return without(waiting, gone, server)


def redated(waiting: Sequence[Pending], ahead: float) -> List[Pending]:
    """What waits, after the clock was set by so many seconds: by the clock alone it would all be too old, or never be.

    As long as nothing is too old by it, times stay as they were: a server may have been off meanwhile.
    """
    if abs(ahead) <= LONGEST_PENDING:
        return list(waiting)
    moved = ((one, (moment_of(one.since) or 0.0) + ahead) for one in waiting)
    return [dataclasses.replace(one, since=stamp(max(at, 0.0))) for one, at in moved]


def without(waiting: Sequence[Pending], gone: Sequence[Pending], server: str) -> List[Pending]:
    """What waits but for those that are dropped; the first alert says then how many were, with those before them."""
    left = [one for one in waiting if not any(one is other for other in gone)]
    alerts = [one for one in gone if not _count(one)]
    if not alerts:
        return left
    known = next((one for one in left if _count(one)), None)
    return [_notice(known, alerts, server), *(one for one in left if one is not known)]


def untold(one: Pending, why: str) -> Message:
    """In place of an alert that is dropped: of when it was, what about, and why it does not come; one plain line."""
    names = [row["name"] for row in one.message.rows if row.get("name")]
    about = (", ".join(names) or one.message.title)[:ABOUT]
    said = f"{one.message.server}: an alert of {minute(one.message.at)} UTC about {about} {why}"
    text = simple(said)[: TITLE - len(SEE)] + SEE
    level = CRITICAL if one.message.level == CRITICAL else WARNING  # which every service knows
    return Message(one.message.server, one.message.at, level, text, text)


def held(waiting: Sequence[Pending], now: float, patience: float) -> Dict[str, str]:
    """A sentence for each channel that holds alerts back: how many, since when, and why; `now`: since 1970.

    What is new is no alert held back, before it was tried or `patience` seconds have gone by.
    """
    channels = {one.channel: one for one in reversed(waiting)}  # the oldest of each
    late = {name: one for name, one in channels.items() if one.tries or now - (moment_of(one.since) or now) > patience}
    return {name: _held(one, [other for other in waiting if other.channel == name]) for name, one in late.items()}


def _held(oldest: Pending, waiting: Sequence[Pending]) -> str:
    alerts = [one for one in waiting if not _count(one)]
    dropped = sum(map(_count, waiting))
    gone = f", {dropped} older dropped" if dropped else ""
    why = " ".join(oldest.why.split())[:SAID]
    wait = humanize.several(len(alerts), "alert")
    return f"{oldest.channel} holds back {wait} since {minute(oldest.since)} UTC{gone}: {why}"


def _notice(known: Optional[Pending], gone: Sequence[Pending], server: str) -> Pending:
    """An alert as any other, which also a version before this one can send."""
    first, last = known or gone[0], gone[-1]
    count = (_count(known) if known else 0) + len(gone)
    about = f"{humanize.several(count, 'alert')} {'was' if count == 1 else 'were'} dropped"
    why = " ".join(last.why.split())[:SAID]
    sentence = f"{about} that waited for {first.channel} since {minute(first.since)} UTC: {why}"
    told = {"what": DROPPED, "name": "alerts", "level": WARNING, "sentence": sentence, "hint": HINT}
    row = {**told, "since": first.since, "count": str(count)}
    text = f"{sentence}\n  {HINT}\n{ending(server, last.message.at)}"
    message = Message(server, last.message.at, WARNING, f"{server}: {about}", text, (row,))
    return dataclasses.replace(first, message=message, why=last.why)


def _count(one: Pending) -> int:
    """How many alerts it says were dropped; 0 for every other alert."""
    row = one.message.rows[0] if one.message.rows else {}
    count = row.get("count", "") if row.get("what") == DROPPED else ""
    return int(count) if count.isdecimal() and len(count) < 10 else 0
