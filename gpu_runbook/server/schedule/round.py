"""One round of the scheduled check: look, do the one thing it is there for, tell whoever is to be told, write it down.

Whatever is wrong with the server, a round comes to its end and says what it can: a part that fails is a row, a state
that is damaged begins anew, a disk that is full takes no history, a channel that does not answer is tried again by the
next round. Where nothing can be written, the round goes on in memory.

What nobody remembers is told by the clock. Nothing is remembered anywhere else: what lies in /tmp or /dev/shm, a
container may have written, and an alert that it has marked as told would never come.
"""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from typing import Dict, List, Optional, Sequence, Tuple

from gpu_runbook.common.clock import moment, stamp
from gpu_runbook.common.parallel import ask_all
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.rounds import Round
from gpu_runbook.protocol.schedule import Installed, Settings
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.checks import suite
from gpu_runbook.server.schedule import delivery, history, metrics, repair, silence, standstill
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.schedule.attempts import NAME as FAILED
from gpu_runbook.server.schedule.attempts import Attempts, row
from gpu_runbook.server.schedule.figures import of_checks
from gpu_runbook.server.schedule.notify import policy
from gpu_runbook.server.schedule.notify.message import Message, compose
from gpu_runbook.server.schedule.restart_policy import Restarts, restart_what_is_down
from gpu_runbook.server.schedule.standstill import Standstill
from gpu_runbook.server.schedule.state import Pending, State
from gpu_runbook.server.schedule.waiting import kept, redated
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.schedule_files import HISTORY, STATE, place
from gpu_runbook.server.state.store import Store

UNTRIED = "it was not tried yet"
HOUR = 3600.0  # seconds
DISK = "see dmesg and the mount on the server: a disk with faults is made read-only"
WORST_FIRST = (CRITICAL, UNKNOWN, WARNING, OK)
NO_SILENCE: Tuple[str, Optional[Check]] = ("", None)  # where that cannot be seen: whoever acts takes the lock first


def make(installed: Installed, store: Store) -> Tuple[Round, List[Check]]:
    """Make one round; what it saw and did, and its rows."""
    begun, now, settings, attempts = time.monotonic(), time.time(), installed.settings, Attempts()
    before, damage = states.load(place(store, STATE))
    known = before or State()
    at, step = stamp(now), _step(known, now, settings.every)
    quiet, checks, recovered = _look(installed, store, known, now, attempts)
    run = attempts.make("the journals", partial(_ended, store), known.run)
    checks, standstills = _moved(settings, known if run == known.run else None, checks, step)
    restarts: Restarts = known.restarts
    actions: List[str] = []
    if not quiet:

        def remember(made: Restarts) -> bool:
            return not states.save(place(store, STATE), dataclasses.replace(known, at=at, restarts=made))

        checks, restarts, actions = restart_what_is_down(installed, store, restarts, checks, now, attempts, remember)
    checks = [_covered(settings, check) for check in (*checks, *attempts.rows())]
    did = [one_line(settings.covered(text), LONGEST) for text in (*recovered, *actions)]
    remarks = [*filter(None, [damage]), *did]
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
    told = noted(settings, known, after, store, checks, message, did)
    found = _tell(installed, store, found, told, attempts.failed, begun)
    return found, [*checks, *told.unremembered]


def tell_failure(installed: Installed, store: Store, error: Exception) -> None:
    """What a round that failed as a whole still does: it tells that, as any other alarm, and leaves it to be seen."""
    settings, now = installed.settings, time.time()
    known = states.load(place(store, STATE))[0] or State()
    at, attempts = stamp(now), Attempts()
    attempts.note("all of it", error)
    quiet, _ = attempts.make("the lock", partial(silence.silence, store, now), NO_SILENCE)
    checks = [_covered(settings, check) for check in attempts.rows()]
    known_of_it = {name: one for name, one in known.alarms.items() if name == FAILED}
    alarms, news = policy.judge(known_of_it, checks, at, _step(known, now, settings.every), settings.repeat, {FAILED})
    message = compose(settings.server, at, news, []) if news and not quiet else None
    alarms = known.alarms if quiet else {**known.alarms, **alarms}
    after = dataclasses.replace(known, at=at, level=CRITICAL, silent=quiet, rounds=known.rounds + 1, alarms=alarms)
    told = noted(settings, known, after, store, checks, message, [])
    found = Round(at, levels={check.name: check.level for check in checks}, silent=quiet)
    _tell(installed, store, found, told, attempts.failed, time.monotonic())


