"""A log as JSON: the document that json would write, without the memory that json would take."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_runbook.laptop.answers.past import LogLine
from gpu_runbook.laptop.commands.logs import ShowJson
from gpu_runbook.laptop.terminal.spool import Spool, pieces
from tests.unit.scene import QUEUE, bare

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(documents)
def test_a_document_is_written_as_json_writes_it(value: Any) -> None:
    assert "".join(pieces(value)) == json.dumps(value, indent=2, ensure_ascii=False)


@pytest.mark.parametrize("objects", [[], [{"text": "größer\n\u2028\x00"}], [1, "two", None]])
def test_what_waited_on_disk_is_a_list_of_the_document(objects: list[Any]) -> None:
    spool = Spool()
    for one in objects:
        spool.add(one)
    document = {"servers": [{"server": "gpu-1", "lines": spool}, {"server": "gpu-2"}]}
    for _ in range(2):  # as often as it is asked for
        said = "".join(pieces(document))
        assert json.loads(said) == {"servers": [{"server": "gpu-1", "lines": objects}, {"server": "gpu-2"}]}


def test_a_log_that_is_longer_than_the_memory_fits(tmp_path: Path) -> None:
    show = ShowJson(print, bare(tmp_path).only(QUEUE), False)
    line = LogLine(QUEUE, "c" * 64, "stdout", "2026-04-20T10:11:12Z", "x" * 16000, "docker")
    tracemalloc.start()
    try:
        for _ in range(1000):
            show.lines([line])
        size = sum(map(len, pieces({"lines": show.found})))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 16_000_000
    assert most < 1_000_000
