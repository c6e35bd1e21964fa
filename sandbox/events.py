"""What the server's engine remembers."""

from __future__ import annotations

import json
import time
from typing import Any

from sandbox.machine import run_inside
from sandbox.place import Sandbox


def docker_events(sandbox: Sandbox, since: float) -> list[dict[str, Any]]:
    """The engine's own events of containers since a time (seconds since 1970), oldest first."""
    window = ["--since", f"{since:.6f}", "--until", f"{time.time():.6f}"]
    answer = run_inside(sandbox, ["docker", "events", *window, "--filter", "type=container", "--format", "{{json .}}"])
    return [json.loads(line) for line in answer.stdout.splitlines()]
