"""A server that says that it is at work, and nothing else: whatever is asked of it comes to an end."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator

import pytest

from gpu_runbook.laptop.deploy import run
from gpu_runbook.laptop.deploy.journal_text import News
from gpu_runbook.laptop.errors import CannotConnect, LostContact
from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.journal import Begin
from gpu_runbook.protocol.requests import Secrets
from tests.hostile.forms import RUN
from tests.hostile.kept import LINES, PLAN
from tests.hostile.properties import Ground
from tests.hostile.server import PLACE, SAID
from tests.wire.sshd import sshd_program

BEATS = "while :; do printf '\\036{\"beat\": 1}\\n'; sleep 0.01; done"


@pytest.fixture(scope="module")
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    if sshd_program() is None:
        request.getfixturevalue("sandbox")  # installs what this machine lacks
    with Ground() as opened:
        opened.speaks(b"")
        (opened.folder / "python").write_text(f"#!/bin/sh\ncat {opened.folder}/said\n{BEATS}\n")
        yield opened


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of the laptop's by which a day passes at once; what the kernel waits for takes as long as ever."""

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() * 1e6

    monkeypatch.setattr(call, "time", Clock)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("asked", SAID)
def test_nothing_waits_for_ever_for_a_server_that_beats(ground: Ground, asked: str) -> None:
    shown = io.StringIO()
    try:
        SAID[asked][0](ground.speaks(b""), ground.scene, Screen(out=shown))
        assert asked == "health"  # to whoever watches, a server that gives no answer is one
        said = shown.getvalue()
    except (CannotConnect, LostContact) as error:
        assert error.hint
        said = error.message
    assert re.search(r"gpu-1: (no answer came within|nothing new came for) \d", said)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("said", [b"", b'\x1e{"event": {"event": "journal", "line": {"event": "watching"}}}\n'])
def test_a_run_that_does_not_end_is_left_to_itself(ground: Ground, said: bytes) -> None:
    with pytest.raises(LostContact, match=rf"within 43 min; the server does not bring run {RUN} to its end") as raised:
        run.execute(ground.speaks(said), PLAN, Secrets(), lambda line: None)
    assert f"fab follow --run {RUN}" in raised.value.hint
    assert run.longest(PLAN) / 60 == pytest.approx(43, abs=0.5)


@pytest.mark.usefixtures("hurried")
def test_a_run_that_is_followed_has_the_time_of_its_plan(ground: Ground) -> None:
    said = b"\x1e" + json.dumps({"event": {"event": "journal", "line": LINES[0]}}).encode() + b"\n"
    told: list[News] = []
    with pytest.raises(LostContact, match=f"the server does not bring run {RUN} to its end") as raised:
        run.follow(ground.speaks(said), PLACE, RUN, told.append)
    assert [type(event) for event in told] == [Begin]  # nobody tries to come back to it
    assert f"fab follow --run {RUN}" in raised.value.hint
