"""What the rounds of some hours saw, in a few lines: levels as strips, figures as spans, and what was said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gpu_runbook.common import humanize
from gpu_runbook.laptop.schedule.client import SeenRounds
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.forms import minute
from gpu_runbook.protocol.rounds import Round, slim
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.look import RoundsAnswer

SIGNS = {CRITICAL: "█", UNKNOWN: "?", WARNING: "▄", OK: "·", SKIPPED: "-"}  # worst first
SILENT, NOTHING = "~", " "
STYLES = {CRITICAL: "bold red", UNKNOWN: "magenta", WARNING: "yellow"}
CELLS = 72  # at most, and fewer where there are fewer rounds
MOST = 20  # lines of each list
APART = 8  # cells from one mark of the clock to the next, at least
DAY = 86400  # seconds
STEPS = (300, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 7 * DAY, 30 * DAY)  # between two marks

SLACK = 60.0  # seconds by which a round may be newer than the answer that has it

Line = tuple[str, str]  # text and style


@dataclass(frozen=True)
class Spell:
    """Some rounds in a row in which a row had the same level. `until` is the last of them."""

    name: str
    level: str
    since: str
    until: str
    sentence: str


def lines(server: str, seen: SeenRounds, seconds: int, cells: int = CELLS) -> Iterator[Line]:
    """(text, style) of each line; `seconds`: how far back was asked."""
    past = tuple(one for one in seen.rounds if (moment(one.at) - moment(seen.at)).total_seconds() <= SLACK)
    ahead, seen = len(seen.rounds) - len(past), dataclasses.replace(seen, rounds=past)
    if ahead:
        count = humanize.several(ahead, "round")
        yield f"{server}: {count} ahead of its clock, which was set back since: --json has them all", "yellow"
    if not seen.rounds:
        hint = "" if seen.every else ": fab schedule.install has them made"
        yield f"{server}: no rounds in the last {humanize.span(seconds)}{hint}", "yellow"
    else:
        rounds = humanize.several(len(seen.rounds), "round")
        yield f"{server}: the last {humanize.span(seconds)}, {rounds}, until {minute(seen.at)} UTC", "bold"
        yield from _strips(seen, seconds, cells)
        yield from ((text, "") for text in _figures(seen.rounds))
        yield from _bounded([(_told(one), STYLES[one.level]) for one in spells(seen.rounds)])
        yield from _bounded([(text, "dim") for text in _said(seen.rounds)])
    if seen.damaged:
        yield f"  {humanize.several(seen.damaged, 'line')} of the history cannot be read", "yellow"


def as_result(server: str, seen: SeenRounds) -> RoundsAnswer:
    """The same for scripts: what is empty in a round is left out."""
    rounds = [slim(encode(one)) for one in seen.rounds]
    return {"server": server, "at": seen.at, "every": seen.every, "damaged": seen.damaged, "rounds": rounds}


def spells(rounds: Sequence[Round]) -> list[Spell]:
    """The times in which something was not well, in the order in which they began; rounds in silence do not count."""
    found: list[Spell] = []
    last: dict[str, int] = {}  # row -> its spell that still goes on
    for one in rounds:
        for name, level in ({} if one.silent else one.levels).items():
            going_on = last.get(name)
            if level in (OK, SKIPPED):
                last.pop(name, None)
            elif going_on is not None and found[going_on].level == level:
                before = found[going_on]
                found[going_on] = Spell(name, level, before.since, one.at, before.sentence)
            else:
                last[name] = len(found)
                found.append(Spell(name, level, one.at, one.at, one.said.get(name, "")))
    return found


def strip(seen: SeenRounds, name: str, seconds: int, cells: int) -> str:
    """One row's levels over time, the worst of each cell."""
    end = moment(seen.at)
    signs = [NOTHING] * cells
    order = [NOTHING, SIGNS[SKIPPED], SILENT, SIGNS[OK], SIGNS[WARNING], SIGNS[UNKNOWN], SIGNS[CRITICAL]]
    for one in seen.rounds:
        ago = (end - moment(one.at)).total_seconds()
        cell = min(max(cells - 1 - math.floor(ago * cells / seconds), 0), cells - 1)
        sign = SILENT if one.silent else SIGNS[one.levels[name]] if name in one.levels else NOTHING
        signs[cell] = max(signs[cell], sign, key=order.index)
    return "".join(signs)


