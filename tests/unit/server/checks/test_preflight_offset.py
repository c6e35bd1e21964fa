"""The row of a consumer's offset before a deploy: what the file says, against what the stream holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, WARNING, Check
from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.checks import preflight
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.queue import stream
from gpu_runbook.server.queue.stream import Bounds, StreamError
from gpu_runbook.server.state.store import Store

ADDRESS = StreamAddress("rabbit.lan", 5552, "annotations", "monitor")


def row(folder: Path, address: StreamAddress | None = ADDRESS) -> Check:
    file = folder / "offset.yaml"
    file.write_text("offset: 100\n")
    entry = Wanted("queue", "consumer", offset=OffsetFile(str(file)), stream=address, password="s3cret")
    guarded.prepare(str(folder), "")
    return preflight.offset("queue offset", entry, Engine("unix:///nowhere"), Store(str(folder), str(folder)), [])


@pytest.mark.parametrize(
    ("bounds", "level", "words"),
    [
        (Bounds(0, 150), OK, "says 100 is next"),
        (Bounds(0, 99), OK, "says 100 is next"),
        (Bounds(0, 12), CRITICAL, "beyond the end of the stream (it ends at 12)"),
        (Bounds(None, None), CRITICAL, "beyond the end of the stream (it is empty)"),
        (Bounds(500, 900), CRITICAL, "before the beginning of the stream (500): up to 400 messages lost"),
        (StreamError("refused", "rabbit.lan:5552 refused the connection"), WARNING, "could not be asked: rabbit.lan"),
        (StreamError("not-a-stream-port", "", b"AMQP\0\0\x09\1"), WARNING, ":5552 is RabbitMQ's AMQP port"),
    ],
)
def test_it_is_compared_with_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounds: Bounds | StreamError, level: str, words: str
) -> None:
    def asked(address: StreamAddress, password: str, seconds: float) -> Bounds:
        assert (address, password) == (ADDRESS, "s3cret")
        if isinstance(bounds, StreamError):
            raise bounds
        return bounds

    monkeypatch.setattr(stream, "bounds", asked)
    found = row(tmp_path)
    assert (found.level, words in found.sentence) == (level, True), found
    assert found.figures["offset"] == 100


@pytest.mark.parametrize("address", [None, dataclasses.replace(ADDRESS, user="")])
def test_nobody_is_asked_where_nobody_may_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: StreamAddress | None
) -> None:
    monkeypatch.delattr(stream, "bounds")
    assert row(tmp_path, address).level == OK
