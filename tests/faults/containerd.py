"""An engine that answers and cannot act: its containerd is away, and does not come back before it may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox import Sandbox, run_inside
from sandbox.machine import wait_until

PLACE = "/usr/local/sbin/containerd"  # in front of the real one on the engine's PATH
AWAY = "/run/containerd-is-away"
# The engine starts its containerd again by itself, within seconds.
HELD_BACK = f"""\
#!/bin/sh
while [ -e {AWAY} ]; do sleep 0.1; done
exec /usr/bin/containerd "$@"
"""
KILL = 'kill -KILL $(pgrep --parent "$(cat /run/docker.pid)" --exact containerd)'


def send_away(sandbox: Sandbox) -> None:
    run_inside(sandbox, ["tee", PLACE], input=HELD_BACK)
    run_inside(sandbox, ["sh", "-ec", f"chmod 755 {PLACE}; touch {AWAY}; {KILL}"])


def bring_back(sandbox: Sandbox) -> None:
    """Let it come back, and wait until the engine can act again; nothing is done where it was never away."""
    run_inside(sandbox, ["rm", "-f", AWAY])
    wait_until(lambda: acts(sandbox), 30, "containerd")
    run_inside(sandbox, ["rm", "-f", PLACE])


@contextmanager
def away_for(sandbox: Sandbox, seconds: float) -> Iterator[None]:
    """Away from now on, and for so long; at its end it is back."""
    send_away(sandbox)
    timer = threading.Timer(seconds, bring_back, [sandbox])
    timer.start()
    try:
        yield
    finally:
        timer.join()


def acts(sandbox: Sandbox) -> bool:
    told = run_inside(sandbox, ["docker", "info", "--format={{.ContainerdCommit.ID}}"], check=False).stdout
    return told.strip() not in ("", "N/A")
