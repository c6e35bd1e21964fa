"""Images that are no good: each is taken back by itself, with the reason in one sentence."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass

import pytest

from sandbox import finish, run_inside, start_publishing
from tests.deploy.laptop import QUEUE, Laptop, finished
from tests.deploy.standing import ran_together, runs, standing, wait_for_offset, wait_for_step, watched
from tests.real import (
    ROOT,
    STATE,
    docker,
    inspected,
    lost_and_twice,
    messages,
    published,
    server_snapshot,
    wait_for_annotations,
    written,
)

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Bad:
    """A bad image, the watch it is put under, and what is said of it."""

    tag: str
    settle: int
    window: int
    reason: str
    log: str


BAD = (
    Bad(
        *("bad-exits", 1, 60, "it ended by itself with exit status 3 and was restarted"),
        "cannot start: this version is a bad one",
    ),
    Bad("bad-idle", 1, 12, "100 messages wait and its offset has not moved for", "waiting for work"),
    Bad("bad-idle-stubborn", 1, 12, "100 messages wait and its offset has not moved for", "waiting for work"),
    Bad("bad-crashes", 12, 60, "it ended by itself", "consuming azaion-annotations from offset"),
)


def test_whatever_is_wrong_with_an_image_the_old_one_comes_back_and_nothing_is_lost(laptop: Laptop) -> None:
    begun = time.time()
    watched(laptop, settle=1, window=6)
    expected = published(laptop.sandbox, 100)
    laptop.deployed()
    wait_for_annotations(laptop.sandbox, len(expected))
    before = standing(laptop.sandbox)
    for bad in BAD:
        watched(laptop, bad.settle, bad.window)
        process = laptop.start("deploy", "--service", QUEUE, "--tag", bad.tag, "--json")
        wait_for_step(laptop.sandbox, runs(laptop.sandbox) + 1, "watching")
        expected += published(laptop.sandbox, 100, first=len(expected) + 1)
        with process:
            said = finished(process)
        [result] = said.json["servers"]
        assert (said.status, result["outcome"], result["exit_status"]) == (13, "rolled-back", 13), said.all
        assert result["sentence"].startswith(f"gpu-1: {QUEUE} {bad.tag} failed its watch: {bad.reason}"), said.all
        assert f"; the previous {QUEUE} is back" in result["sentence"], said.all
        assert any(line.startswith(bad.log) for line in result["log"]), said.all
        assert f"  | {result['log'][-1]}" in said.err
        assert standing(laptop.sandbox) == before, bad.tag
        expected += published(laptop.sandbox, 10, first=len(expected) + 1)
        seen = wait_for_annotations(laptop.sandbox, len(expected))
        assert lost_and_twice(seen, expected) == ([], []), bad.tag
        assert seen[-1].container == before.container[:12]
    assert ran_together(laptop.sandbox, begun) == []


def test_the_offsets_that_an_image_handled_while_it_lost_messages_are_named(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=6)
    published(laptop.sandbox, 101)
    laptop.deployed()
    wait_for_annotations(laptop.sandbox, 101)
    before = standing(laptop.sandbox)
    watched(laptop, settle=1, window=60)  # until its log says so
    process = laptop.start("deploy", "--service", QUEUE, "--tag", "bad-drops", "--json")
    run = wait_for_step(laptop.sandbox, 2, "watching")
    published(laptop.sandbox, 100, first=102)
    with process:
        said = finished(process)
    [result] = said.json["servers"]
    assert (said.status, standing(laptop.sandbox)) == (13, before), said.all
    assert 'bad-drops failed its watch: its log says: "Error while handling' in result["sentence"]
    assert result["sentence"].endswith(f"; {QUEUE} handled offsets 101 to 200 meanwhile")
    published(laptop.sandbox, 10, first=202)
    wait_for_offset(laptop.sandbox, 211)
    lost, twice = lost_and_twice(written(laptop.sandbox), messages(211))
    assert lost, "the bad image loses nothing any more, so that this test shows nothing"
    assert (set(lost) <= set(messages(100, first=102)), twice) == (True, [])
    note = json.loads(run_inside(laptop.sandbox, ["cat", f"{STATE}/releases/{run}/failed.json"]).stdout)
    assert note["handled"] == [
        {"service": QUEUE, "container": result["handled"][0]["container"], "first": 101, "end": 201}
    ]
    assert not inspected(laptop.sandbox, note["handled"][0]["container"])["State"]["Running"]


def test_one_whose_only_sign_is_an_error_in_its_log_file_is_taken_back(laptop: Laptop) -> None:
    """Its docker log is empty, and what the one before it wrote to the same file is not its own."""
    laptop.queue["environment"] = {"LOG_FILE": f"{ROOT}/logs/queue.log"}
    laptop.queue["log_files"] = f"{ROOT}/logs/*.log"
    watched(laptop, settle=1, window=6)
    laptop.queue["watch"] |= {"failure_level": "error", "failure_text": []}
    laptop.save()
    published(laptop.sandbox, 101)
    laptop.deployed()
    wait_for_annotations(laptop.sandbox, 101)
    assert docker(laptop.sandbox, "logs", QUEUE) == ""
    run_inside(laptop.sandbox, ["sh", "-c", f"echo '2026-03-28 14:30:00,123 ERROR of before' >> {ROOT}/logs/queue.log"])
    again = laptop.deployed("--tag", "1.1", "--json")
    assert "ERROR" not in again.all and '"clean: its last ' in again.all, again.all
    rows = laptop.fab("status", "--json").json["servers"][0]["rows"]
    row = next(one for one in rows if one["name"] == f"{QUEUE} log")
    assert (row["level"], row["figures"]["failures"]) == ("ok", 0) and row["figures"]["lines"] > 0
    checks = laptop.fab("health", "--json").json["servers"][0]["checks"]
    checked = next(one for one in checks if one["name"] == row["name"])
    assert (checked["level"], checked["figures"]) == ("ok", row["figures"])
    before = standing(laptop.sandbox)
    laptop.queue["watch"]["window"] = 60  # until its log says so
    laptop.save()
    process = laptop.start("deploy", "--service", QUEUE, "--tag", "bad-drops", "--json")
    wait_for_step(laptop.sandbox, 3, "watching")
    published(laptop.sandbox, 100, first=102)
    with process:
        said = finished(process)
    [result] = said.json["servers"]
    assert (said.status, result["outcome"], standing(laptop.sandbox)) == (13, "rolled-back", before), said.all
    assert re.search(r'failed its watch: its log says: "[^"]* ERROR [^"]*" in queue.log; ', result["sentence"])
    assert any(" ERROR " in line for line in result["log"]), result["log"]
    assert not any("of before" in line for line in result["log"])


def test_one_that_will_not_stop_is_killed_and_at_most_an_unsaved_batch_is_read_again(laptop: Laptop) -> None:
    begun = time.time()
    watched(laptop, settle=1, window=6)
    producer = start_publishing(laptop.sandbox, 1_500, rate=120)
    laptop.deployed("--tag", "bad-stubborn")
    said = laptop.deployed("--tag", "1.0")
    assert finish(producer) == 1_500
    assert f"the old {QUEUE} did not stop within its grace of 2 s and was killed (137)" in said.out
    lost, twice = lost_and_twice(wait_for_annotations(laptop.sandbox, 1_500), messages(1_500))
    assert lost == []
    assert len(twice) <= laptop.queue["offset"]["saved_every"]
    assert ran_together(laptop.sandbox, begun) == []


def test_a_first_deploy_that_fails_leaves_nothing_running_and_no_config(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=60)  # it may take its time until it ends
    said = laptop.fab("deploy", "--tag", f"{QUEUE}=bad-exits")
    assert said.status == 13, said.all
    assert "nothing runs, as before" in said.err
    after = server_snapshot(laptop.sandbox)
    assert f"{ROOT}/config.yaml" not in after.tree
    [(name, _, restart, status, *_)] = after.containers.values()
    assert name.startswith(f"/{QUEUE}.")
    assert (restart, status) == ("no", "exited")
    assert "no release yet" in laptop.fab("status").out
    watched(laptop, settle=1, window=2)
    laptop.deployed()


def test_no_rollback_leaves_a_failed_release_running_until_somebody_rolls_back(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=6)
    expected = published(laptop.sandbox, 100)
    laptop.deployed()
    before = standing(laptop.sandbox)
    process = laptop.start("deploy", "--service", QUEUE, "--tag", "bad-idle", "--no-rollback", "--json")
    wait_for_step(laptop.sandbox, 2, "watching")
    expected += published(laptop.sandbox, 100, first=101)
    with process:
        said = finished(process)
    [result] = said.json["servers"]
    assert (said.status, result["outcome"], result["hint"]) == (14, "needs-person", "fab rollback"), said.all
    assert result["sentence"].endswith("it was left running, as --no-rollback says")
    bad = inspected(laptop.sandbox, QUEUE)
    assert bad["Id"] != before.container
    assert bad["State"]["Running"]
    assert "which is not the one on record" in laptop.fab("status").out
    back = laptop.fab("rollback")
    assert back.status == 0, back.all
    assert standing(laptop.sandbox) == before
    assert lost_and_twice(wait_for_annotations(laptop.sandbox, 200), expected) == ([], [])
