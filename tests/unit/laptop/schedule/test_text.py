"""The scheduled check as people read it, by what starts it."""

from __future__ import annotations

import dataclasses

import pytest

from gpu_runbook.laptop.schedule import text
from gpu_runbook.laptop.schedule.client import ShownCheck
from gpu_runbook.protocol.check import OK, SKIPPED, WARNING, Check
from gpu_runbook.protocol.schedule import CheckTimer, Installation, Shown

BLOCK = "# BEGIN gpu-runbook /azaion: x\n*/5 * * * * python3 -IS /s/check.pyz <x\n# END gpu-runbook /azaion\n"
LINE = "*/5 * * * * python3 -IS /s/check.pyz <x"
UNIT = "gpu-runbook-azaion-1d6192ec.timer"


@pytest.mark.parametrize(
    ("running", "timer", "table", "starter", "said", "todo"),
    [
        (True, None, ("crontab", LINE), ("cron", OK), "runs", ""),
        (None, None, ("crontab", LINE), ("cron", SKIPPED), "cannot see", ""),
        (False, None, ("crontab", LINE), ("cron", WARNING), "no cron daemon runs", "systemctl enable --now cron"),
        (True, CheckTimer(UNIT), ("timer", f"{UNIT}: {LINE}"), ("systemd", OK), "runs", ""),
        (
            False,
            CheckTimer(UNIT),
            ("timer", f"{UNIT}: {LINE}"),
            ("systemd", WARNING),
            "not active",
            "fab schedule.install",
        ),
        (
            *(False, CheckTimer(UNIT, "deploy"), ("timer", f"{UNIT}: {LINE}"), ("systemd", WARNING)),
            *("ends with the last session of deploy", "as root: loginctl enable-linger deploy"),
        ),
    ],
)
def test_what_starts_the_check_is_told_as_what_it_is(
    running: bool | None,
    timer: CheckTimer | None,
    table: tuple[str, str],
    starter: tuple[str, str],
    said: str,
    todo: str,
) -> None:
    shown = Shown(Check("schedule", OK, "well"), BLOCK, "", running, None, True, None, (), timer)
    rows = {row.name: row for row in text.rows(ShownCheck(shown, True))}
    assert rows[table[0]].sentence == table[1]
    row = rows[starter[0]]
    assert (row.level, said in row.sentence, todo in row.hint) == (starter[1], True, True), row
    lines = [line for line, _ in text.installed(Installation(("timer",), BLOCK, running, timer=timer), 1)]
    assert any(said in line and todo in line for line in lines) == (running is False)
    without = dataclasses.replace(shown, crontab="", timer=None)
    assert "no block of ours" in {row.name: row for row in text.rows(ShownCheck(without, True))}["crontab"].sentence
