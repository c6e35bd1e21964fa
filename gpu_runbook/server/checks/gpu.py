"""Do the GPUs answer, all of them, and without complaint? Asked of `nvidia-smi`, which may hang for ever."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from gpu_runbook.common import command, humanize
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.foreign_text import named, quoted
from gpu_runbook.protocol.health import Expected
from gpu_runbook.protocol.values import dataclass, field
from gpu_runbook.server.checks import nvidia_smi
from gpu_runbook.server.checks.hung_nvidia_smi import Asking, Stopped, stuck
from gpu_runbook.server.checks.nvidia_smi import HINT, IDENTITY, MIG

MEMORY_ERRORS = "ecc.errors.uncorrected.volatile.total"
BASIC = (*IDENTITY, "memory.used", "memory.total", "utilization.gpu", "temperature.gpu")
# The field, the answers that mean trouble (None: all but 0), the level, and what it means.
FAULTS = (
    (MEMORY_ERRORS, None, WARNING, "has uncorrectable memory errors"),
    ("retired_pages.pending", ("Yes",), WARNING, "waits for a reset to retire memory pages"),
    ("remapped_rows.pending", ("Yes", "1"), WARNING, "waits for a reset to remap memory rows"),
    ("remapped_rows.failure", ("Yes", "1"), CRITICAL, "could not remap broken memory rows: replace it"),
    ("clocks_throttle_reasons.hw_thermal_slowdown", ("Active",), WARNING, "is slowed down by heat"),
    ("clocks_throttle_reasons.hw_power_brake_slowdown", ("Active",), WARNING, "is slowed down by the power supply"),
)
CUT = "MIG"
# What is asked beside the identity, by what it is about: a driver that does not know one is asked for the others.
FAMILIES = {
    "memory": BASIC[4:6],
    "use": BASIC[6:7],
    "temperature": BASIC[7:],
    "memory errors": (MEMORY_ERRORS,),
    "retired pages": ("retired_pages.pending",),
    "remapped rows": ("remapped_rows.pending", "remapped_rows.failure"),
    "slowdowns": (FAULTS[4][0], FAULTS[5][0]),
    CUT: (MIG,),
}
COOL = "see that its fans turn and the air they draw is cool; hosts.yaml says from which temperature on"
OLDER, NEWER = "clocks_throttle_reasons.", "clocks_event_reasons."  # drivers from 535 on know it by both names
ROWS = "remapped rows"  # which 535 and older drivers tell in a query of its own


@dataclass(frozen=True)
class Card:
    """One line of nvidia-smi's answer, by field; None for what the card does not have or tell."""

    fields: Dict[str, Optional[str]]
    withheld: Tuple[str, ...] = ()  # fields that this user is not told

    @property
    def name(self) -> str:
        return f"GPU {named(self.fields['index'] or '')}"


@dataclass(frozen=True)
class Asked:
    """How the driver answered. `more`: by uuid, fields that it told in a query of their own."""

    ended: command.Ended
    fields: Tuple[str, ...]
    more: Dict[str, Dict[str, str]] = field(default_factory=dict)
    untold: Tuple[str, ...] = ()  # families that it does not know, or was not asked for in time


def check(name: str, expected: Expected, ask: Asking, processes: str = "/proc") -> Check:
    """Asks for everything at once, and without what the driver does not know where it refuses that."""
    hung = stuck(processes)
    if hung is not None:
        return nvidia_smi.is_stuck(name, hung)
    try:
        asked = _asked(ask)
        parts = _parts(ask, asked)
    except Stopped:
        if ask.hangs is None:
            return nvidia_smi.is_slow(name)
        asked, parts = Asked(ask.hangs, ()), []
    return judge(name, expected, asked.fields, asked.ended, asked.more, asked.untold, parts)


