"""A place where the server's half writes down what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import Store, find_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The state of a server on which nothing has been done; the data's root is `tmp_path`."""
    store = find_store(str(tmp_path), f"{tmp_path}/state")
    make(store)
    return store
