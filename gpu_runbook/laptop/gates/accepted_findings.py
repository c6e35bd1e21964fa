"""The reviewed list of findings that somebody accepts, each for a reason and until a day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.gates.scan_reports import Finding
from gpu_runbook.laptop.inventory.problems import nearest, printable
from gpu_runbook.laptop.inventory.yaml_document import read_yaml_list
from gpu_runbook.protocol.values import dataclass

HINT = "each entry has id, expires (a day such as 2026-12-31) and reason, and package where one alone is meant"
MOST = 3  # of its mistakes that are shown

_KEYS = ("id", "expires", "reason", "package")


@dataclass(frozen=True)
class Allowance:
    """An accepted finding. It counts through the day `expires`, UTC; without `package` in every package."""

    id: str
    expires: date
    reason: str
    package: str = ""

    def covers(self, finding: Finding) -> bool:
        """Whether this finding is meant; the day is not looked at."""
        return self.id.lower() == finding.id.lower() and self.package.lower() in ("", finding.package.lower())


def read(path: Path) -> tuple[Allowance, ...]:
    """Raises BadInput with the entries that are wrong, by their lines."""
    document, items = read_yaml_list(path, HINT)
    allowances: dict[tuple[str, str], Allowance] = {}
    for index, item in enumerate(items):
        line = document.lines[(str(index),)]
        wrong = list(_wrong(item))
        if not wrong:
            one = _allowance(item)
            key = (one.id.lower(), one.package.lower())
            if key in allowances:
                wrong = [f"{printable(one.id)} stands twice"]
            allowances.setdefault(key, one)
        for sentence in wrong:
            document.complain((), sentence, line)
    problems = [text for _, text in sorted(document.problems)]
    if problems:
        more = [f"and {len(problems) - MOST} more"] if len(problems) > MOST else []
        raise BadInput("; ".join(problems[:MOST] + more), HINT)
    return tuple(allowances.values())


def _wrong(item: Any) -> Iterator[str]:
    """What is wrong with one entry."""
    if not isinstance(item, dict):
        yield "an entry with id, expires and reason is expected"
        return
    for key in item:
        if key not in _KEYS:
            yield f"{printable(key)} is not a known key{nearest(key, _KEYS)}"
    for key, says in (("id", "such as CVE-2026-1234"), ("reason", "why it is accepted"), ("package", "its name")):
        value = item.get(key)
        if (key in item or key != "package") and not (isinstance(value, str) and value.strip()):
            yield f"{key} is expected, {says}"
    if _day(item.get("expires")) is None:
        yield "expires is expected, a day such as 2026-12-31: nothing is accepted for ever"


def _allowance(item: dict[str, Any]) -> Allowance:
    day = _day(item["expires"])
    assert day is not None  # noqa: S101  what is wrong was said before
    return Allowance(item["id"].strip(), day, item["reason"].strip(), item.get("package", "").strip())


def _day(value: Any) -> date | None:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None
