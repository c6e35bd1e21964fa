"""The verb `health`: asks this server the five questions and answers with a check for each."""

from __future__ import annotations

import socket
import time
from typing import Any, Callable, Dict

from gpu_runbook.common.parallel import ask_all
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.health import Request
from gpu_runbook.server.checks.suite import questions
from gpu_runbook.server.state.store import find_store


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`checks` in a fixed order; each is an event too as soon as it is answered. Changes nothing on the server."""
    asked = decode(Request, request, "request")
    store = find_store(asked.root, asked.state, emit)
    checks = ask_all(questions(asked, store), lambda check: emit(dict(encode(check), event="check")))
    return {
        "host": socket.gethostname(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "checks": [encode(check) for check in checks],
    }
