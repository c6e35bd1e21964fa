"""A place where the server's half writes down what it does, and rounds that are quick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gpu_runbook.common.parallel import Question
from gpu_runbook.protocol.check import Check
from gpu_runbook.server.schedule import delivery, restart_policy
from gpu_runbook.server.schedule import round as round_
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import Store, find_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The state of a server on which nothing has been done; the data's root is `tmp_path`."""
    store = find_store(str(tmp_path), f"{tmp_path}/state")
    make(store)
    return store


@pytest.fixture
def unthreaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round asks its questions in turn: threads would take most of the time of a hundred rounds."""

    def in_turn(questions: Sequence[Question]) -> list[Check]:
        return [question.ask(question.name) for question in questions]

    for module in (round_, restart_policy, delivery):
        monkeypatch.setattr(module, "ask_all", in_turn)
