"""What is survived: a run that is killed, a reboot, two laptops at once, a damaged record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import NeedsPerson, Refused
from sandbox import Sandbox, kill, reboot, run_inside, start
from sandbox.machine import wait_until
from tests import real
from tests.deploy.laptop import QUEUE, Laptop, finished, new_laptop
from tests.deploy.refused import DEPLOY, says_no
from tests.deploy.standing import runs, wait_for_step, watched
from tests.real import STATE, docker, inspected, lost_and_twice, messages, published, wait_for_annotations

pytestmark = pytest.mark.real

NOTES = STATE
RECORD = f"{NOTES}/previous-tags.json"
SHIM = "/usr/local/bin/docker"
HALTED = "/tmp/halted"
UNSAVED = 50  # messages that a consumer killed without warning may read again

# Halts the first `docker WORD` and never carries it out; its number stands in a file, for whoever ends it.
HALTING_DOCKER = """\
#!/bin/sh
if [ "$1" = WORD ] && [ ! -e /tmp/halted ]; then
    echo $$ >/tmp/halted
    exec sleep 60
fi
exec /usr/bin/docker "$@"
"""

Strike = Callable[[Sandbox], None]


@contextmanager
def halting(sandbox: Sandbox, word: str) -> Iterator[None]:
    run_inside(sandbox, ["rm", "-f", HALTED])
    run_inside(sandbox, ["tee", SHIM], input=HALTING_DOCKER.replace("WORD", word))
    run_inside(sandbox, ["chmod", "755", SHIM])
    try:
        yield
    finally:
        run_inside(sandbox, ["rm", "-f", SHIM, HALTED])


def there(sandbox: Sandbox, path: str) -> bool:
    return run_inside(sandbox, ["test", "-s", path], check=False).returncode == 0


def kill_run(sandbox: Sandbox) -> None:
    """SIGKILL for the detached process, by the lock's own word."""
    run_inside(sandbox, ["kill", "-KILL", str(lock(sandbox)["pid"])])


def kill_run_and_command(sandbox: Sandbox) -> None:
    """SIGKILL for the detached process, and for the command that it waits for."""
    kill_run(sandbox)
    run_inside(sandbox, ["sh", "-c", f"kill -KILL $(cat {HALTED})"])


def pull_the_plug(sandbox: Sandbox) -> None:
    reboot(sandbox, lambda text: None)


def lock(sandbox: Sandbox) -> dict[str, object]:
    said: dict[str, object] = json.loads(run_inside(sandbox, ["cat", f"{NOTES}/lock"]).stdout)
    return said


def told(sandbox: Sandbox, event: str) -> int:
    """How often the journals of all runs tell of an event."""
    lines = run_inside(sandbox, ["sh", "-c", f"cat {NOTES}/runs/*.jsonl"]).stdout.splitlines()
    return sum(json.loads(line)["event"] == event for line in lines)


def only_one_runs(sandbox: Sandbox) -> bool:
    return docker(sandbox, "ps", "--format={{.Names}}").split() == [QUEUE]


def recovered(laptop: Laptop, twice: int = 0) -> str:
    """`fab status` names the run that was cut off; the next deploy ends it first, and then ends well itself.

    Gives what that deploy said.
    """
    status = laptop.fab("status")
    assert status.status == 0 and "was cut off at step" in status.out, status.all
    again = laptop.deployed("--tag", "1.1")
    assert "was cut off at step" in again.out and "it is brought to an end first" in again.out
    assert only_one_runs(laptop.sandbox)
    assert inspected(laptop.sandbox, QUEUE)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    published(laptop.sandbox, 100, first=401)
    lost, read_again = lost_and_twice(wait_for_annotations(laptop.sandbox, 500), messages(500))
    assert lost == [] and len(read_again) <= twice
    assert "was cut off at step" not in laptop.fab("status").out
    return again.out


