"""The sandbox: a GPU server of real parts on this very machine."""

from __future__ import annotations

from typing import Any

from . import shared


@shared.task(
    help={
        "rtt": "round trip to the server in milliseconds, put in front of its ssh port (default 0)",
        "port-base": "the number that the sandbox's ports start from (default 24000)",
        "base": "the Debian that it runs: trixie, sid, bullseye, or a folder with one (default this machine's own)",
    }
)
@shared.guarded
def up(context: Any, rtt: int = 0, port_base: int = 0, base: str | None = None) -> None:
    """Bring up a GPU server of real parts on this machine, or what is missing of it."""
    from dataclasses import replace

    import sandbox
    from sandbox.bases import resolved
    from sandbox.place import DEFAULT_DIRECTORY
    from sandbox.say import with_time

    say = with_time()
    place = sandbox.found(DEFAULT_DIRECTORY)
    if port_base:
        place = replace(place, port_base=port_base)
    if base is not None:
        place = replace(place, base=resolved(base, say))
    sandbox.up(place, say, rtt)
    print(*sandbox.describe(sandbox.status(place)), sep="\n")


@shared.task
@shared.guarded
def down(context: Any) -> None:
    """Take the sandbox down, with everything it started and wrote."""
    import sandbox
    from sandbox.place import DEFAULT_DIRECTORY
    from sandbox.say import with_time

    sandbox.down(sandbox.found(DEFAULT_DIRECTORY), with_time())


@shared.task
@shared.guarded
def status(context: Any) -> None:
    """Say which parts of the sandbox run, where, and what to type next."""
    import sandbox
    from sandbox.place import DEFAULT_DIRECTORY

    print(*sandbox.describe(sandbox.status(sandbox.found(DEFAULT_DIRECTORY))), sep="\n")