def _look(
    installed: Installed, store: Store, known: State, now: float, attempts: Attempts
) -> Tuple[str, List[Check], List[str]]:
    """Why this round is silent, empty when it is not; its rows; and what became of runs that were cut off."""
    quiet, unending = attempts.make("the lock", partial(silence.silence, store, now), NO_SILENCE)
    beside, recovered = [unending] if unending else [], []
    if not quiet:
        try:
            recovered = repair.recover(installed, store)
        except Refusal as refusal:
            beside.append(repair.row(refusal))
        except Exception as error:
            attempts.note("runs that were cut off", error)
    checks = ask_all(suite.questions(installed.settings.questions, store, known.full))
    if not quiet:  # whoever began meanwhile may be what was seen
        quiet, _ = attempts.make("the lock", partial(silence.silence, store, time.time()), NO_SILENCE)
    return quiet, [*checks, *beside], recovered


def _ended(store: Store) -> str:
    """The newest run, if it has ended."""
    last = journals.last(store)
    return last.id if last and last.state == "ended" else ""


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
        name = suite.offset_name(settings.questions, consumer.service)
        before = known.standstills.get(consumer.service) if known else None
        by_name[name], found = standstill.judge(by_name[name], before, step, settings.stale_after)
        if found:
            after[consumer.service] = found
    return [by_name[check.name] for check in checks], after


def _news(
    settings: Settings, known: State, checks: Sequence[Check], remarks: Sequence[str], at: str, step: float
) -> Tuple[policy.Alarms, Optional[Message]]:
    asked = settings.questions
    offsets = [suite.offset_name(asked, one.service) for one in asked.consumers]
    at_once = {suite.DISK, FAILED, *offsets}
    levels = {check.name: check.level for check in checks}
    frozen = {
        name
        for name, one in zip(offsets, asked.consumers)
        if one.stream and levels[suite.broker_name(asked, (one.stream.host, one.stream.port))] != OK
    }
    if levels[suite.GPUS] not in (OK, SKIPPED):  # what is on them may not be told
        frozen |= {one.service for one in asked.batches}
    alarms, news = policy.judge(known.alarms, checks, at, step, settings.repeat, at_once, frozen)
    if not settings.channels.names:  # what nobody was told is news to whoever is named one day
        return {name: dataclasses.replace(one, told="") for name, one in alarms.items()}, None
    return alarms, compose(settings.server, at, news, remarks) if news or remarks else None


def _full(known: State, checks: Sequence[Check]) -> Dict[str, str]:
    """Which file systems alarm; as before where df was not heard in time."""
    figures = next((check.figures for check in checks if check.name == suite.DISK), {})
    if not figures:
        return known.full
    return {path: room["level"] for path, room in figures.items() if room["level"] != OK}


def _covered(settings: Settings, check: Check) -> Check:
    return dataclasses.replace(check, sentence=settings.covered(check.sentence), hint=settings.covered(check.hint))


@dataclass(frozen=True)
class ToTell:
    """What a round is to tell. `unremembered`: a row where the state cannot be written, else nothing."""

    after: State  # what waits for a channel and is not handed over this time is in it
    message: Optional[Message]  # what is new
    now: Tuple[Pending, ...]  # what is handed over
    unremembered: Tuple[Check, ...] = ()


