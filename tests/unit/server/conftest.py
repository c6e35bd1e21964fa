"""A place where the server's half writes down what it does, an engine that acts, a container's mount, quick rounds."""

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
from tests.unit.tricks import CANARY, NUMBER, reached
from tests.unit.world import World, placed


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


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """An old consumer that runs and a new one that does not yet, with an engine that everybody finds."""
    return placed(monkeypatch)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that a container has mounted, beside one that it has not."""
    for name in ("azaion", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "home" / "canary").write_text(
        f"offset: {NUMBER}\nmodel: /azaion/models/{NUMBER}\nA={CANARY}\n{CANARY}\n"
    )
    reached(monkeypatch, tmp_path / "azaion")
    return tmp_path / "azaion"


@pytest.fixture
def canary(root: Path) -> Path:
    """What stands outside of it, and must not get anywhere."""
    return root.parent / "home" / "canary"
