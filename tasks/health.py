"""fab health."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.look import HealthAnswer, HealthOfServer, RoundsAnswer
    from gpu_runbook.laptop.commands.health import HealthReport
    from gpu_runbook.laptop.ssh.session import Session

    from .invocation import Invocation

YEAR = 365 * 86400  # seconds


@shared.task(
    name="health",
    help={
        "hosts": shared.HOSTS,
        "service": shared.SERVICE,
        "since": "instead of asking: what the scheduled check has seen in the last 90m, 24h or 7d",
        "json": shared.JSON,
        "plugin": "one line with figures, as monitoring plugins print it (Nagios, Icinga); exit status 0 to 3",
        "debug": shared.DEBUG,
    },
)
@shared.guarded
def check(
    context: Any,
    hosts: str | None = None,
    service: str | None = None,
    since: str | None = None,
    json: bool = False,
    plugin: bool = False,
    debug: bool = False,
) -> int:
    """Ask the servers how they are: containers, broker, GPUs, disks, offsets. Exit status 0, 1, 2 or 3."""
    from .invocation import Invocation, given, print_json

    back = given("--since", since)
    if plugin:
        _only(json, back)
        return _as_plugin(Invocation(context, hosts, service, machine=True, purpose="ask"))
    if back:
        return _past(context, hosts, service, back, json)
    invocation = Invocation(context, hosts, service, json, purpose="ask")
    servers: list[HealthOfServer] = []

    def ask(session: Session) -> HealthOfServer:
        from gpu_runbook.laptop.commands import health_text

        report = _report(invocation, session)
        if not json:
            health_text.show_report(report, invocation.screen)
        servers.append(health_text.as_result(report))
        return servers[-1]

    invocation.ask_each(ask)

    from gpu_runbook.laptop.commands import health

    answer: HealthAnswer = {"level": health.worst(one["level"] for one in servers), "servers": servers}
    if json:
        print_json(answer)
    return health.EXIT_STATUS[answer["level"]]


def _report(invocation: Invocation, session: Session, away: str = "critical") -> HealthReport:
    """What one server answers; `away` is the level of one that cannot be reached."""
    from gpu_runbook.laptop.commands import health
    from gpu_runbook.laptop.rpc.requests import request_for
    from gpu_runbook.laptop.schedule.settings import compared, comparison

    resolved = invocation.resolved(session)
    request = request_for(invocation.inventory, resolved.host, invocation.services, resolved)
    whole = len(invocation.services) == len(invocation.inventory.services)
    key = comparison(invocation.inventory, resolved) if whole else ""
    report = health.of_server(session, replace(request, schedule=key), away)
    rows = (compared(row, invocation.inventory, resolved, key) for row in report.checks)
    return replace(report, checks=tuple(rows))


def _only(json: bool, back: str | None) -> None:
    """Raises BadInput."""
    from gpu_runbook.laptop.errors import BadInput

    for flag, there in (("--json", json), ("--since", back)):
        if there:
            raise BadInput(
                f"--plugin is one line for a monitoring system, and {flag} is another answer", "leave one out"
            )


def _as_plugin(invocation: Invocation) -> int:
    """Whatever is wrong with a server is in the line of all, and nothing is on stderr: some take both for one."""
    import io

    from gpu_runbook.laptop.commands import health, plugin
    from gpu_runbook.laptop.errors import RunbookError
    from gpu_runbook.laptop.terminal.screen import Screen, put
    from gpu_runbook.protocol.check import UNKNOWN

    reports: list[HealthReport] = []
    said = io.StringIO()
    invocation.screen = Screen(out=said)

    def ask(session: Session) -> dict[str, object]:
        try:
            reports.append(_report(invocation, session, UNKNOWN))
        except RunbookError as error:
            if error.interrupted:
                raise
            reports.append(health.unreached(session.host.name, UNKNOWN, error))
        return {}

    invocation.ask_each(ask)
    for line in plugin.lines(reports, invocation.inventory.health, said.getvalue().splitlines()):
        put(line)
    return health.EXIT_STATUS[health.worst(report.level for report in reports)]


def _past(context: Any, hosts: str | None, service: str | None, back: str, json: bool) -> int:
    """What was seen while nobody looked. The past has no exit status of its own."""
    from gpu_runbook.laptop.errors import BadInput
    from gpu_runbook.laptop.schedule import client, timeline

    from .invocation import Invocation, print_json, seconds

    if service is not None:
        raise BadInput("--since shows every row that was asked", "leave --service out")
    length = seconds("--since", back, YEAR)
    invocation = Invocation(context, hosts, None, json, purpose="ask")

    def ask(session: Session) -> RoundsAnswer:
        seen = client.seen(session, invocation.host(session).place, length)
        for text, style in timeline.lines(session.host.name, seen, length):
            invocation.screen.say(text, style, copyable=True)
        return timeline.as_result(session.host.name, seen)

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})
    return 0
