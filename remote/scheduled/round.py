"""One round of the scheduled check: look, do the one thing it is there for, tell whoever is to be told, write it down.

Whatever is wrong with the server, a round comes to its end and says what it can: a state that is damaged begins anew, a
disk that is full takes no history, a channel that does not answer is tried again by the next round.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Dict, List, Optional, Sequence, Tuple

from remote import health
from remote import journal as journals
from remote.checks.together import ask_all
from remote.foreign_text import LONGEST, one_line
from remote.occupants import moment
from remote.scheduled import act, alarm, deliver, history, metrics, silence, standstill
from remote.scheduled import state as states
from remote.scheduled.figures import of_checks
from remote.scheduled.message import Message, compose
from remote.scheduled.restarts import Restarts, restart_what_is_down
from remote.scheduled.rounds import Round
from remote.scheduled.settings import HISTORY, STATE, Channels, Installed, Settings, place
from remote.scheduled.standstill import Standstill
from remote.scheduled.state import Pending, State
from remote.scheduled.waiting import kept, redated
from remote.store import Store
from remote.words import CRITICAL, OK, UNKNOWN, WARNING, Check, Refusal

UNTRIED = "it was not tried yet"
HOUR = 3600.0  # seconds
DISK = "see dmesg and the mount on the server: a disk with faults is made read-only"
WORST_FIRST = (CRITICAL, UNKNOWN, WARNING, OK)


def make(installed: Installed, store: Store) -> Tuple[Round, List[Check]]:
    """Make one round; what it saw and did, and its rows."""
    begun, now, settings = time.monotonic(), time.time(), installed.settings
    before, damage = states.load(place(store, STATE))
    known = before or State()
    at, step = stamp(now), _step(known, now, settings.every)
    quiet, checks, mended = _look(installed, store, known, now)
    last = journals.last(store)
    run = last.id if last and last.state == "ended" else ""
    checks, standstills = _moved(settings, known if run == known.run else None, checks, step)
    restarts: Restarts = known.restarts
    actions: List[str] = []
    if not quiet:
        checks, restarts, actions = restart_what_is_down(installed, store, restarts, checks, now)
    checks = [_covered(settings, check) for check in checks]
    remarks = [one_line(settings.covered(text), LONGEST) for text in (*filter(None, [damage]), *mended, *actions)]
    alarms, message = (known.alarms, None) if quiet else _news(settings, known, checks, remarks, at, step)
    after = dataclasses.replace(
        known,
        at=at,
        level=worst(checks),
        silent=quiet,
        rounds=known.rounds + 1,
        run=run,
        alarms=alarms,
        standstills=standstills,
        full=_full(known, checks),
        restarts=restarts,
        pending=tuple(redated(known.pending, _since(known, now) - step)),
    )
    found = dataclasses.replace(of_checks(at, checks, settings.questions), silent=quiet, actions=tuple(remarks))
    message = noted(settings, after, store, checks, message)
    return _tell(installed, store, after, found, message, begun), checks


def _look(installed: Installed, store: Store, known: State, now: float) -> Tuple[str, List[Check], List[str]]:
    """Why this round is silent, empty when it is not; its rows; and what became of runs that were cut off."""
    quiet, unending = silence.silence(store, now)
    beside, mended = [unending] if unending else [], []
    if not quiet:
        try:
            mended = act.mend(installed, store)
        except Refusal as refusal:
            beside.append(act.row(refusal))
    checks = ask_all(health.questions(installed.settings.questions, store, known.full), lambda check: None)
    quiet = quiet or silence.silence(store, time.time())[0]  # whoever began meanwhile may be what was seen
    return quiet, [*checks, *beside], mended


def stamp(now: float) -> str:
    """A moment as RFC 3339 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def worst(checks: Sequence[Check]) -> str:
    levels = {check.level for check in checks}
    return next((level for level in WORST_FIRST if level in levels), OK)


def _step(known: State, now: float, every: int) -> float:
    """Seconds since the last round, as far as rounds stood for them: a clock that is set or a night off adds little."""
    return min(max(_since(known, now), 0.0), 2.0 * every)


def _since(known: State, now: float) -> float:
    """The same by the clock alone: less than nothing after it was set back."""
    try:
        return now - moment(known.at) if known.at else 0.0
    except ValueError:
        return 0.0


