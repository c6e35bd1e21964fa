"""fab report."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.ssh.session import Session
    from gpu_runbook.protocol.health import Request

    from .invocation import Invocation

YEAR = 365 * 86400  # seconds


@shared.task(
    name="report",
    help={
        "since": "how far back: 24h, 7d, 30d; 7d without it",
        "out": "the file; report.html without it",
        "hosts": shared.HOSTS,
        "debug": shared.DEBUG,
    },
)
@shared.guarded
def make(
    context: Any, since: str | None = None, out: str | None = None, hosts: str | None = None, debug: bool = False
) -> int:
    """Write one HTML file to look at: status, timeline of every check, plots, deploys, restarts, alerts."""
    from pathlib import Path

    from gpu_runbook.laptop.errors import CannotConnect
    from gpu_runbook.laptop.report import collect

    from .invocation import Invocation, given, seconds

    back, path = seconds("--since", given("--since", since) or "7d", YEAR), Path(given("--out", out) or "report.html")
    collect.writable(path)
    invocation = Invocation(context, hosts, None, False, purpose="ask")
    reports = []
    for session in invocation.sessions():
        with invocation.screen.working(f"{session.host.name}: asking what it saw", short=True):
            host, questions = invocation.host(session), partial(_questions, invocation, session)
            reports.append(collect.of_server(session, host.place, questions, back))
    collect.write(path, reports)
    invocation.screen.say(f"{path.resolve()} ({path.stat().st_size / 1000:.0f} KB): {_what(reports)}", copyable=True)
    return CannotConnect.exit_code if all(report.error for report in reports) else 0


def _questions(invocation: Invocation, session: Session) -> Request:
    """What a server is asked; its variables may stand on itself."""
    from gpu_runbook.laptop.rpc.requests import request_for

    resolved = invocation.resolved(session)
    return request_for(invocation.inventory, resolved.host, invocation.services, resolved)


def _what(reports: Any) -> str:
    """What the page is about."""
    from gpu_runbook.common import humanize

    rounds = sum(len(report.rounds) for report in reports)
    lost = [report.server for report in reports if report.error]
    beside = f"; no answer from {', '.join(lost)}" if lost else ""
    return f"{humanize.several(len(reports), 'server')}, {humanize.several(rounds, 'round')}{beside}"
