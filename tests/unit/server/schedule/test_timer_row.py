"""The row of a check that a timer of systemd starts: it says when that one ends with the last session."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_runbook.protocol.check import WARNING
from gpu_runbook.protocol.schedule import CheckTimer
from gpu_runbook.server.schedule import health_row
from gpu_runbook.server.system import timer

UNIT = "gpu-runbook-azaion-1d6192ec.timer"


@pytest.mark.parametrize(
    ("found", "active", "said", "todo"),
    [
        (None, False, "", ""),
        (CheckTimer(UNIT), True, "", ""),
        (CheckTimer(UNIT), False, "its timer is not active", "fab schedule.install"),
        (CheckTimer(UNIT, "deploy"), False, "its timer ends with the last session of deploy", "enable-linger deploy"),
    ],
)
def test_a_timer_that_does_not_go_on_by_itself_is_told_of(
    monkeypatch: pytest.MonkeyPatch, found: CheckTimer | None, active: bool, said: str, todo: str
) -> None:
    monkeypatch.setattr(timer, "of", lambda root: found)
    monkeypatch.setattr(timer, "is_active", lambda timer: active)
    monkeypatch.setattr(timer, "is_doubled", lambda root: False)
    findings = health_row._ends("/azaion")
    assert [(level, text) for level, text, _ in findings] == ([(WARNING, said)] if said else [])
    assert all(todo in hint for _, _, hint in findings)


def test_a_cron_that_starts_it_as_well_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer, "of", lambda root: CheckTimer(UNIT))
    monkeypatch.setattr(timer, "is_doubled", lambda root: root == "/azaion")
    findings = health_row._ends("/azaion")
    assert findings == [(WARNING, "cron starts it as well as its timer", "fab schedule.install")]


def test_where_to_look_is_where_it_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timer, "of", lambda root: None)
    assert "status cron" in health_row._late(10_000, 300, str(tmp_path))[0][2]
    monkeypatch.setattr(timer, "of", lambda root: CheckTimer(UNIT))
    assert f"status {UNIT}" in health_row._late(10_000, 300, str(tmp_path))[0][2]
    assert health_row._late(10, 300, str(tmp_path)) == []
