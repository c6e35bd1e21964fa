from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.deploy.laptop import Laptop, new_laptop


@pytest.fixture
def laptop(server: Sandbox, tmp_path: Path) -> Laptop:
    """A laptop in front of a server on which nothing was ever deployed."""
    return new_laptop(tmp_path, server)
