"""Asks a server how it is, and turns the answer into a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from gpu_runbook.laptop.deploy import clocks
from gpu_runbook.laptop.errors import CannotConnect, Defect, LostContact
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory import model
from gpu_runbook.laptop.inventory.model import Host, Inventory, Service
from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.ssh.session import Door
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.forms import Time, has
from gpu_runbook.protocol.health import CheckedConsumer, DiskLimits, Expected, Request

EXIT_STATUS = {OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3}  # as monitoring plugins have them
_WORST_FIRST = (CRITICAL, UNKNOWN, WARNING, OK)


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
    return next((level for level in _WORST_FIRST if level in present), OK)


def request_for(wanted: Inventory, host: Host, services: Sequence[Service], resolved: Resolved) -> Request:
    """The questions that hosts.yaml raises about one server. Holds the monitoring user's password."""
    limits = wanted.health
    return Request(
        disk=DiskLimits(limits.disk.paths or (host.root,), limits.disk.warning, limits.disk.critical),
        gpus=Expected(host.gpus, limits.gpu.warning, limits.gpu.critical),
        docker_host=host.docker_host or "",
        consumers=tuple(_consumer(one, resolved) for one in services if isinstance(one, model.Consumer)),
        root=host.root,
        state=host.place["state"],
    )


def ask_health(door: Door, request: Request, on_check: Callable[[Check], None] | None = None) -> HealthReport:
    """One exchange. `on_check` hears of each check as the server finishes it. Raises what `exchange.ask` raises."""
    server = door.host.name

    def hear(event: dict[str, Any]) -> None:
        if on_check is not None:
            on_check(_check({key: value for key, value in event.items() if key != "event"}, server))

    return read_report(server, call.ask(door, "health", encode(request), hear))


def of_server(door: Door, request: Request) -> HealthReport:
    """The same for whoever watches: a server that cannot be reached is a critical answer, and hides no other server."""
    try:
        found = ask_health(door, request)
        return replace(found, checks=(*found.checks, *clocks.rows(found.at)))
    except (CannotConnect, LostContact) as error:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
        return HealthReport(door.host.name, now, (Check("connection", CRITICAL, error.message, hint=error.hint),))


def read_report(server: str, answer: Mapping[str, Any]) -> HealthReport:
    """Raises Defect for an answer that is no report."""
    at, checks = answer.get("at"), answer.get("checks")
    if not has(Time, at) or not isinstance(checks, list):
        raise Defect(f"{server}: the health report is not what it should be")
    return HealthReport(server, str(at), tuple(_check(check, server) for check in checks))


def _check(data: Any, server: str) -> Check:
    try:
        return decode(Check, data)
    except Malformed as error:
        raise Defect(f"{server}: the health report is not what it should be ({error})") from error


def _consumer(service: model.Consumer, resolved: Resolved) -> CheckedConsumer:
    file = service.offset
    password = resolved.stream_password(service)
    return CheckedConsumer(
        service=service.name,
        container=service.name,
        offset=OffsetFile(file.file, file.key, file.means, file.saved_every) if file else None,
        stream=resolved.stream(service),
        password=password.reveal() if password else "",
    )
