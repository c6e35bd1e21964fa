"""A pull gets on, or is given up: lines that bring nothing are no progress."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from typing import Any

import pytest

from gpu_runbook.server.docker import pull as pulling
from gpu_runbook.server.docker.engine import Engine, EngineError
from tests.hostile.forms import ONE

IMAGE = f"registry.lan:5000/azaion/queue@sha256:{ONE}"


def line(layer: str, status: str, current: int | None = None) -> dict[str, Any]:
    return {
        "id": layer,
        "status": status,
        "progressDetail": {} if current is None else {"current": current, "total": 9},
    }


class Answer:
    """What the engine says of a pull, a line every so many seconds of a clock that somebody else looks at."""

    status = 200

    def __init__(self, said: list[dict[str, Any]], apart: float) -> None:
        self.now, self._apart, self._said = 0.0, apart, iter(said)

    def line(self, limit: int) -> bytes:
        self.now += self._apart
        return b"".join(json.dumps(one).encode() for one in [next(self._said, None)] if one)

    def monotonic(self) -> float:
        return self.now

    def close(self) -> None:
        pass


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> Any:
    def pull(said: list[dict[str, Any]], apart: float = 400.0) -> list[dict[str, Any]]:
        answer = Answer(said, apart)
        monkeypatch.setattr(Engine, "send", lambda *asked, **more: answer)
        monkeypatch.setattr(pulling, "time", answer)
        with closing(_lines()) as lines:
            return list(lines)

    return pull


def _lines() -> Generator[dict[str, Any]]:
    yield from pulling.pull(Engine("unix:///nowhere"), IMAGE)


def test_a_slow_pull_that_gets_on_is_waited_for(pulled: Any) -> None:
    said = [line("a", "Pulling fs layer"), *(line("a", "Downloading", at) for at in range(1, 9))]
    said += [line("a", "Verifying Checksum"), line("a", "Download complete"), line("a", "Extracting", 9)]
    assert pulled(said) == said


@pytest.mark.parametrize(
    "said",
    [
        [line("a", "Downloading", 5)] * 4,
        [line("a", "Downloading", at) for at in (5, 4, 5, 3)],  # begun anew, and cut off again
        [line("a", "Downloading", 5), *(line("a", f"Retrying in {left} seconds") for left in (3, 2, 1))],
        [line("a", "Waiting")] * 4,
    ],
)
def test_one_that_does_not_is_given_up(pulled: Any, said: list[dict[str, Any]]) -> None:
    with pytest.raises(EngineError, match=r"^nothing more of it has come for 600 s$"):
        pulled(said)
    assert pulled(said, apart=150.0) == said
