from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.deploy.laptop import new_laptop
from tests.faults.story import Stage, leave, make_ready


@pytest.fixture(scope="module")
def stage(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for all tests of a module, on which a release is in force: each has to leave it whole for the next."""
    stage = Stage(new_laptop(Path(tmp_path_factory.mktemp("laptop")), sandbox))
    make_ready(stage)
    yield stage
    leave(stage)
