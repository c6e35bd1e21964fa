"""Verb: sends one test alert through every channel, and calls the heartbeat, from this server."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict

from remote.codec import decode
from remote.scheduled import deliver
from remote.scheduled.message import compose
from remote.scheduled.settings import Settings
from remote.scheduled.state import Pending
from remote.words import encode

TEXT = "This is a test: whoever reads it will be told when something is wrong with this server. Nothing is wrong now."


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: settings, who. The answer: rows, a Check for each channel and the heartbeat, and at."""
    settings = decode(Settings, request["settings"], "settings")
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    message = compose(settings.server, at, [], [f"a test alert, sent by {request['who']}", TEXT], test=True)
    _, rows = deliver.deliver(settings, [Pending(name, message, "", at, 0) for name in settings.channels.names])
    return {"rows": [encode(row) for row in rows], "at": at}
