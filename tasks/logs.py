"""fab logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import optional, shared

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.past import LogsAnswer
    from gpu_runbook.laptop.commands.logs import LogView, LogWish, Show
    from gpu_runbook.laptop.ssh.session import Session

    from .invocation import Invocation

NEWEST = 100  # lines that are shown when nobody says how many
YEAR = 365 * 86400  # seconds

optional.may_be_left_out("logs", "service")


@shared.task(
    name="logs",
    positional=["service"],
    help={
        "service": "a service of hosts.yaml, or several with commas; all without it",
        "follow": "go on, through restarts and deploys, until Ctrl-C",
        "tail": f"so many of the newest lines of each; {NEWEST} without it, or all with --since",
        "since": "only what came in the last 90s, 10m, 2h or 1d",
        "grep": "of these, only lines with this text, as it stands: it is no pattern",
        "timestamps": "each line with its time, UTC",
        "hosts": shared.HOSTS,
        "json": "an object for each line; one per line of stdout when following",
        "debug": shared.DEBUG,
    },
)
@shared.guarded
def show(
    context: Any,
    service: str | None = None,
    follow: bool = False,
    tail: str | None = None,
    since: str | None = None,
    grep: str | None = None,
    timestamps: bool = False,
    hosts: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """What the services log, to docker and to files; training runs too. Their lines are on stdout, ours on stderr."""
    from gpu_runbook.laptop.commands import logs

    from .invocation import Invocation, given, seconds, whole_number

    newest, back = given("--tail", tail), given("--since", since)
    lines = whole_number("--tail", newest) if newest else 0 if back else NEWEST
    sought = given("--grep", grep) or ""
    invocation = Invocation(context, hosts, optional.word(service), machine=True, purpose="ask")
    wish = logs.LogWish(invocation.services, lines, seconds("--since", back, YEAR) if back else 0, follow)
    view = logs.LogView(sought, timestamps, tuple(invocation.inventory.services))
    _until_closed(invocation, wish, view, json)


def _until_closed(invocation: Invocation, wish: LogWish, view: LogView, json: bool) -> None:
    """Show the logs; whoever has read enough of them, and closes the pipe or presses Ctrl-C, ends that quietly."""
    import os
    import sys

    from gpu_runbook.laptop.errors import Cancelled
    from gpu_runbook.laptop.terminal import interrupts

    try:
        _show(invocation, wish, view, json)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # what Python has not written yet would be refused at its end
            os.dup2(nowhere, stream.fileno())
    except (KeyboardInterrupt, Cancelled):  # before the server was asked, and afterwards
        if not wish.follow:
            raise
        interrupts.heard = False


def _show(invocation: Invocation, wish: LogWish, view: LogView, json: bool) -> None:
    from gpu_runbook.laptop.commands import logs
    from gpu_runbook.laptop.errors import BadInput

    from .invocation import print_json

    if wish.follow and len(invocation.hosts) > 1:
        raise BadInput(
            "--follow follows one server",
            f"say which with --hosts: {invocation.servers}",
        )

    def ask(session: Session) -> LogsAnswer:
        shown = _shower(invocation, session.host.name, wish, view, json)
        resolved = invocation.resolved(session)
        logs.of_server(
            session, invocation.inventory, resolved, wish, logs.Hearer(session.host.name, resolved.hidden_here, shown)
        )
        if view.grep:
            shown.say(logs.counted(shown, wish))
        return {
            "server": session.host.name,
            "lines": getattr(shown, "found", []),
            "unread": getattr(shown, "untold", []),
        }

    results = invocation.ask_each(ask)
    if json and not wish.follow:
        print_json({"servers": results})


def _shower(invocation: Invocation, server: str, wish: LogWish, view: LogView, json: bool) -> Show:
    from gpu_runbook.laptop.commands import logs

    def say(text: str) -> None:
        invocation.screen.say(f"{server}: {text}", "dim")

    return (logs.ShowJson if json else logs.Show)(say, wish.services, wish.follow, view=view)
