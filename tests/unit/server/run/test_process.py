"""The process that carries out a plan, where it comes to no end of its own."""

from __future__ import annotations

import dataclasses
import gc
from pathlib import Path

import pytest

from gpu_runbook.protocol.journal import Swapping, Unfinished, told
from gpu_runbook.protocol.requests import Secrets
from gpu_runbook.server.run import process
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.state import journal
from gpu_runbook.server.state.store import Store
from tests.unit.world import OLD, SWAP, World, site

LATER = "20260420-101113-abcd"


def test_a_defect_in_the_middle_of_a_run_is_no_end(store: Store, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has seen how the server is: whoever comes next leads it back."""
    plan = dataclasses.replace(site(store, world).plan, id=LATER, release=LATER)

    def fails(here: Site) -> None:
        here.journal.write(Swapping(SWAP))
        world.living.discard(OLD)
        raise KeyError(plan.who * 3)

    process._live(plan, Secrets(), store, world, fails, lambda said: None)
    gc.collect()
    lines = journal.read(store.journal(LATER))
    (unfinished,) = told(lines[-1:], Unfinished)
    assert unfinished.why.startswith("a defect ended the run: KeyError in ")
    assert "annannann" not in Path(store.journal(LATER)).read_text()