def _asked(ask: Asking) -> Asked:
    """One query, and one more for each family that is refused; or each by itself, where it does not say which."""
    left = dict(FAMILIES)
    untold: List[str] = []
    while True:
        fields = (*IDENTITY, *(one for family in left.values() for one in family))
        ended = ask(nvidia_smi.query(fields))
        if ended.status != nvidia_smi.REFUSED or not left:
            return _with_rows(ask, Asked(ended, fields, untold=tuple(untold)))
        bad = nvidia_smi.refused(ended, fields)
        family = next((name for name, fields in left.items() if bad in fields), None)
        if family is None:
            return _one_by_one(ask, left, untold)
        newer = _newer(left[family])
        if newer != left[family]:
            left[family] = newer
        else:
            del left[family]
            untold.append(family)


def _newer(fields: Tuple[str, ...]) -> Tuple[str, ...]:
    return tuple(one.replace(OLDER, NEWER) for one in fields)


def _one_by_one(ask: Asking, families: Dict[str, Tuple[str, ...]], untold: List[str]) -> Asked:
    """The identity, and each family in a query of its own."""
    base = ask(nvidia_smi.query(IDENTITY))
    more: Dict[str, Dict[str, str]] = {}
    for name, fields in families.items() if base.ok else ():
        spelt = dict.fromkeys((fields, _newer(fields)))
        if not any(_told(ask, "gpu", ("uuid", *one), fields, more) for one in spelt):
            untold.append(name)
    return _with_rows(ask, Asked(base, IDENTITY, more, tuple(untold)))


def _parts(ask: Asking, asked: Asked) -> List[str]:
    """What the GPUs are cut into by MIG, as parts of a sentence."""
    found = nvidia_smi.rows(asked.fields, asked.ended.out) if asked.ended.ok else None
    cut = nvidia_smi.in_mig_mode([_whole(one, asked.more) for one in found.cards]) if found else []
    return nvidia_smi.told(ask(["nvidia-smi", "-L"]), cut) if cut else []


def _whole(card: Dict[str, str], more: Dict[str, Dict[str, str]]) -> Dict[str, str]:
    return {**card, **more.get(card["uuid"], {})}


def _with_rows(ask: Asking, asked: Asked) -> Asked:
    """Together with the remapped rows, where they are told in a query of their own."""
    if ROWS not in asked.untold or not asked.ended.ok:
        return asked
    more = {uuid: dict(values) for uuid, values in asked.more.items()}
    fields = FAMILIES[ROWS]
    if not _told(ask, "remapped-rows", ("gpu_uuid", *fields), fields, more):
        return asked
    return Asked(asked.ended, asked.fields, more, tuple(one for one in asked.untold if one != ROWS))


def _told(ask: Asking, what: str, fields: Sequence[str], names: Sequence[str], more: Dict[str, Dict[str, str]]) -> bool:
    """Whether it answers a query that begins with the uuid; what it answers is put into `more` under these names."""
    ended = ask(nvidia_smi.query(fields, what))
    found = nvidia_smi.rows(fields, ended.out) if ended.ok else None
    for card in found.cards if found else ():
        values = [card[one] for one in fields]
        more.setdefault(values[0], {}).update(zip(names, values[1:]))
    return bool(found and found.cards)


def judge(
    name: str,
    expected: Expected,
    fields: Sequence[str],
    ended: command.Ended,
    more: Optional[Dict[str, Dict[str, str]]] = None,
    untold: Sequence[str] = (),
    parts: Sequence[str] = (),
) -> Check:
    """`parts`: what the GPUs are cut into, as parts of a sentence."""
    trouble = nvidia_smi.failed(name, ended)
    if trouble:
        return trouble
    found = nvidia_smi.rows(fields, ended.out)
    if found is None:
        return Check(name, UNKNOWN, "nvidia-smi gave an answer that cannot be read", hint="run it by hand")
    cards = [_card(_whole(one, more or {})) for one in found.cards]
    gpus = [_figures(card) for card in cards]
    figures = {"expected": expected.count, "gpus": gpus}
    hot = [finding for card in cards for finding in _heat(card, expected)]
    findings = [finding for card in cards for finding in _faults(card)] + hot
    known = nvidia_smi.known_trouble(found.beside) if cards else None
    if known:
        findings.insert(0, (CRITICAL, f"nvidia-smi says {quoted(known[0])}"))
    if len(cards) < expected.count:
        findings.insert(0, (CRITICAL, f"{len(cards)} of {expected.count} GPUs answer"))
    if findings:
        level = CRITICAL if CRITICAL in dict(findings) else WARNING
        said = [sentence for _, sentence in findings]
        known = known or nvidia_smi.known_trouble(said)
        hint = known[1] if known else COOL if findings == hot else HINT
    else:
        level, said, hint = OK, [_summary(gpus), *parts], ""
    said += _gaps(cards, untold)
    said += [f"nvidia-smi also says {quoted(one)}" for one in found.beside if cards and not known]
    return Check(name, level, "; ".join(said), figures, hint)


