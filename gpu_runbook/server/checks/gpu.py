"""Do the GPUs answer, all of them, and without complaint? Asked of `nvidia-smi`, which may hang for ever."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from gpu_runbook.common import command, humanize
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.foreign_text import named, one_line
from gpu_runbook.protocol.health import Expected
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.checks.hung_nvidia_smi import SECONDS, stuck

LIMIT = 1 << 16  # characters of an answer that is read
SAID = 200  # characters of what it says is wrong
VALUE = 80  # characters of one value in it
BASIC = (
    "index",
    "uuid",
    "name",
    "driver_version",
    "memory.used",
    "memory.total",
    "utilization.gpu",
    "temperature.gpu",
)
MEMORY_ERRORS = "ecc.errors.uncorrected.volatile.total"
# The field, the answers that mean trouble (None: all but 0), the level, and what it means. Not every driver knows them.
FAULTS = (
    (MEMORY_ERRORS, None, WARNING, "has uncorrectable memory errors"),
    ("retired_pages.pending", ("Yes",), WARNING, "waits for a reset to retire memory pages"),
    ("remapped_rows.pending", ("Yes", "1"), WARNING, "waits for a reset to remap memory rows"),
    ("remapped_rows.failure", ("Yes", "1"), CRITICAL, "could not remap broken memory rows: replace it"),
    ("clocks_event_reasons.hw_thermal_slowdown", ("Active",), WARNING, "is slowed down by heat"),
    ("clocks_event_reasons.hw_power_brake_slowdown", ("Active",), WARNING, "is slowed down by the power supply"),
)
_ABSENT = ("N/A", "[N/A]", "[Not Supported]", "Not Supported")
_UNKNOWN_FIELD = 2  # nvidia-smi's exit status for a field it does not know
_NOT_INSTALLED = 127
_HINTS = {
    "version mismatch": "an update replaced the driver under the loaded one: reboot once no training runs",
    "is lost": "reboot once no training runs; if it happens again, the card or its power is at fault",
    "fallen off the bus": "reboot once no training runs; if it happens again, the card or its power is at fault",
    "communicate with the nvidia driver": "the driver is not loaded, as after a kernel update without its module",
    "no devices were found": "the driver runs but sees no usable GPU: see journalctl -k | grep NVRM",
    "inforom is corrupted": "the card's own settings are damaged: ask for a replacement",
}
_HINT = "see journalctl -k | grep NVRM on the server"

Run = Callable[[Sequence[str], float], command.Ended]


@dataclass(frozen=True)
class Card:
    """One line of nvidia-smi's answer, by field; None for what the card does not have."""

    fields: Dict[str, Optional[str]]

    @property
    def name(self) -> str:
        return f"GPU {named(self.fields['index'] or '')}"


def check(name: str, expected: Expected, run: Run = command.run, processes: str = "/proc") -> Check:
    """Asks for everything at once, and for the basics alone where the driver does not know all fields."""
    hung = stuck(processes)
    if hung is not None:
        sentence = f"the driver does not answer: nvidia-smi (process {hung}) has been stuck since an earlier check"
        return Check(name, CRITICAL, sentence, {"stuck": hung}, "reboot once no training runs: it cannot be killed")
    fields = [*BASIC, *(field for field, _, _, _ in FAULTS)]
    ended = run(_query(fields), SECONDS)
    if ended.status == _UNKNOWN_FIELD:
        fields = list(BASIC)
        ended = run(_query(fields), SECONDS)
    return judge(name, expected, fields, ended)


def judge(name: str, expected: Expected, fields: Sequence[str], ended: command.Ended) -> Check:
    if ended.status is None:
        return Check(name, CRITICAL, f"the driver does not answer: nvidia-smi hung for {SECONDS:.0f} s", hint=_HINT)
    if ended.status == _NOT_INSTALLED:
        return Check(name, CRITICAL, "nvidia-smi is not installed", {"status": ended.status}, "install the driver")
    if ended.status != 0:
        text, hint = _complaint(ended)
        return Check(name, CRITICAL, f"nvidia-smi: {text} (status {ended.status})", {"status": ended.status}, hint)
    cards = _cards(fields, ended.out)
    if cards is None:
        return Check(name, UNKNOWN, "nvidia-smi gave an answer that cannot be read", hint="run it by hand")
    gpus = [_figures(card) for card in cards]
    figures = {"expected": expected.count, "gpus": gpus}
    findings = [finding for card in cards for finding in [*_faults(card), *_heat(card, expected)]]
    if len(cards) < expected.count:
        findings.insert(0, (CRITICAL, f"{len(cards)} of {expected.count} GPUs answer"))
    if findings:
        level = CRITICAL if CRITICAL in dict(findings) else WARNING
        return Check(name, level, "; ".join(sentence for _, sentence in findings), figures, _HINT)
    return Check(name, OK, _summary(gpus), figures)


def _query(fields: Sequence[str]) -> List[str]:
    return ["nvidia-smi", "--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits"]


def _cards(fields: Sequence[str], text: str) -> Optional[List[Card]]:
    """One card per line, None when a line is not what was asked for."""
    if "no devices were found" in text.lower():
        return []
    if len(text) > LIMIT:
        return None
    rows = [[one_line(value, VALUE) for value in line.split(",")] for line in text.splitlines() if line.strip()]
    if any(len(row) != len(fields) for row in rows):
        return None
    return [Card({f: None if v in _ABSENT else v for f, v in zip(fields, row)}) for row in rows]


def _faults(card: Card) -> List[Tuple[str, str]]:
    found = []
    broken = [f for f, value in card.fields.items() if value is not None and value.startswith(("[", "ERR!"))]
    if broken:
        found.append((CRITICAL, f"{card.name} does not tell its {broken[0]}: {card.fields[broken[0]]}"))
    for field, troubles, level, what in FAULTS:
        value = card.fields.get(field)
        if value is None or field in broken:
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


def _number(card: Card, field: str) -> Optional[int]:
    value = card.fields.get(field) or ""
    return int(value) if re.fullmatch(r"[0-9]{1,15}", value) else None


def _summary(figures: Sequence[Dict[str, Any]]) -> str:
    used = sum(one["memory_used"] or 0 for one in figures)
    total = sum(one["memory_total"] or 0 for one in figures)
    hottest = max(one["temperature_celsius"] or 0 for one in figures)
    busiest = max(one["utilisation_percent"] or 0 for one in figures)
    memory = f"memory {humanize.size(used)} of {humanize.size(total)}"
    count = humanize.several(len(figures), "GPU")
    driver = named(figures[0]["driver"] or "")
    return f"{count}, driver {driver}, {memory}, busy up to {busiest} %, hottest {hottest} °C"


def _complaint(ended: command.Ended) -> Tuple[str, str]:
    """What nvidia-smi says is wrong, and what to do about it; its last line where the text is not known."""
    for line in (ended.out + "\n" + ended.err).splitlines():
        for known, hint in _HINTS.items():
            if known in line.lower():
                return one_line(line, SAID), hint
    return one_line(ended.complaint, SAID), _HINT
