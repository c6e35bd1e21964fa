"""fab env.diff, fab env.push, fab env.import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import EnvAnswer, EnvImportAnswer, EnvPushAnswer
    from gpu_runbook.laptop.commands.env import EnvWish
    from gpu_runbook.laptop.inputs.resolve import Resolved
    from gpu_runbook.laptop.ssh.session import Session


@shared.task(help={"service": shared.SERVICE, "hosts": shared.HOSTS, "json": shared.JSON, "debug": shared.DEBUG})
@shared.guarded
def diff(
    context: Any, service: str | None = None, hosts: str | None = None, json: bool = False, debug: bool = False
) -> None:
    """How the env files on the servers differ from .env: names, never values."""
    from gpu_runbook.laptop.commands import env

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, service, json, purpose="preflight")

    def ask(session: Session) -> EnvAnswer:
        resolved = invocation.resolved(session)
        entries = env.wanted(invocation.inventory, resolved, invocation.services)
        found = env.compared(session, resolved.host, entries)
        for text, style in env.lines(session.host.name, found, entries):
            invocation.screen.say(text, style)
        return env.as_result(session.host.name, found)

    results = invocation.ask_each(ask)
    if json:
        print_json({"servers": results})


@shared.task(
    help={
        "service": shared.SERVICE,
        "hosts": shared.HOSTS,
        "dry-run": "say what would change, and end",
        "json": shared.JSON,
        "debug": shared.DEBUG,
    }
)
@shared.guarded
def push(
    context: Any,
    service: str | None = None,
    hosts: str | None = None,
    dry_run: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Write the env files on the servers as .env has them; what runs reads them when it is restarted."""
    from gpu_runbook.laptop.commands import env

    from .invocation import Invocation, print_json

    invocation = Invocation(context, hosts, service, json, purpose="preflight")
    wishes: dict[str, EnvWish] = {}

    def compose(known: Sequence[Resolved]) -> None:
        for resolved in known:
            entries = env.wanted(invocation.inventory, resolved, invocation.services)
            wishes[resolved.host.name] = env.wish(resolved, entries, invocation.services, dry_run)
        composed = [entry for resolved in known for entry in wishes[resolved.host.name].entries]
        for warning in env.disagreements(composed):
            invocation.screen.say(f"warning: {warning}", "yellow")

    invocation.require(compose)

    def change(session: Session) -> EnvPushAnswer:
        host = invocation.resolved(session).host
        return env.pushed(session, invocation.inventory, host, wishes[host.name], invocation.screen)

    results = invocation.change_each(change)
    if json:
        print_json({"servers": results})


@shared.task(
    name="import",
    help={
        "from_": "the file on the server; without it the one that hosts.yaml names, env: {server: …}",
        "out": "the file here; without it the one that hosts.yaml names, or .env beside it",
        "yes": "write it although values of the file here are lost by that; the file itself is kept beside it",
        "hosts": "the server; its name may be left out where hosts.yaml has one",
        "dry-run": "say in names what would change, and end",
        "json": shared.JSON,
        "debug": shared.DEBUG,
    },
)
@shared.guarded
def bring(
    context: Any,
    from_: str | None = None,
    out: str | None = None,
    yes: bool = False,
    hosts: str | None = None,
    dry_run: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Bring a server's own file of variables here, as .env: names are told, values never, and the old file is kept."""
    from gpu_runbook.laptop.commands import env_import

    from .invocation import Invocation, given, print_json

    source, target = given("--from", from_), given("--out", out)
    invocation = Invocation(context, hosts, None, json, purpose=None)
    wish = env_import.wish(invocation.inventory, invocation.hosts, source, target, yes, dry_run)

    def change(session: Session) -> EnvImportAnswer:
        return env_import.brought(session, wish, invocation.screen)

    results = invocation.change_each(change)
    if json:
        print_json({"servers": results})
