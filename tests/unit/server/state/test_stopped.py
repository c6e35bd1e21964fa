"""What was stopped on purpose, as the state remembers it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_runbook.protocol.pause import IntendedStop
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state import stopped as stops
from gpu_runbook.server.state.store import Store
from tests.unit.scene import QUEUE, SECOND

STOP = IntendedStop("ann", "2026-04-20T10:00:00.123Z", "the broker is moved")


def test_what_was_stopped_is_remembered_until_it_is_forgotten(store: Store) -> None:
    other = IntendedStop("bob", "2026-04-20T11:00:00.000Z")
    stops.remember(store, QUEUE, STOP)
    stops.remember(store, SECOND, other)
    assert stops.load(store) == ({QUEUE: STOP, SECOND: other}, "")
    assert Path(store.stopped).stat().st_mode & 0o777 == 0o600
    stops.forget(store, [QUEUE, "one that never was"])
    assert stops.load(store) == ({SECOND: other}, "")
    stops.forget(store, [SECOND])
    assert not Path(store.stopped).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"q": {}}', '{"q": {"who": "ann", "at": 7}}', "\xff"])
def test_damaged_notes_are_named_and_count_as_not_there(store: Store, text: str) -> None:
    Path(store.stopped).write_text(text, encoding="latin-1")
    found, problem = stops.load(store)
    assert found == {}
    assert problem.startswith(f"{store.stopped} is damaged: ")
    stops.remember(store, QUEUE, STOP)
    assert stops.load(store) == ({QUEUE: STOP}, "")


def test_a_note_that_is_a_folder_is_damaged_too(store: Store) -> None:
    Path(store.stopped).mkdir()
    assert jsonfile.load(IntendedStop, store.stopped)[1].startswith(f"{store.stopped} is damaged: ")