def noted(
    settings: Settings,
    known: State,
    after: State,
    store: Store,
    checks: Sequence[Check],
    message: Optional[Message],
    did: Sequence[str],
) -> ToTell:
    """Write the state, what is to be sent included: an alert may come twice when the power fails, and is not forgotten.

    Where it cannot be written, all that is critical is told at once, and then once an hour, and what was done with it
    when it is. What was judged counts for nothing then: the next round that is remembered judges from the last one.
    """
    waiting = _waiting(settings, after, message)
    why = states.save(place(store, STATE), dataclasses.replace(after, pending=waiting))
    if not why:
        kept, given = (waiting, ()) if after.silent else ((), waiting)
        return ToTell(dataclasses.replace(after, pending=kept), message, given)
    check = Check("notes of the check", CRITICAL, f"cannot be written, so that nothing is remembered: {why}", hint=DISK)
    first, due = _by_the_clock(known, settings.every)
    after = dataclasses.replace(after, alarms=known.alarms)
    if after.silent:
        return ToTell(after, None, (), (check,))
    critical = [one for one in (check, *checks) if one.level == CRITICAL] if due else []
    news = [policy.News(policy.NEW, one, after.at) for one in critical]
    message = compose(settings.server, after.at, news, did) if news or did else None
    # What waits is tried once, and then when a channel's answer can be remembered again: it would come every round.
    tried, kept = (after.pending, ()) if first else ((), after.pending)
    given = _waiting(settings, dataclasses.replace(after, pending=tried), message)
    return ToTell(dataclasses.replace(after, pending=kept), message, given, (check,))


def _by_the_clock(known: State, every: int) -> Tuple[bool, bool]:
    """Whether a round is the first of which nothing is remembered, and whether such a round is to tell anything.

    That is so in the first one since the last state or the server's boot, and in one of each hour from then on.
    """
    up = time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        ago = time.time() - moment(known.at) if known.at else up
    except ValueError:
        ago = up
    since = min(ago, up) if ago >= 0 else up  # one that lies ahead is of a clock that was set
    first = since < 1.5 * every
    return first, first or (since - every / 2) % HOUR < every


def _waiting(settings: Settings, after: State, message: Optional[Message]) -> Tuple[Pending, ...]:
    """What each channel is to be told: what it has not taken yet and is still worth it, and what is new."""
    waiting: List[Pending] = []
    for name in settings.channels.names:
        new = [Pending(name, message, UNTRIED, after.at, 0)] if message else []
        old = [one for one in after.pending if one.channel == name]
        waiting += kept([*old, *new], settings.server, moment(after.at))
    return tuple(waiting)


def _tell(installed: Installed, store: Store, found: Round, told: ToTell, failed: Sequence[str], begun: float) -> Round:
    """Send, and write down what became of it. `failed`: what of the round did; the heartbeat says that, too."""
    settings, path, whole = installed.settings, place(store, STATE), not (failed or told.unremembered)
    left, sent = delivery.deliver(settings, told.now, not whole)
    after = dataclasses.replace(told.after, pending=(*told.after.pending, *left))
    titles = (told.message.title,) if told.message else ()
    found = dataclasses.replace(found, seconds=round(time.monotonic() - begun, 3), alerts=titles)
    troubles = {"history": history.append(place(store, HISTORY), found, settings.keep, settings.every)}
    heartbeat = [check for check in sent if check.name == delivery.HEARTBEAT and check.level != OK]
    troubles["heartbeat"] = f"the heartbeat's address {heartbeat[0].sentence}" if heartbeat and whole else ""
    holding = {delivery.HEARTBEAT, *(one.channel for one in left)}
    for check in sent:
        lost = check.level == CRITICAL and check.name not in holding
        troubles[f"alerts of {check.name}"] = f"{check.name}: {check.sentence}; it was dropped" if lost else ""
    if settings.textfile:
        troubles["textfile"] = metrics.write(settings.textfile, settings.server, found, after)
    troubles[states.ROUND] = settings.covered(row("; ".join(failed)).sentence) if failed else ""
    there = {what: why for what, why in troubles.items() if why}
    states.save(path, dataclasses.replace(after, troubles=there))
    return found
