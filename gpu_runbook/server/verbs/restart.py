"""Verb: restarts or stops one consumer in its place, in a process of its own, and follows it."""

from __future__ import annotations

from typing import Any, Callable, Dict

from gpu_runbook.server.run import process, restart


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """As `process.run`, with a plan of one consumer whose change is restart or stop."""
    return process.run(request, emit, restart.execute)