def moment(at: str) -> datetime:
    """A time of a round, or of the server's clock."""
    return datetime.strptime(at[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)


def _strips(seen: SeenRounds, seconds: int, cells: int) -> Iterator[Line]:
    count = max(min(cells, math.ceil(seconds / max(seen.every, 60))), 1)
    names = list(dict.fromkeys(name for one in seen.rounds for name in one.levels))
    width = max(map(len, names), default=0)
    yield f"  {'':{width}}  {_axis(seen.at, seconds, count)}", "dim"
    drawn = {name: strip(seen, name, seconds, count) for name in names}
    for name, signs in drawn.items():
        worst = next((level for level, sign in SIGNS.items() if sign in signs), OK)
        yield f"  {name:{width}}  {signs}", STYLES.get(worst, "")
    shown = "".join(drawn.values())
    known = [f"{sign} {level}" for level, sign in reversed(SIGNS.items()) if sign in shown]
    known += [f"{SILENT} in silence: a run or a pause"] if SILENT in shown else []
    yield f"  {'':{width}}  {'   '.join(known)}", "dim"


def _axis(at: str, seconds: int, cells: int) -> str:
    """Full hours or days above the cells; each stands where it begins."""
    axis, end, each = [" "] * cells, moment(at).timestamp(), seconds / cells
    step = next((step for step in STEPS if step >= APART * each), STEPS[-1])
    shape = "%H:%M" if step < DAY else "%m-%d"
    begin = end - seconds
    for mark in range(math.ceil(begin / step) * step, int(end) + 1, step):
        cell, text = int((mark - begin) / each), datetime.fromtimestamp(mark, timezone.utc).strftime(shape)
        if cell + len(text) <= cells:
            axis[cell : cell + len(text)] = text
    return "".join(axis).rstrip()


def _figures(rounds: Sequence[Round]) -> Iterator[str]:
    for path in dict.fromkeys(path for one in rounds for path in one.disk):
        yield f"  {path}: {_span([one.disk[path] for one in rounds if path in one.disk], ' %')} full"
    for index in sorted({gpu.index for one in rounds for gpu in one.gpus}):
        cards = [gpu for one in rounds for gpu in one.gpus if gpu.index == index]
        busy = [gpu.use for gpu in cards if gpu.use is not None]
        heat = [gpu.temperature for gpu in cards if gpu.temperature is not None]
        memory = [gpu.memory for gpu in cards if gpu.memory is not None]
        parts = [f"busy {_span(busy, ' %')}, {sum(busy) / len(busy):.0f} % on average"] if busy else []
        parts += [f"memory up to {humanize.size(max(memory))}"] if memory else []
        parts += [f"{_span(heat, ' °C')}"] if heat else []
        yield f"  GPU {index}: {'; '.join(parts) or 'tells nothing'}"
    for service in dict.fromkeys(service for one in rounds for service in one.queues):
        yield from _queue(service, rounds)


def _queue(service: str, rounds: Sequence[Round]) -> Iterator[str]:
    queues = [one.queues[service] for one in rounds if service in one.queues]
    waiting = [queue.backlog for queue in queues if queue.backlog is not None]
    offsets = [queue.offset for queue in queues if queue.offset is not None]
    parts = [f"{_span(waiting, '')} messages waited"] if waiting else []
    parts += [f"its offset went from {offsets[0]} to {offsets[-1]}"] if offsets else []
    if parts:
        yield f"  {service}: {'; '.join(parts)}"


def _span(figures: Sequence[int], unit: str) -> str:
    low, high = min(figures), max(figures)
    return f"{low}{unit}" if low == high else f"{low}–{high}{unit}, last {figures[-1]}{unit}"


def _told(one: Spell) -> str:
    until = "" if one.until == one.since else f"–{one.until[11:16] if _same_day(one) else minute(one.until)}"
    return f"  {minute(one.since)}{until}  {one.level}: {one.name}: {one_line(one.sentence, LONGEST)}"


def _same_day(one: Spell) -> bool:
    return one.since[:10] == one.until[:10]


def _said(rounds: Sequence[Round]) -> Iterator[str]:
    """What was done and whom it was said to."""
    for one in rounds:
        yield from (f"  {minute(one.at)}  {one_line(text, LONGEST)}" for text in one.actions)
        yield from (f"  {minute(one.at)}  alert: {one_line(text, LONGEST)}" for text in one.alerts)


def _bounded(found: Sequence[Line]) -> Iterator[Line]:
    if len(found) > MOST:
        yield f"  … {len(found) - MOST} earlier ones: --json has them all", "dim"
    yield from found[-MOST:]
