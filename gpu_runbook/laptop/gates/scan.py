"""Is an image free of known critical and high holes? Read out of a scanner's report, or what a command prints."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gpu_runbook.common import command
from gpu_runbook.common.humanize import span
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.gates import accepted_findings, scan_reports, scan_verdict
from gpu_runbook.laptop.gates.accepted_findings import Allowance
from gpu_runbook.laptop.gates.parsing import Misshapen, Unjudged, few
from gpu_runbook.laptop.gates.scan_reports import Report
from gpu_runbook.laptop.inputs.secret import masked
from gpu_runbook.laptop.inventory.address import Target
from gpu_runbook.laptop.inventory.gate_entries import Scan
from gpu_runbook.laptop.inventory.problems import printable
from gpu_runbook.protocol.check import CRITICAL, UNKNOWN, Check
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.values import dataclass

LIMIT = 64 << 20  # bytes of a report
FINE = {"Trivy": (0, 1), "Grype": (0, 2)}  # exit statuses of a scanner that did its work
AHEAD = 300  # seconds by which clocks may differ

_BY_HAND = "correct scan.command, or run it by hand"


@dataclass(frozen=True)
class Printed:
    """What a scanner wrote, what to call it in a sentence, how to make another, and the exit status of a command."""

    name: str
    again: str
    raw: bytes
    status: int | None = None


def check(name: str, scan: Scan, target: Target, now: datetime, hidden: Sequence[str] = ()) -> Check:
    """One row. `now` knows its time zone. A command may take `scan.timeout` seconds.

    `hidden` are spellings of secrets, to be covered in what a command complains of.

    Nothing is raised: what cannot be asked, or answers nothing of use, is a row as well.
    """
    try:
        printed = _from_command(scan, target, hidden) if scan.command else _from_file(scan, target)
        report = _read(printed)
        why_not = _of_another(report, printed, target) or _too_old(report, printed, scan, now)
        if why_not:
            return Check(name, CRITICAL, why_not, {"scanner": report.scanner}, printed.again)
        return scan_verdict.judge(name, report, _allowances(scan), now)
    except Unjudged as error:
        return Check(name, UNKNOWN, str(error), {"awaits": error.awaits} if error.awaits else {}, error.hint)
    except BadInput as error:
        return Check(name, UNKNOWN, error.message, hint=error.hint)


def _from_file(scan: Scan, target: Target) -> Printed:
    path = Path(target.fill("scan.report", str(scan.report)))
    file = printable(str(path), 200)
    again = shlex.join(["trivy", "image", "--format", "json", "--output", str(path), target.reference])
    other = shlex.join(["grype", "-o", "json", "--file", str(path), target.reference])
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise Unjudged(f"{file} is no file", "correct scan.report")
        with path.open("rb") as opened:
            return Printed(path.name, f"make it anew: {again}", opened.read(LIMIT + 1))
    except FileNotFoundError:
        hint = f"make it: {again}, or: {other}"
        raise Unjudged(f"there is no report {file}", hint) from None
    except OSError as error:
        raise Unjudged(f"{file} cannot be read: {error.strerror}", "check scan.report and its permissions") from None


def _from_command(scan: Scan, target: Target, hidden: Sequence[str]) -> Printed:
    argv = [target.fill("scan.command", word, image=target.reference) for word in scan.command]
    program = printable(argv[0])
    ended = command.run(argv, scan.timeout, limit=LIMIT + 1)
    if ended.status is None:
        raise Unjudged(f"{program} did not come to an end within {scan.timeout} s", "raise scan.timeout")
    raw = ended.out.encode()
    if ended.status not in {status for statuses in FINE.values() for status in statuses} or not raw.strip():
        said = one_line(masked(ended.complaint, hidden), 200)
        raise Unjudged(f"{program} printed no report and ended with status {ended.status}: {said}", _BY_HAND)
    return Printed(f"what {program} prints", "see which image scan.command scans", raw, ended.status)


def _read(printed: Printed) -> Report:
    """Strictly: a report that may lack something could look clean."""
    if len(printed.raw) > LIMIT:
        raise Unjudged(f"{printed.name} is larger than {LIMIT >> 20} MiB", "check that this is a report")
    try:
        report = scan_reports.read(printed.raw)
    except Misshapen as error:
        hint = "a report is written by trivy image --format json, or by grype -o json"
        raise Unjudged(f"{printed.name} cannot be used: {error}", hint) from None
    if printed.status is not None and printed.status not in FINE[report.scanner]:
        raise Unjudged(f"{printed.name} may lack something: it ended with status {printed.status}", _BY_HAND)
    if report.saw_packages is False:
        hint = f"{printed.again} (with vuln among its --scanners)"
        raise Unjudged(f"{printed.name} looked at no packages, so that it can have found nothing", hint)
    return report


def _of_another(report: Report, printed: Printed, target: Target) -> str:
    """What to say when the report is not of this image; empty when it is. Raises Unjudged when that cannot be told."""
    if target.digest in report.digests or (target.image_id and target.image_id == report.image_id):
        return ""
    if target.layers and target.layers == report.layers:  # whatever each calls it
        return ""
    theirs = few(list(dict.fromkeys(digest[:19] for digest in (*report.digests, report.image_id) if digest)), most=3)
    if not theirs:
        raise Unjudged(f"{printed.name} does not say which image it is of", f"scan the image itself; {printed.again}")
    ours = target.digest[:19] + (f" (id {target.image_id[:19]})" if target.image_id else "")
    if report.image_id and not target.image_id:
        sentence = f"{printed.name} is of {theirs}; whether that is {ours} shows once the image is on the server"
        raise Unjudged(sentence, f"or scan it by its digest; {printed.again}", awaits="image")
    if target.image_id == target.digest and not (target.layers and report.layers):
        # containerd's image store has no id of an image's config, which is what scanners tell
        sentence = f"{printed.name} is of {theirs}; whether that is {ours} cannot be told by this server's ids"
        raise Unjudged(sentence, f"scan it by its digest; {printed.again}")
    return f"{printed.name} is of another image: of {theirs}, and not of {ours}"


def _too_old(report: Report, printed: Printed, scan: Scan, now: datetime) -> str:
    """What to say when the report is too old; empty when it is recent. What a command prints need not say when."""
    if report.made is None:
        if scan.command:
            return ""
        raise Unjudged(f"{printed.name} does not say when it was made", f"take a newer scanner; {printed.again}")
    age = (now - report.made).total_seconds()
    if age < -AHEAD:
        raise Unjudged(f"{printed.name} was made {span(-age)} from now", "set the clocks right")
    return f"{printed.name} is {span(age)} old, and {span(scan.max_age)} are allowed" if age > scan.max_age else ""


def _allowances(scan: Scan) -> tuple[Allowance, ...]:
    try:
        return accepted_findings.read(scan.allow) if scan.allow else ()
    except BadInput as error:
        raise Unjudged(f"scan.allow: {error.message}", error.hint) from None
