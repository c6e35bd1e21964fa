"""The consumer that is deployed: the good versions lose nothing, the bad ones are bad in the way their tag says."""

from __future__ import annotations

import time

import pytest

from sandbox import Sandbox, finish, kill, run_inside, start_publishing
from sandbox.machine import wait_until
from tests import real

pytestmark = pytest.mark.real
NAME = "annotation-queue"


def test_nothing_is_lost_or_seen_twice_when_one_version_replaces_another_under_load(server: Sandbox) -> None:
    begun = time.time()
    first = real.started_consumer(server, "1.0")
    real.docker(server, "pull", real.consumer_image(server, "2.0"))
    producer = start_publishing(server, 10_000, rate=4000)
    real.wait_for_annotations(server, 2000)
    real.docker(server, "stop", "--time=30", NAME)
    real.docker(server, "rename", NAME, "previous")
    second = real.started_consumer(server, "2.0")
    real.wait_for_annotations(server, 6000)
    real.docker(server, "restart", "--time=30", NAME)
    assert finish(producer) == 10_000

    written = real.wait_for_annotations(server, 10_000)
    assert real.lost_and_twice(written, real.messages(10_000)) == ([], [])
    assert [annotation.offset for annotation in written] == list(range(10_000))
    assert {annotation.container for annotation in written} == {first[:12], second[:12]}
    wait_until(lambda: real.offset(server) == 10_000, 20, "offset 10000")
    ran = real.running_intervals(server, begun)
    assert not real.overlap(ran[first], ran[second])


def test_a_killed_consumer_replays_at_most_what_it_had_not_saved(server: Sandbox) -> None:
    real.started_consumer(server, "1.0")
    producer = start_publishing(server, 2000, rate=1000)
    real.wait_for_annotations(server, 500)
    real.docker(server, "kill", "--signal=KILL", NAME)
    real.docker(server, "start", NAME)
    finish(producer)
    lost, twice = real.lost_and_twice(real.wait_for_annotations(server, 2000), real.messages(2000))
    assert lost == []
    assert len(twice) <= 50  # SAVE_EVERY


def test_a_first_start_leaves_an_offset_file_before_any_message(server: Sandbox) -> None:
    real.started_consumer(server, "1.0")
    wait_until(lambda: real.offset(server) == 0, 20, "offset file")


def test_a_stop_is_obeyed_within_a_second_and_ends_in_status_0(server: Sandbox) -> None:
    real.started_consumer(server, "1.0")
    real.published(server, 100)
    real.wait_for_annotations(server, 100)
    begun = time.monotonic()
    real.docker(server, "stop", "--time=30", NAME)
    assert time.monotonic() - begun < 1
    assert real.inspected(server, NAME)["State"]["ExitCode"] == 0
    assert real.offset(server) == 100


def test_a_consumer_whose_broker_goes_away_ends_with_one_line(server: Sandbox) -> None:
    real.started_consumer(server, "1.0")
    real.published(server, 10)
    real.wait_for_annotations(server, 10)
    kill(server, "broker")
    assert ended(server) == 1
    assert log(server)[-1].startswith("cannot consume: ")
    assert real.offset(server) == 10


def test_a_consumer_with_a_wrong_password_ends_with_one_line_that_does_not_show_it(server: Sandbox) -> None:
    real.started_consumer(server, "1.0", password="not-the-password")
    assert ended(server) == 1
    assert len(log(server)) == 1
    assert "not-the-password" not in log(server)[0]


def test_the_version_that_exits_does_so_at_once(server: Sandbox) -> None:
    real.started_consumer(server, "bad-exits")
    assert ended(server) == 3


def test_the_version_that_crashes_consumes_and_ends_after_nine_seconds(server: Sandbox) -> None:
    real.published(server, 100)
    begun = time.monotonic()
    real.started_consumer(server, "bad-crashes")
    real.wait_for_annotations(server, 100)
    assert ended(server) == 139
    assert 8 < time.monotonic() - begun < 13


def test_the_idle_version_runs_and_consumes_nothing(server: Sandbox) -> None:
    real.published(server, 10)
    real.started_consumer(server, "bad-idle")
    time.sleep(2)
    assert real.inspected(server, NAME)["State"]["Running"]
    assert real.written(server) == []
    real.docker(server, "stop", NAME)
    assert real.inspected(server, NAME)["State"]["ExitCode"] == 0


