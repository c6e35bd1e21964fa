"""What all unit tests do without: they wait for no disk, and nothing that was collected is looked through again."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.scene import Scene, deployed


def pytest_collection_finish() -> None:
    """Thousands of tests are held from here on to the end: the collector of garbage need not go through them.

    Nor need it come as often as for a program that runs for ever.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """No test outlasts a power cut. A descriptor that is not open is still an error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


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