def test_a_run_that_is_killed_during_its_watch_is_taken_as_it_is(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    published(sandbox, 300)
    laptop.deployed()
    laptop.queue["watch"] |= {"settle": 20, "window": 30}
    laptop.save()
    with laptop.start(*DEPLOY, "--tag", "1.1") as process:
        wait_until(lambda: told(sandbox, "watching") == 2, 20, "run (its watch)")
        new = inspected(sandbox, QUEUE)["Id"]
        kill_run(sandbox)
        said = finished(process)
    assert (said.status, "was cut off" in said.err) == (14, True), said.all
    laptop.queue["watch"] |= {"settle": 0, "window": 1}
    laptop.save()
    published(sandbox, 100, first=301)
    assert "up to date, nothing was stopped" in recovered(laptop)
    assert inspected(sandbox, QUEUE)["Id"] == new


@pytest.mark.parametrize(
    ("word", "strike", "twice"),
    [("stop", kill_run_and_command, 0), ("start", kill_run_and_command, 0), ("start", pull_the_plug, UNSAVED)],
    ids=["killed before the stop", "killed before the start", "reboot before the start"],
)
def test_a_run_that_dies_in_its_swap_is_led_back(laptop: Laptop, word: str, strike: Strike, twice: int) -> None:
    sandbox = laptop.sandbox
    laptop.queue["watch"] |= {"settle": 0, "window": 2}
    laptop.save()
    published(sandbox, 300)
    laptop.deployed()
    first = laptop.fab("status", "--json").json["servers"][0]["release"]
    with halting(sandbox, word):
        with laptop.start(*DEPLOY, "--tag", "1.1") as process:
            wait_until(lambda: there(sandbox, HALTED), 20, f"docker {word}")
            strike(sandbox)
            published(sandbox, 100, first=301)
            process.kill()
            process.communicate()
        assert f"stops  {QUEUE} 1.0 of release {first}, put there by " in recovered(laptop, twice)


def test_of_two_laptops_at_the_same_instant_one_is_told_of_the_other(server: Sandbox, tmp_path: Path) -> None:
    published(server, 300)
    laptops = []
    for name in ("ann", "bob"):
        (tmp_path / name).mkdir()
        laptops.append(new_laptop(tmp_path / name, server))
    with laptops[0].start(*DEPLOY, "--tag", "1.0") as first, laptops[1].start(*DEPLOY, "--tag", "1.1") as second:
        said = sorted((finished(first), finished(second)), key=lambda one: one.status)
    assert [one.status for one in said] == [0, Refused.exit_code], [one.all for one in said]
    assert only_one_runs(server)
    assert told(server, "swap") == 1


def test_a_record_of_which_one_entry_is_damaged_still_serves(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.queue["watch"] |= {"settle": 0, "window": 1}
    laptop.save()
    for tag in ("1.0", "1.1", "2.0"):
        laptop.deployed("--tag", tag)
    record = json.loads(run_inside(sandbox, ["cat", RECORD]).stdout)
    newest, _, oldest = (entry["id"] for entry in record["releases"])
    record["releases"][1]["services"][QUEUE]["container"] = 7
    edited = json.dumps(record)
    run_inside(sandbox, ["tee", RECORD], input=edited)
    place = f"releases[1].services.{QUEUE}.container: str was expected, not int"
    assert place in laptop.fab("status").out
    said = laptop.fab("rollback", "--json")
    assert said.json["servers"][0]["release"] == oldest, said.all
    kept = json.loads(run_inside(sandbox, ["cat", RECORD]).stdout)
    assert [entry["id"] for entry in kept["releases"]] == [newest, oldest]
    assert run_inside(sandbox, ["cat", f"{RECORD}.damaged"]).stdout == edited


def test_a_record_that_is_cut_off_is_named_and_begun_anew(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.queue["watch"] |= {"settle": 0, "window": 1}
    laptop.save()
    laptop.deployed()
    run_inside(sandbox, ["truncate", "--size=300", RECORD])
    cut = run_inside(sandbox, ["cat", RECORD]).stdout
    assert f"{RECORD} is damaged" in laptop.fab("status").out
    before = real.server_snapshot(sandbox)
    assert "no earlier release" in says_no(laptop, Refused, "rollback").err
    assert real.server_snapshot(sandbox) == before
    laptop.deployed("--tag", "1.1")
    assert only_one_runs(sandbox)
    assert run_inside(sandbox, ["cat", f"{RECORD}.damaged"]).stdout == cut
    assert f"{RECORD} is damaged" not in laptop.fab("status").out


def test_a_release_that_could_not_be_recorded_is_recorded_by_the_next_command(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=4)
    published(laptop.sandbox, 100)
    laptop.deployed("--tag", "1.0")
    with laptop.start("deploy", "--service", QUEUE, "--tag", "1.1") as deploy:
        wait_for_step(laptop.sandbox, 2, "watching")
        run_inside(laptop.sandbox, ["sh", "-ec", f"mv {RECORD} {RECORD}.old; mkdir {RECORD}"])
        said = finished(deploy)
    assert said.status == NeedsPerson.exit_code
    assert "the new release is in force, but the record could not be written" in said.out
    run_inside(laptop.sandbox, ["sh", "-ec", f"rmdir {RECORD}; mv {RECORD}.old {RECORD}"])
    running = inspected(laptop.sandbox, QUEUE)["Id"]

    said = laptop.deployed("--tag", "1.1")
    assert "was cut off after its swap: release" in said.out
    assert inspected(laptop.sandbox, QUEUE)["Id"] == running, "what is in force was put there once more"
    newest, first = laptop.fab("status", "--json").json["servers"][0]["releases"]
    assert [one["services"][QUEUE]["tag"] for one in (newest, first)] == ["1.1", "1.0"]
    assert newest["services"][QUEUE]["container"] == running


# Fells the consumer when the run has come to what follows its watch, as an engine does that dies with all it runs.
FELLING_DOCKER = f"""\
#!/bin/sh
[ "$1" != tag ] || /usr/bin/docker kill {QUEUE} >/dev/null
exec /usr/bin/docker "$@"
"""


def test_a_consumer_that_is_killed_after_its_watch_is_started_again(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=4)
    published(laptop.sandbox, 100)
    run_inside(laptop.sandbox, ["tee", SHIM], input=FELLING_DOCKER)
    run_inside(laptop.sandbox, ["chmod", "755", SHIM])
    try:
        said = laptop.fab("deploy")
    finally:
        run_inside(laptop.sandbox, ["rm", "-f", SHIM])
    assert said.status == 0, said.all
    assert f"{QUEUE} ended with exit status 137 after its watch, and was started again" in said.all
    assert inspected(laptop.sandbox, QUEUE)["State"]["Running"]


# Waits at the first `docker tag`, which follows the watch, until its file is taken away.
WAITING_DOCKER = """\
#!/bin/sh
[ "$1" != tag ] || [ -e /tmp/waited ] || { touch /tmp/waits /tmp/waited; while [ -e /tmp/waits ]; do sleep 0.1; done; }
exec /usr/bin/docker "$@"
"""


def test_one_that_a_crashed_engine_stopped_after_its_watch_is_started_again(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=4)
    published(laptop.sandbox, 100)
    run_inside(laptop.sandbox, ["tee", SHIM], input=WAITING_DOCKER)
    run_inside(laptop.sandbox, ["chmod", "755", SHIM])
    try:
        with laptop.start("deploy") as process:
            waits = ["test", "-e", "/tmp/waits"]
            wait_until(lambda: run_inside(laptop.sandbox, waits, check=False).returncode == 0, 30, "docker tag")
            kill(laptop.sandbox, "engine")
            start(laptop.sandbox, "engine")
            wait_until(lambda: not inspected(laptop.sandbox, QUEUE)["State"]["Running"], 20, "consumer (its end)")
            assert inspected(laptop.sandbox, QUEUE)["State"]["ExitCode"] == 0
            run_inside(laptop.sandbox, ["rm", "/tmp/waits"])
            said = finished(process)
    finally:
        run_inside(laptop.sandbox, ["rm", "-f", SHIM, "/tmp/waits", "/tmp/waited"])
    assert said.status == 0, said.all
    assert f"{QUEUE} was stopped by its engine after its watch, and was started again" in said.all
    assert inspected(laptop.sandbox, QUEUE)["State"]["Running"]


@pytest.mark.parametrize("words", [("deploy", "--service", QUEUE, "--tag", "1.1"), ("rollback",), ("restart", QUEUE)])
def test_an_engine_that_dies_during_a_watch_is_no_fault_of_what_is_watched(
    laptop: Laptop, words: tuple[str, ...]
) -> None:
    """One that was killed stops what it finds alive when it starts, as if somebody had, and leaves it so."""
    watched(laptop, settle=1, window=30)
    published(laptop.sandbox, 100)
    laptop.deployed("--tag", "1.0")
    if words == ("rollback",):
        laptop.deployed("--tag", "1.1")
    before = runs(laptop.sandbox)
    published(laptop.sandbox, 100, first=101)
    with laptop.start(*words) as process:
        wait_for_step(laptop.sandbox, before + 1, "watching")
        kill(laptop.sandbox, "engine")
        start(laptop.sandbox, "engine")
        published(laptop.sandbox, 100, first=201)
        said = finished(process)
    assert said.status == 0, said.all
    assert inspected(laptop.sandbox, QUEUE)["State"]["Running"]
    assert not lost_and_twice(wait_for_annotations(laptop.sandbox, 300), messages(300))[0]
