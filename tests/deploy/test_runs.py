"""A run belongs to the server: whoever started it may look away, be refused, come back, or try to stop it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.deploy.laptop import QUEUE, Laptop, finished, new_laptop
from tests.deploy.standing import wait_for_step, watched
from tests.real import inspected, published, server_snapshot, started_consumer

pytestmark = pytest.mark.real


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    """Read what a `fab` says until it says this."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return
    raise AssertionError(f"it never said {text!r}:\n{seen}")


def test_a_run_under_way_is_seen_and_followed_from_another_laptop_and_lets_nobody_else_in(
    laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_laptop(tmp_path / "other", laptop.sandbox)
    watched(laptop, settle=1, window=60)  # the queue is idle: it lasts until a message comes
    assert "gpu-1: no release yet" in (nothing := other.fab("status")).out, nothing.all
    assert f"{QUEUE}: no container" in nothing.out
    monkeypatch.setenv("LOGNAME", "Ada")
    with laptop.start("deploy", "--service", QUEUE) as process:
        run = wait_for_step(laptop.sandbox, 1, "watching")
        status = other.fab("status")
        assert f"deploy {run} by Ada is under way since 20" in status.out, status.all
        assert f"fab follow --run {run}" in status.out
        before = server_snapshot(laptop.sandbox).containers
        refused = other.fab("deploy", "--service", QUEUE, "--tag", "1.1")
        assert refused.status == 12, refused.all
        assert f"Ada is at it: deploy {run} since 20" in refused.err
        assert "at step watching" in refused.err
        assert server_snapshot(laptop.sandbox).containers == before
        with other.start("follow") as following:
            published(laptop.sandbox, 100)
            followed, ended = finished(following), finished(process)
    assert (followed.status, ended.status) == (0, 0), followed.all + ended.all
    assert followed.out.splitlines()[-1] == ended.out.splitlines()[-1]
    assert f"gpu-1: release {run} is in force and proven" in followed.out
    proven = other.fab("status")
    assert f"gpu-1: release {run}, proven, by Ada" in proven.out, proven.all


def test_a_laptop_that_is_killed_changes_nothing_and_follow_tells_how_it_ended(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=60)  # the queue is idle: it lasts until a message comes
    with laptop.start("deploy", "--service", QUEUE) as process:
        run = wait_for_step(laptop.sandbox, 1, "watching")
        process.kill()
    with laptop.start("follow", "--run", run) as following:
        published(laptop.sandbox, 100)
        told = finished(following)
    assert (told.status, f"release {run} is in force and proven" in told.out) == (0, True), told.all
    with laptop.start("deploy", "--service", QUEUE, "--tag", "bad-exits") as process:
        wait_for_step(laptop.sandbox, 2, "watching")
        process.kill()
    told = laptop.fab("follow")
    assert (told.status, f"the previous {QUEUE} is back" in told.err) == (13, True), told.all
    assert "cannot start: this version is a bad one" in told.err


def test_ctrl_c_stops_a_deploy_before_its_run_and_never_during_it(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=60)  # the queue is idle: it lasts until a message comes
    before = server_snapshot(laptop.sandbox)
    for moment in ("looking", "pulling"):
        with laptop.start("deploy", "--service", QUEUE) as process:
            wait_for_line(process, f"gpu-1: {moment}")
            process.send_signal(signal.SIGINT)
            said = finished(process)
        assert (said.status, "gpu-1: cancelled, nothing changed" in said.err) == (15, True), said.all
        assert "Traceback" not in said.all
        after = server_snapshot(laptop.sandbox)
        assert (after.tree, after.containers) == (before.tree, before.containers)
    with laptop.start("deploy", "--service", QUEUE) as process:
        run = wait_for_step(laptop.sandbox, 1, "watching")
        process.send_signal(signal.SIGINT)
        said = finished(process)
    assert said.status == 16, said.all
    assert f"gpu-1: too late: run {run} goes on" in said.err
    assert f"fab follow --run {run}" in said.err
    published(laptop.sandbox, 100)
    assert f"release {run} is in force and proven" in laptop.fab("follow").out


def test_status_says_of_each_container_what_it_is(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=2)
    foreign = started_consumer(laptop.sandbox, "1.0")
    status = laptop.fab("status")
    assert f"{QUEUE}: {QUEUE}, not made by this tool, running for" in status.out, status.all
    assert f"container {foreign[:12]}" in status.out
    idle = laptop.deployed("--adopt", "--tag", "1.1")
    assert "unproven (annotation-queue: the queue was idle: no message came that could prove it)" in idle.out
    status = laptop.fab("status")
    assert ", unproven, by " in status.out.splitlines()[0], status.all
    found = inspected(laptop.sandbox, QUEUE)["Id"][:12]
    assert f"{QUEUE}: 1.1 (sha256:" in status.out
    assert f"container {found}" in status.out
    [server] = laptop.fab("status", "--json").json["servers"]
    assert [entry["outcome"] for entry in server["releases"]] == ["unproven", "adopted"]
    assert server["services"][QUEUE]["containers"][0]["container"][:12] == found
    assert server["services"]["training"]["runs"] == []
