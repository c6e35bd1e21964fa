"""A pause: how long, whom it holds back, what is said of it, and what damage to it costs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.commands import status
from gpu_runbook.laptop.commands.pause import seconds, told
from gpu_runbook.laptop.deploy.holds import rows
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.protocol.check import WARNING
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.pause import Pause, said
from gpu_runbook.server.state import jsonfile, pause
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.verbs import pause as pausing
from tests.unit.scene import Scene

UNTIL = 1776682800.0  # 2026-04-20 11:00 UTC
ANN = Pause("ann", "laptop", "2026-04-20T10:00:00Z", "2026-04-20T11:00:00Z", "the disk is exchanged")


def asked(store: Store, length: int, who: str = "ann") -> tuple[Pause | None, Pause | None]:
    request = {
        "root": store.root,
        "state": f"{store.root}/state",
        "docker_host": "",
        "who": who,
        "laptop": "laptop",
        "reason": "",
        "seconds": length,
    }
    answer = pausing.answer(request, lambda event: None)
    found, before = (Pause(**one) if one else None for one in (answer["pause"], answer["before"]))
    return found, before


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("60", 60), ("30m", 1800), ("2h", 7200), ("30d", 2592000)])
def test_a_length_is_read_as_in_hosts_yaml(text: str, length: int) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "59s", "31d", "1.5h", "soon", "-1h", "1h30m", "1w", "1 h", "٣٠m x", None])
def test_what_is_no_length_is_bad_input(text: str | None) -> None:
    with pytest.raises(BadInput, match="--for"):
        seconds(text)


def test_a_pause_is_in_force_until_its_end(store: Store) -> None:
    assert pause.current(store, UNTIL) is None
    jsonfile.save(store.pause, ANN)
    assert pause.current(store, UNTIL - 0.1) == ANN
    assert pause.current(store, UNTIL) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"who": 7}', '{"who": "a", "laptop": "b", "since": "", "until": "noon"}', "\xff"]
)
def test_a_damaged_pause_is_none_and_is_named(store: Store, text: str) -> None:
    Path(store.pause).write_text(text, encoding="latin-1")
    assert pause.current(store, 0.0) is None
    assert pause.load(store, UNTIL)[1].startswith(f"{store.pause} is damaged: ")
    pause.admit(store, "deploy")
    assert Path(store.pause).exists(), "nobody would learn of it any more"


@pytest.mark.parametrize("action", ["deploy", "restart"])
def test_it_holds_deploys_and_restarts_back_and_says_who_why_and_until_when(store: Store, action: str) -> None:
    found, _ = asked(store, 3600)
    assert found is not None
    with pytest.raises(Refusal) as caught:
        pause.admit(store, action)
    assert caught.value.message == f"{said(found)}; nothing was changed"
    assert (caught.value.hint, caught.value.kind) == ("fab resume ends the pause", "refused")


@pytest.mark.parametrize("action", ["rollback", "stop", "prune"])
def test_it_holds_nothing_else_back(store: Store, action: str) -> None:
    asked(store, 3600)
    pause.admit(store, action)
    assert pause.current(store, time.time())


def test_one_that_is_over_is_swept_away_by_the_next_run(store: Store) -> None:
    jsonfile.save(store.pause, Pause("ann", "laptop", "2020-01-01T00:00:00Z", "2020-01-01T01:00:00Z"))
    pause.admit(store, "deploy")
    assert not Path(store.pause).exists()


def test_a_new_one_replaces_the_old_one_and_names_it_and_resume_ends_it(store: Store) -> None:
    first, before = asked(store, 3600)
    assert first is not None and before is None
    assert Path(store.pause).stat().st_mode & 0o777 == 0o600
    second, before = asked(store, 60, "bob")
    assert second is not None and before == first
    assert pause.current(store, time.time()) == second
    assert asked(store, 0) == (None, second)
    assert not Path(store.pause).exists()
    assert asked(store, 0) == (None, None)


def test_resume_takes_away_what_is_damaged(store: Store) -> None:
    Path(store.pause).write_text("{")
    assert asked(store, 0) == (None, None)
    assert not Path(store.pause).exists()


def test_it_is_told_in_a_sentence(scene: Scene) -> None:
    until = "until 2026-04-20 11:00 UTC by ann (the disk is exchanged)"
    assert told(ANN, None) == f"deploys are paused {until}"
    assert told(ANN, ANN) == f"deploys are paused {until}; that replaces the pause {until}"
    assert told(None, ANN) == f"the pause {until} is ended"
    assert told(None, None) == "there was no pause"
    paused = scene.seeing(pause=ANN).look
    assert [(row.name, row.level, row.sentence) for row in rows(paused, WARNING)] == [
        ("pause", WARNING, told(ANN, None))
    ]
    assert rows(scene.look, WARNING) == []
    assert f"  deploys are paused {until}: fab resume ends the pause" in [
        text for text, _ in status.lines("gpu-1", paused, scene.services)
    ]
    result: Any = status.as_result("gpu-1", paused, scene.services)
    assert result["pause"]["who"] == "ann"
