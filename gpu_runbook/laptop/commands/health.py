"""Asks a server how it is, and turns the answer into a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from gpu_runbook.laptop.deploy import clocks
from gpu_runbook.laptop.errors import CannotConnect, Defect, LostContact, RunbookError
from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.forms import Time, has
from gpu_runbook.protocol.health import Request
from gpu_runbook.protocol.values import dataclass

EXIT_STATUS = {OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3}  # as monitoring plugins have them
WORST_FIRST = (CRITICAL, UNKNOWN, WARNING, OK)


@dataclass(frozen=True)
class HealthReport:
    """What one server answered. `at` is the server's own clock, RFC 3339; the checks stand in the order asked."""

    server: str
    at: str
    checks: tuple[Check, ...]

    @property
    def level(self) -> str:
        return worst(check.level for check in self.checks)

    @property
    def exit_status(self) -> int:
        return EXIT_STATUS[self.level]


def worst(levels: Iterable[str]) -> str:
    """The level that a whole has: critical before unknown before warning. What was skipped is no trouble."""
    present = {OK if level == SKIPPED else level for level in levels}
    return next((level for level in WORST_FIRST if level in present), OK)


def ask_health(session: Session, request: Request) -> HealthReport:
    """One exchange. Raises what `call.ask` raises."""
    return read_report(session.host.name, call.ask(session, "health", request))


def of_server(session: Session, request: Request, away: str = CRITICAL) -> HealthReport:
    """The same for whoever watches: one that cannot be reached is an answer of level `away`, and hides no other."""
    try:
        found = ask_health(session, request)
        return replace(found, checks=(*found.checks, *clocks.rows(found.at)))
    except (CannotConnect, LostContact) as error:
        return unreached(session.host.name, away, error)


def unreached(server: str, level: str, error: RunbookError) -> HealthReport:
    """The report on a server that gave none."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    return HealthReport(server, now, (Check("connection", level, error.message, hint=error.hint),))


def read_report(server: str, answer: Mapping[str, Any]) -> HealthReport:
    """Raises Defect for an answer that is no report."""
    at, checks = answer.get("at"), answer.get("checks")
    if not has(Time, at) or not isinstance(checks, list):
        raise Defect(f"{server}: the health report is not what it should be")
    return HealthReport(server, str(at), tuple(_check(check, server) for check in checks))


def _check(data: Any, server: str) -> Check:
    try:
        return decode(Check, data, "check")
    except Malformed as error:
        raise Defect(f"{server}: the health report is not what it should be ({error})") from error
