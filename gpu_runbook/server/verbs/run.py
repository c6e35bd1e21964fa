"""Verb: carries out the plan of a deploy or a rollback in a process of its own, and follows it."""

from __future__ import annotations

from typing import Any, Callable, Dict

from gpu_runbook.server.run import process, rollout


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """As `process.run`."""
    return process.run(request, emit, rollout.execute)
