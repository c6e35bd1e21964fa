"""What all unit tests do without: they wait for no disk, and leave no way of hearing Ctrl-C behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.scene import Scene, deployed


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """No test outlasts a power cut. A descriptor that is not open is still an error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(autouse=True)
def unheard() -> Iterator[None]:
    """A command that was called here does not decide for the next test what Ctrl-C does."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """An inventory, and its server after two deploys."""
    return deployed(tmp_path, "r2", "r1")


@pytest.fixture
def no_descriptor_stays_open() -> Iterator[None]:
    """Whoever opens something closes it, whatever comes between."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
