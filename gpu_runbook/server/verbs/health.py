"""The verb `health`: asks this server its questions and answers with a check for each."""

from __future__ import annotations

import socket
import time
from typing import Any, Callable, Dict, List

from gpu_runbook.common.clock import stamp
from gpu_runbook.common.parallel import Question, ask_all
from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.health import Request
from gpu_runbook.server.checks.suite import SCHEDULE, questions
from gpu_runbook.server.state.store import Store, find_store


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`checks` in a fixed order. Changes nothing on the server."""
    asked = decode(Request, request, "request")
    store = find_store(asked.root, asked.state, emit)
    checks = ask_all([*questions(asked, store), *_scheduled(asked, store)])
    return {
        "host": socket.gethostname(),
        "at": stamp(time.time()),
        "checks": [encode(check) for check in checks],
    }


def _scheduled(asked: Request, store: Store) -> List[Question]:
    key = asked.schedule
    if key is None:
        return []

    def ask(name: str) -> Check:
        from gpu_runbook.server.schedule import health_row  # compiled while nvidia-smi is at work

        return health_row.check(name, store, key or "", time.time())

    return [Question(SCHEDULE, ask)]
