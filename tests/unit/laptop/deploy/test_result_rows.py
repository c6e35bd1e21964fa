"""What a deploy ends with: rows made of its own journal."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_runbook.laptop.deploy import result_rows
from gpu_runbook.laptop.inventory.entries import DiskHealth
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.journal import JournalEvent, Judged, Observation, Recorded, Undoing
from tests.hostile.forms import RUN


def verdict(
    before: int | None = 100, failures: tuple[str, ...] = (), lines: int | None = 20, silence: str = "", **seen: Any
) -> Judged:
    known: dict[str, Any] = {"running": True, "started_at": "2026-04-20T10:11:12.5Z", "position": 160, "backlog": 0}
    return Judged("q", "proven", "it moved", Observation(1.0, **(known | seen)), before, lines, failures, silence)


def rows(*events: JournalEvent) -> dict[str, Check]:
    return {row.name: row for row in result_rows.rows(events, "/azaion", DiskHealth())}


def recorded(*disk: int) -> Recorded:
    return Recorded(RUN, disk)


def test_a_release_that_moved_on_is_ok_in_every_row() -> None:
    found = rows(verdict(), recorded(1000, 600, 500, 4096))
    assert {row.level for row in found.values()} == {OK}
    assert found["q container"].sentence == "running since 2026-04-20 10:11:12"
    assert found["q log"].sentence == "clean: its last 20 lines"
    assert found["q offset"].sentence == "offset 160, 60 since the swap, nothing waits"
    assert found["disk space"].sentence == "/azaion 45 % full (2.0 MiB left)"


@pytest.mark.parametrize(
    ("event", "row", "level", "sentence"),
    [
        (verdict(running=False), "q container", CRITICAL, "it does not run"),
        (verdict(sick="its HEALTHCHECK says unhealthy"), "q container", CRITICAL, "its HEALTHCHECK says unhealthy"),
        (verdict(restarts=2), "q container", WARNING, "started again 2 times"),
        (verdict(failures=("Traceback x",)), "q log", WARNING, "Traceback x"),
        (verdict(lines=0, silence="nothing was written"), "q log", OK, "its log is empty; nothing was written"),
        (verdict(lines=None), "q log", UNKNOWN, "it could not be read"),
        (verdict(lines=None, unread="no such file"), "q log", UNKNOWN, 'it could not be read: "no such file"'),
        (verdict(unread="no such file"), "q log", UNKNOWN, 'it could not be read: "no such file"'),
        (verdict(position=100, backlog=7), "q offset", WARNING, "offset 100, and up to 7 messages to go"),
        (verdict(backlog=7), "q offset", OK, "60 since the swap, up to 7 messages to go"),
        (verdict(position=100), "q offset", OK, "offset 100, nothing waits"),
        (verdict(position=None), "q offset", UNKNOWN, "has not written down its offset"),
        (verdict(position=100, backlog=None, broker="it is away"), "q offset", UNKNOWN, "offset 100; it is away"),
        (verdict(backlog=None, broker="it is away"), "q offset", OK, "60 since the swap; it is away"),
        (verdict(before=None, position=3), "q offset", OK, "offset 3, 3 since the swap"),
        (recorded(100, 10, 10, 1), "disk space", WARNING, "/azaion is 90 % full, 10 B are left"),
        (recorded(1000, 199, 199, 1), "disk space", WARNING, "/azaion is 81 % full"),
        (recorded(1000, 200, 200, 1), "disk space", OK, "/azaion 80 % full (200 B left)"),
        (recorded(100, 2, 2, 1), "disk space", CRITICAL, "/azaion is 98 % full, 2 B are left"),
    ],
)
def test_each_row_has_its_levels(event: JournalEvent, row: str, level: str, sentence: str) -> None:
    found = rows(event)[row]
    assert (found.level, sentence in found.sentence) == (level, True), found


def test_of_what_docker_did_not_answer_for_nothing_is_said_to_be_so() -> None:
    found = rows(verdict(engine=False, running=False, position=None, started_at=""))
    assert {name: (row.level, row.sentence) for name, row in found.items()} == dict.fromkeys(
        ("q container", "q log", "q offset"), (UNKNOWN, "docker did not answer at the end of the watch")
    )


def test_a_journal_without_evidence_has_no_rows() -> None:
    assert rows(Recorded(RUN), recorded(1000, 600, 500), recorded(1, 2, 3, 4, 5), Undoing("it failed")) == {}
