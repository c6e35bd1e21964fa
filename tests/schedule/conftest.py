from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.deploy.laptop import Laptop, new_laptop
from tests.deploy.standing import wait_for_offset, watched
from tests.real import published
from tests.schedule.receivers import HttpReceiver
from tests.schedule.watchman import Watchman


@pytest.fixture
def laptop(server: Sandbox, tmp_path: Path) -> Laptop:
    """A laptop in front of a server on which nothing was ever deployed."""
    return new_laptop(tmp_path, server)


@pytest.fixture
def watchman(laptop: Laptop) -> Iterator[Watchman]:
    """A bare server that can be looked after."""
    with HttpReceiver() as hook:
        found = Watchman(laptop, hook)
        found.stop_cron()
        yield found


@pytest.fixture
def deployed(watchman: Watchman) -> Watchman:
    """The same with a consumer that has handled a hundred messages, and the check."""
    watched(watchman.laptop, settle=0, window=3)
    published(watchman.sandbox, 100)
    watchman.laptop.deployed("--tag", "1.0")
    wait_for_offset(watchman.sandbox, 100)
    watchman.install()
    return watchman
