"""Our block of a crontab: put in, replaced, taken out, and never a byte of anybody else's touched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.system.crontab import block, found, is_running, with_block
from tests.unit.processes import made_process

ROOT = "/azaion"
OURS = block(ROOT, 300, "/usr/bin/python3", "/azaion/.deploy/health/check.pyz")
OTHER = block("/other", 300, "/usr/bin/python3", "/other/.deploy/health/check.pyz")
FOREIGN = "MAILTO=me\n# a note, \udcff\udcfe in Latin-1\n0 3 * * * backup %H\n"

# Lines as people write them, none of which is a mark of ours.
LINES = some.text(some.characters(blacklist_categories=["Cc", "Zl", "Zp"]), max_size=40).filter(
    lambda line: "gpu-runbook" not in line
)


@pytest.mark.parametrize(
    ("every", "when"),
    [(60, "* * * * *"), (300, "*/5 * * * *"), (1800, "*/30 * * * *"), (3600, "0 * * * *")],
)
def test_the_time_of_a_round_is_as_cron_writes_it(every: int, when: str) -> None:
    line = block(ROOT, every, "/usr/bin/python3", "/azaion/.deploy/health/check.pyz").splitlines()[1]
    assert line == f"{when} /usr/bin/python3 -IS /azaion/.deploy/health/check.pyz </dev/null >/dev/null 2>&1"


@given(some.lists(LINES), some.lists(LINES))
def test_what_others_wrote_stays_byte_for_byte(before: list[str], after: list[str]) -> None:
    head, tail = ("".join(f"{line}\n" for line in lines) for lines in (before, after))
    put_in = with_block(head, ROOT, OURS)
    assert put_in == head + OURS
    assert with_block(put_in + tail, ROOT, "") == head + tail
    changed = OURS.replace("*/5", "*/10")
    assert with_block(put_in + tail, ROOT, changed) == head + changed + tail


def test_putting_it_in_twice_changes_nothing() -> None:
    once = with_block(FOREIGN, ROOT, OURS)
    assert with_block(once, ROOT, OURS) == once
    assert found(once, ROOT) == OURS
    assert found(FOREIGN, ROOT) is None


def test_a_last_line_without_its_end_gets_one() -> None:
    assert with_block("0 3 * * * backup", ROOT, OURS) == "0 3 * * * backup\n" + OURS
    assert with_block("0 3 * * * backup", ROOT, "") == "0 3 * * * backup"


def test_the_block_of_another_root_is_somebody_elses() -> None:
    both = with_block(with_block(FOREIGN, "/other", OTHER), ROOT, OURS)
    assert both == FOREIGN + OTHER + OURS
    assert with_block(both, ROOT, "") == FOREIGN + OTHER
    longer = OURS.replace(ROOT, "/azaion-2")
    assert found(longer, ROOT) is None, "a root that begins like ours is another one"


HEAD, LINE, TAIL = OURS.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + LINE, "is not whole"),
        (LINE + TAIL, "is not whole"),
        (HEAD, "is not whole"),
        (TAIL + LINE + HEAD, "is not whole"),
        (OURS + OURS, "is not whole"),
        (HEAD + TAIL, "has 0 lines of ours"),
        (HEAD + LINE + LINE + TAIL, "has 2 lines of ours"),
        (HEAD + LINE + "0 3 * * * backup\n" + TAIL, 'has a line that is not ours: "0 3 * * * backup"'),
        (HEAD + "0 3 * * * backup\n" + TAIL, 'has a line that is not ours: "0 3 * * * backup"'),
    ],
)
def test_a_block_that_somebody_changed_is_left_to_a_person(text: str, said: str) -> None:
    for wanted in (OURS, ""):
        with pytest.raises(Refusal, match=re.escape(said)) as refusal:
            with_block(FOREIGN + text + FOREIGN, ROOT, wanted)
        assert "nothing was changed" in refusal.value.message and "crontab -e" in refusal.value.hint


def test_a_daemon_is_found_by_its_name_and_hidden_processes_are_not_taken_for_none(tmp_path: Path) -> None:
    assert is_running(str(tmp_path)) is None
    made_process(tmp_path, 1, "systemd", 0)
    made_process(tmp_path, 77, "bash", 0)
    assert is_running(str(tmp_path)) is False
    made_process(tmp_path, 99, "crond", 0)
    assert is_running(str(tmp_path)) is True


@pytest.mark.parametrize(
    "foreign", [{"user": 1000}, {"user": 0, "inside": 7}, {"user": 0, "cgroup": f"0::/docker-{'a' * 64}.scope"}]
)
def test_what_a_container_or_a_user_calls_cron_fires_no_round(tmp_path: Path, foreign: dict[str, Any]) -> None:
    made_process(tmp_path, 1, "systemd", 0)
    made_process(tmp_path, 99, "cron", **foreign)
    assert is_running(str(tmp_path)) is False