def _card(values: Dict[str, str]) -> Card:
    fields = {name.replace(NEWER, OLDER): None if nvidia_smi.is_absent(one) else one for name, one in values.items()}
    return Card(fields, tuple(name for name, one in values.items() if nvidia_smi.is_withheld(one)))


def _faults(card: Card) -> List[Tuple[str, str]]:
    found = []
    broken = [f for f, value in card.fields.items() if value is not None and nvidia_smi.is_broken(value)]
    if broken:
        found.append((CRITICAL, f"{card.name} does not tell its {broken[0]}: {card.fields[broken[0]]}"))
    for name, troubles, level, what in FAULTS:
        value = card.fields.get(name)
        if value is None or name in broken:
            continue
        if value in troubles if troubles else value != "0":
            found.append((level, f"{card.name} {what}"))
    return found


def _heat(card: Card, expected: Expected) -> List[Tuple[str, str]]:
    degrees = _number(card, "temperature.gpu")
    for level, limit in ((CRITICAL, expected.critical), (WARNING, expected.warning)):
        if degrees is not None and limit is not None and degrees >= limit:
            return [(level, f"{card.name} is at {degrees} °C")]
    return []


def _gaps(cards: Sequence[Card], untold: Sequence[str]) -> List[str]:
    """What could not be seen, so that nobody takes it for well."""
    said = []
    untold = [one for one in untold if one != CUT]
    if untold and cards:
        driver = named(cards[0].fields["driver_version"] or "")
        said.append(f"driver {driver} tells nothing of {' and '.join(untold)}")
    withheld: Dict[Tuple[str, ...], List[str]] = {}
    for card in cards:
        withheld.setdefault(card.withheld, []).append(card.fields["index"] or "?")
    for names, those in withheld.items():
        said += [f"this user is not told {' and '.join(names)} of GPU {', '.join(those)}"] if names else []
    return said


def _figures(card: Card) -> Dict[str, Any]:
    used, total = _number(card, "memory.used"), _number(card, "memory.total")
    return {
        "index": _number(card, "index"),
        "uuid": card.fields["uuid"],
        "name": card.fields["name"],
        "driver": card.fields["driver_version"],
        "memory_used": None if used is None else used << 20,
        "memory_total": None if total is None else total << 20,
        "utilisation_percent": _number(card, "utilization.gpu"),
        "temperature_celsius": _number(card, "temperature.gpu"),
        "uncorrected_errors": _number(card, MEMORY_ERRORS),
    }


def _number(card: Card, name: str) -> Optional[int]:
    value = card.fields.get(name) or ""
    return int(value) if re.fullmatch(r"[0-9]{1,15}", value) else None


def _summary(figures: Sequence[Dict[str, Any]]) -> str:
    """The figures of all that tell them."""
    if not figures:
        return "no GPU answers, and none has to"
    said = [humanize.several(len(figures), "GPU"), f"driver {named(figures[0]['driver'] or '')}"]
    memory = [one for one in figures if None not in (one["memory_used"], one["memory_total"])]
    if memory:
        used, total = (sum(one[key] for one in memory) for key in ("memory_used", "memory_total"))
        said.append(f"memory {humanize.size(used)} of {humanize.size(total)}")
    use, heat = (
        [one[key] for one in figures if one[key] is not None] for key in ("utilisation_percent", "temperature_celsius")
    )
    said += [f"busy up to {max(use)} %"] if use else []
    said += [f"hottest {max(heat)} °C"] if heat else []
    return ", ".join(said)