@pytest.mark.parametrize(("tag", "consumes"), [("bad-stubborn", True), ("bad-idle-stubborn", False)])
def test_stubborn_versions_have_to_be_killed(server: Sandbox, tag: str, consumes: bool) -> None:
    real.published(server, 10)
    real.started_consumer(server, tag)
    wait_until(lambda: bool(log(server)), 20, "first line of the consumer")
    time.sleep(1)
    assert len(real.written(server)) == (10 if consumes else 0)
    real.docker(server, "stop", "--time=2", NAME)
    assert real.inspected(server, NAME)["State"]["ExitCode"] == 137


def test_the_version_that_drops_loses_messages_and_the_library_says_so(server: Sandbox) -> None:
    real.started_consumer(server, "bad-drops")
    real.published(server, 200, rate=200)
    # The library drops the rest of a chunk with the message that failed, so the end itself may be among the lost.
    wait_until(lambda: (real.offset(server) or 0) > 180, 10, "offset beyond 180")
    lost, _ = real.lost_and_twice(real.written(server), real.messages(200))
    assert lost
    assert any("Error while handling" in line for line in log(server))
    assert real.inspected(server, NAME)["State"]["Running"]


def test_the_version_that_mislabels_handles_every_message_and_says_its_errors_in_a_file_alone(server: Sandbox) -> None:
    real.write_config(server)
    real.logged_in(server)
    image = real.consumer_image(server, "bad-labels")
    real.docker(server, "run", "--detach", f"--name={NAME}", "--network=host", "--volume=/azaion:/azaion", image)
    real.published(server, 200)
    assert real.lost_and_twice(real.wait_for_annotations(server, 200), real.messages(200)) == ([], [])
    wait_until(lambda: real.offset(server) == 200, 10, "offset after the last message")  # without a pause
    lines = run_inside(server, ["cat", "/azaion/logs/annotation-queue.log"]).stdout.splitlines()
    assert [line.split()[2] for line in lines].count("ERROR") == 200 // 7
    assert log(server) == []
    there = ("data/images/000000.jpg", "data-seed/labels/000007.txt", "data_deleted/images/000009.jpg")
    run_inside(server, ["ls", *(f"/azaion/{path}" for path in there)])
    assert run_inside(server, ["ls", "/azaion/data/images/000009.jpg"], check=False).returncode


def test_training_takes_the_gpu_late_and_goes_on_from_its_last_checkpoint(server: Sandbox) -> None:
    real.logged_in(server)
    image, mount = real.training_image(server, "1.0"), "--volume=/azaion:/azaion"

    def started(*words: str, **environment: str) -> None:
        given = [f"--env={name}={value}" for name, value in environment.items()]
        run = ("run", "--detach", "--name=training", "--network=host", mount, *given, image)
        real.docker(server, *run, *(("python3", "-u", "/app/training.py", *words) if words else ()))

    started(AUGMENTATION="2")
    wait_until(lambda: "making more images" in " ".join(log(server, "training")), 20, "first line of the training")
    query = ["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader,nounits"]
    assert run_inside(server, query).stdout == ""
    assert len(real.docker(server, "top", "training").splitlines()) == 3  # a head, and two processes
    wait_until(lambda: "epoch 1 saved" in log(server, "training"), 20, "first checkpoint of the training")
    assert run_inside(server, query).stdout
    real.docker(server, "rm", "--force", "training")
    (last,) = run_inside(server, ["sh", "-c", "ls /azaion/models/azaion-*/weights/last.pt"]).stdout.split()

    real.write_config(server, trains=2)
    started("--resume", last, AUGMENTATION="0")
    assert real.docker(server, "wait", "training") == "0"
    said = log(server, "training")
    assert ("training from epoch 2" in said, "epoch 2 saved" in said) == (True, True)
    run_inside(server, ["cmp", last, "/azaion/models/azaion.pt"])


def ended(server: Sandbox) -> int:
    """Wait until the consumer has ended; its exit status."""
    return int(real.docker(server, "wait", NAME))


def log(server: Sandbox, name: str = NAME) -> list[str]:
    done = run_inside(server, ["docker", "logs", name])
    return (done.stdout + done.stderr).splitlines()
