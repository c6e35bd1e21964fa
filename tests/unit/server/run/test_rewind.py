"""From where messages are read again: what the stream holds, and what it is going to hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.queue import stream
from gpu_runbook.server.queue.stream import Bounds
from gpu_runbook.server.run import rewind
from tests.hostile.forms import RUN
from tests.unit.world import HELD, STEP


@pytest.fixture
def step(tmp_path: Path) -> Any:
    """Of a consumer whose offset stands at 100."""
    file = tmp_path / "offset.yaml"
    file.write_text("offset: 100\n")
    address = StreamAddress("rabbit.lan", 5552, "annotations", user="monitor")
    return dataclasses.replace(STEP, offset=OffsetFile(str(file), "offset", "next"), stream=address)


def staged(step: Any, begin: int, bounds: Bounds, monkeypatch: pytest.MonkeyPatch) -> int:
    """The offset that is made ready."""
    monkeypatch.setattr(stream, "bounds", lambda *given: bounds)
    made = rewind.stage(dataclasses.replace(step, old=dataclasses.replace(HELD, took_over=begin)), "password", RUN)
    assert step.offset.path not in made
    return int(yaml.safe_load((Path(step.offset.path).parent / Path(made).name).read_text())["offset"])


@pytest.mark.parametrize(
    ("begin", "bounds"),
    [
        pytest.param(40, Bounds(0, 99), id="what was handled is held"),
        pytest.param(0, Bounds(0, 99), id="from the first on"),
        pytest.param(99, Bounds(40, 99), id="the last alone"),
        pytest.param(100, Bounds(0, 99), id="nothing was handled, and nothing waits"),
        pytest.param(100, Bounds(0, 140), id="nothing was handled, and messages wait"),
        pytest.param(0, Bounds(None, None), id="there never was a message"),
    ],
)
def test_what_the_stream_holds_or_will_hold_is_read_again(
    step: Any, begin: int, bounds: Bounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bounds.last is None:
        Path(step.offset.path).write_text("offset: 0\n")
    assert staged(step, begin, bounds, monkeypatch) == begin


@pytest.mark.parametrize(
    ("begin", "bounds", "now"),
    [
        pytest.param(39, Bounds(40, 99), "it holds 40 to 99", id="it went out of the stream"),
        pytest.param(90, Bounds(0, 89), "it holds 0 to 89", id="it is another stream"),
        pytest.param(7, Bounds(None, None), "it is empty", id="it was emptied"),
    ],
)
def test_what_it_does_not_hold_any_more_is_said_and_nothing_is_made_ready(
    step: Any, begin: int, bounds: Bounds, now: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refusal, match=rf"no longer holds the messages from offset {begin} on \({now}\)"):
        staged(step, begin, bounds, monkeypatch)
    assert [one.name for one in Path(step.offset.path).parent.iterdir()] == ["offset.yaml"]


def test_a_stream_that_cannot_be_asked_holds_nobody_knows_what(step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*given: Any) -> Bounds:
        raise stream.StreamError("refused", "rabbit.lan:5552 refuses connections")

    monkeypatch.setattr(stream, "bounds", away)
    with pytest.raises(Refusal, match=r"could not be asked: rabbit.lan:5552 refuses connections"):
        rewind.stage(dataclasses.replace(step, old=dataclasses.replace(HELD, took_over=4)), "password", RUN)


def test_from_where_is_unknown_of_a_release_that_took_over_nobody_knows_where(step: Any) -> None:
    with pytest.raises(Refusal, match="it is not known from where queue would have to read again"):
        rewind.stage(dataclasses.replace(step, old=HELD), "password", RUN)
