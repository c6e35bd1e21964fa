"""fab restart, fab stop."""

from __future__ import annotations

from functools import partial
from typing import Any

from . import shared
from .deploy import execute

WHICH = "a consumer of hosts.yaml"


@shared.task(
    positional=["service"], help={"service": WHICH, "hosts": shared.HOSTS, "json": shared.JSON, "debug": shared.DEBUG}
)
@shared.guarded
def restart(context: Any, service: str, hosts: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Stop a consumer with its grace, start the same container again, and watch it."""
    _operate(context, service, hosts, json, "restart", "")


@shared.task(
    positional=["service"],
    help={
        "service": WHICH,
        "reason": "why, for whoever looks at fab status",
        "hosts": shared.HOSTS,
        "json": shared.JSON,
        "debug": shared.DEBUG,
    },
)
@shared.guarded
def stop(
    context: Any,
    service: str,
    reason: str | None = None,
    hosts: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Stop a consumer until somebody restarts or deploys it; that it is meant is remembered."""
    from .invocation import given

    _operate(context, service, hosts, json, "stop", given("--reason", reason) or "")


def _operate(context: Any, service: str, hosts: str | None, json: bool, change: str, reason: str) -> None:
    from gpu_runbook.laptop.deploy import restart as operating

    from .invocation import Invocation, order

    invocation = Invocation(context, hosts, service, json)
    operating.consumer(invocation.services, change)
    execute(invocation, order({}), partial(operating.operate, change=change, reason=reason), False, json)
