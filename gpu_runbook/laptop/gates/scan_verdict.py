"""What a scanner's report means: its findings less those that somebody accepts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timezone
from typing import Any

from gpu_runbook.common.humanize import span
from gpu_runbook.laptop.gates.accepted_findings import Allowance
from gpu_runbook.laptop.gates.parsing import few
from gpu_runbook.laptop.gates.scan_reports import OTHER, SEVERITIES, Finding, Report
from gpu_runbook.protocol.check import CRITICAL, OK, WARNING, Check
from gpu_runbook.protocol.foreign_text import named, quoted

GRAVE = SEVERITIES[:2]
LESSER = {severity: severity.lower() for severity in SEVERITIES[2:]} | {OTHER: "of unknown severity"}


def judge(name: str, report: Report, allowances: Sequence[Allowance], now: datetime) -> Check:
    """The verdict over a report that is of the right image, recent, and of a kind that looked at packages."""
    today = now.astimezone(timezone.utc).date()
    in_force = [one for one in allowances if one.expires >= today]
    left = [one for one in report.findings if not any(allowance.covers(one) for allowance in in_force)]
    counts = {severity: sum(one.severity == severity for one in left) for severity in (*SEVERITIES, OTHER)}
    accepted = len(report.findings) - len(left)
    figures: dict[str, Any] = {severity.lower(): count for severity, count in counts.items()}
    figures |= {"accepted": accepted, "left_out": report.left_out, "scanner": report.scanner}
    if report.made:
        figures["age"] = int((now - report.made).total_seconds())
    grave = sorted((one for one in left if one.severity in GRAVE), key=lambda one: (GRAVE.index(one.severity), one.id))
    said = [
        *_ended(report),
        _grave(grave, counts) if grave else "no critical and no high findings",
        *(f"{counts[severity]} {LESSER[severity]}" for severity in LESSER if counts[severity]),
        *([f"{accepted} accepted"] if accepted else []),
        *_notes(report, allowances, today),
        report.scanner + (f", {span((now - report.made).total_seconds())} ago" if report.made else ""),
    ]
    level, hint = OK, ""
    if grave or report.end_of_life:
        level, hint = CRITICAL, "build the image anew with what has a fix; accept a finding in the list of scan.allow"
    elif counts[OTHER] or report.left_out:
        level, hint = WARNING, "look at those by hand; a list of scan.allow says until when they are accepted"
    return Check(name, level, "; ".join(said), figures, hint)


def _ended(report: Report) -> Iterator[str]:
    if report.end_of_life:
        yield f"{quoted(report.system) if report.system else 'its system'} gets no security updates any more"


def _grave(grave: Sequence[Finding], counts: dict[str, int]) -> str:
    """`1 critical and 2 high: CVE-2026-1 in openssl (fixed in 3.0.9), …`, five of them by name."""
    heads = " and ".join(f"{counts[severity]} {severity.lower()}" for severity in GRAVE if counts[severity])
    return f"{heads}: {few([_told(one) for one in grave], width=120)}"


def _told(finding: Finding) -> str:
    fixed = f"fixed in {_versions(finding.fixed)}" if finding.fixed else "no fix yet"
    found = f"{named(finding.id)} in {named(finding.package)} {_versions(finding.version)}".rstrip()
    return f"{found} ({fixed})"


def _versions(text: str) -> str:
    """One, or several with commas between them."""
    return ", ".join(map(named, text.split(", ")))


def _notes(report: Report, allowances: Sequence[Allowance], today: date) -> Iterator[str]:
    late = [f"{one.id} ({one.expires})" for one in allowances if one.expires < today]
    if late:
        yield f"accepted no longer: {few(late)}"
    if report.left_out:
        yield f"{report.left_out} critical or high left out by the scanner's own rules"
