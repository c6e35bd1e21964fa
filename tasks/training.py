"""fab training.command."""

from __future__ import annotations

from typing import Any

from . import shared


@shared.task(
    help={
        "service": "the batch service; the only one without it",
        "hosts": shared.HOSTS,
        "resume": "go on from the last checkpoint, whether or not one is seen",
        "fresh": "begin anew, though there is a checkpoint",
        "json": shared.JSON,
        "debug": shared.DEBUG,
    }
)
@shared.guarded
def command(
    context: Any,
    service: str | None = None,
    hosts: str | None = None,
    resume: bool = False,
    fresh: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """The command that starts the next training run, for a person to paste. It is printed, and not run."""
    from gpu_runbook.laptop.commands import training_command
    from gpu_runbook.laptop.errors import BadInput
    from gpu_runbook.laptop.terminal.screen import put

    from .invocation import Invocation, print_json

    if resume and fresh:
        raise BadInput("--resume and --fresh contradict each other", "give one of them, or neither")
    invocation = Invocation(context, hosts, service, machine=True, purpose="ask")
    batch = training_command.chosen(invocation.inventory, invocation.services)
    if len(invocation.hosts) > 1:
        raise BadInput(
            "the command is for one server",
            f"say which with --hosts: {invocation.servers}",
        )
    for session in invocation.sessions():
        host = invocation.host(session)
        found = training_command.of_server(session, invocation.inventory, host, batch)
        wanted = True if resume else False if fresh else None
        launch = training_command.launch(invocation.inventory, host, batch, found, wanted)
        for line in training_command.lines(launch):
            invocation.screen.say(line)
        print_json(training_command.as_result(launch)) if json else put(launch.line)
