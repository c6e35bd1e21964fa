"""A server that is this machine, and whose verbs answer in this process."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.ssh.session import Facts
from gpu_runbook.protocol.errors import Refusal


def answering(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verbs that are asked from now on, each of which is answered as it would be there."""
    verbs: list[str] = []

    def answer(session: Any, verb: str, request: dict[str, Any], *given: Any) -> dict[str, Any]:
        verbs.append(verb)
        module = importlib.import_module(f"gpu_runbook.server.verbs.{verb}")
        try:
            return dict(module.answer(request, lambda event: None))
        except Refusal as said:
            content = {"kind": said.kind, "message": said.message, "hint": said.hint}
            raise call._error(session.host.name, content) from None

    monkeypatch.setattr(call, "_ask", answer)
    return verbs


def session() -> Any:
    """One with gpu-1."""
    return SimpleNamespace(host=SimpleNamespace(name="gpu-1"), facts=Facts(), notices={}, hidden=())
