"""Forges of these tests are on loopback: the proxy of whoever runs them is not asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gates import forge as forges
from tests.gates.forge import Forge


@pytest.fixture(scope="session", autouse=True)
def no_proxy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        yield


@pytest.fixture
def forge() -> Iterator[Forge]:
    with forges.forge() as found:
        yield found