def _moved(
    settings: Settings, known: Optional[State], checks: Sequence[Check], step: float
) -> Tuple[List[Check], Dict[str, Standstill]]:
    """The rows of the offsets as earlier rounds make them. A run since then may have moved an offset on purpose."""
    by_name = {check.name: check for check in checks}
    after: Dict[str, Standstill] = {}
    for consumer in settings.questions.consumers:
        name = health.offset_name(settings.questions, consumer.service)
        before = known.standstills.get(consumer.service) if known else None
        by_name[name], found = standstill.judge(by_name[name], before, step, settings.stale_after)
        if found:
            after[consumer.service] = found
    return [by_name[check.name] for check in checks], after


def _news(
    settings: Settings, known: State, checks: Sequence[Check], remarks: Sequence[str], at: str, step: float
) -> Tuple[alarm.Alarms, Optional[Message]]:
    asked = settings.questions
    offsets = [health.offset_name(asked, one.service) for one in asked.consumers]
    at_once = {health.DISK, *offsets}
    levels = {check.name: check.level for check in checks}
    frozen = {
        name
        for name, one in zip(offsets, asked.consumers)
        if one.stream and levels[health.broker_name(asked, (one.stream.host, one.stream.port))] != OK
    }
    alarms, news = alarm.judge(known.alarms, checks, at, step, settings.repeat, at_once, frozen)
    if not settings.channels.names:  # what nobody was told is news to whoever is named one day
        return {name: dataclasses.replace(one, told="") for name, one in alarms.items()}, None
    return alarms, compose(settings.server, at, news, remarks) if news or remarks else None


def _full(known: State, checks: Sequence[Check]) -> Dict[str, str]:
    """Which file systems alarm; as before where df was not heard in time."""
    figures = next((check.figures for check in checks if check.name == health.DISK), {})
    if not figures:
        return known.full
    return {path: room["level"] for path, room in figures.items() if room["level"] != OK}


def _covered(settings: Settings, check: Check) -> Check:
    return dataclasses.replace(check, sentence=settings.covered(check.sentence), hint=settings.covered(check.hint))


def noted(
    settings: Settings, after: State, store: Store, checks: Sequence[Check], message: Optional[Message]
) -> Optional[Message]:
    """Write the state, what is to be sent included: an alert may come twice when the power fails, and is not forgotten.

    Where it cannot be written, nothing is remembered: then all that is critical is told once an hour.
    """
    why = states.save(place(store, STATE), dataclasses.replace(after, pending=_waiting(settings, after, message)))
    if not why:
        return message
    if after.silent or moment(after.at) % HOUR >= settings.every:
        return None
    notes = Check("notes of the check", CRITICAL, f"cannot be written, so that nothing is remembered: {why}", hint=DISK)
    found = [alarm.News(alarm.NEW, check, after.at) for check in (notes, *checks) if check.level == CRITICAL]
    return compose(settings.server, after.at, found, [])


def _waiting(settings: Settings, after: State, message: Optional[Message]) -> Tuple[Pending, ...]:
    """What each channel is to be told: what it has not taken yet and is still worth it, and what is new."""
    waiting: List[Pending] = []
    for name in settings.channels.names:
        new = [Pending(name, message, UNTRIED, after.at, 0)] if message else []
        old = [one for one in after.pending if one.channel == name]
        waiting += kept([*old, *new], settings.server, moment(after.at))
    return tuple(waiting)


def _tell(
    installed: Installed, store: Store, after: State, found: Round, message: Optional[Message], begun: float
) -> Round:
    """Send, and write down what became of it."""
    settings, path = installed.settings, place(store, STATE)
    waiting = _waiting(settings, after, message)
    if after.silent:
        only = dataclasses.replace(settings, channels=Channels(heartbeat=settings.channels.heartbeat))
        left, (_, sent) = waiting, deliver.deliver(only, ())
    else:
        left, sent = deliver.deliver(settings, waiting)
    after = dataclasses.replace(after, pending=left)
    titles = (message.title,) if message else ()
    found = dataclasses.replace(found, seconds=round(time.monotonic() - begun, 3), alerts=titles)
    troubles = {"history": history.append(place(store, HISTORY), found, settings.keep, settings.every)}
    heartbeat = [check for check in sent if check.name == deliver.HEARTBEAT and check.level != OK]
    troubles["heartbeat"] = f"the heartbeat's address {heartbeat[0].sentence}" if heartbeat else ""
    holding = {deliver.HEARTBEAT, *(one.channel for one in left)}
    for check in sent:
        lost = check.level == CRITICAL and check.name not in holding
        troubles[f"alerts of {check.name}"] = f"{check.name}: {check.sentence}; it was dropped" if lost else ""
    if settings.textfile:
        troubles["textfile"] = metrics.write(settings.textfile, settings.server, found, after)
    told = {what: why for what, why in troubles.items() if why}
    states.save(path, dataclasses.replace(after, troubles=told))
    return found
