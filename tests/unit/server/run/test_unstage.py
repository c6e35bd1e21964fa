"""What a run has staged and not used is removed, though no engine says what became of its container."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_runbook.protocol.journal import Staging
from gpu_runbook.server.docker.commands import StepFailed
from gpu_runbook.server.docker.engine import EngineError
from gpu_runbook.server.run import unstage
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.world import STEP, World, site


def test_what_was_staged_goes_although_no_engine_says_what_became_of_the_container(
    store: Store, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold passwords."""
    here = site(store, world, STEP, "deploy")
    staged = [tmp_path / "staged", tmp_path / "again", Path(here.folder("queue"), "config.yaml")]
    staged[-1].parent.mkdir(parents=True)
    for path in staged:
        path.write_text("password: secret")
    here.journal.write(Staging("queue", "queue.new", str(staged[0]), str(staged[1])))

    def gone(self: World, container: str, seconds: float = 1) -> None:
        raise EngineError(0, "connection refused")

    monkeypatch.setattr(World, "container", gone)
    with pytest.raises(StepFailed, match="connection refused"):
        unstage.unstage_all(store, here.docker, RUN)
    assert not any(path.exists() for path in staged)
