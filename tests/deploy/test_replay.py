"""fab rollback --replay: what a bad release handled is read again, exactly that, and only while the stream holds it."""

from __future__ import annotations

import pytest

from sandbox import renew_stream
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import standing, wait_for_offset, watched
from tests.real import lost_and_twice, messages, offset, published, server_snapshot, wait_for_annotations, written

pytestmark = pytest.mark.real


def with_a_bad_release(laptop: Laptop) -> None:
    """1.0 has handled messages 1 to 100, and 1.1 the 60 after them."""
    watched(laptop, settle=0, window=3)
    laptop.deployed("--tag", "1.0")
    published(laptop.sandbox, 100)
    wait_for_offset(laptop.sandbox, 100)
    laptop.deployed("--tag", "1.1")
    published(laptop.sandbox, 60, first=101)
    wait_for_offset(laptop.sandbox, 160)


def outcome(laptop: Laptop) -> str:
    """What `fab status` says of the release in force."""
    (server,) = laptop.fab("status", "--json").json["servers"]
    return str(next(one["outcome"] for one in server["releases"] if one["id"] == server["release"]))


def test_the_range_is_named_and_read_again_by_the_release_before(laptop: Laptop) -> None:
    with_a_bad_release(laptop)
    planned = laptop.fab("rollback", "--dry-run")
    assert "has handled 100 to 159" in planned.out and "--replay would" in planned.out
    assert "written twice" in laptop.fab("rollback", "--replay", "--dry-run").out
    assert offset(laptop.sandbox) == 160

    said = laptop.fab("rollback", "--replay")
    assert said.status == 0, said.all
    assert "has handled offsets 100 to 159 of annotation-queue; they are read again" in said.out
    wait_for_offset(laptop.sandbox, 160)
    lost, twice = lost_and_twice(written(laptop.sandbox), messages(160))
    assert (lost, sorted(twice)) == ([], messages(60, first=101))
    assert "proven: its offset moved" in said.out  # the replay is what proves it


def test_without_replay_the_range_is_said_and_nothing_is_read_again(laptop: Laptop) -> None:
    with_a_bad_release(laptop)
    said = laptop.fab("rollback")
    assert said.status == 0, said.all
    assert "has handled offsets 100 to 159 of annotation-queue; they are not read again" in said.out
    assert outcome(laptop) == "unproven"  # what the other release has handled proves nothing of this one
    published(laptop.sandbox, 20, first=161)
    assert lost_and_twice(wait_for_annotations(laptop.sandbox, 180), messages(180)) == ([], [])
    wait_for_offset(laptop.sandbox, 180)
    assert outcome(laptop) == "proven"


def test_of_a_release_that_has_handled_nothing_nothing_is_read_again(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    laptop.deployed("--tag", "1.0")
    published(laptop.sandbox, 10)
    wait_for_offset(laptop.sandbox, 10)
    laptop.deployed("--tag", "1.1")
    said = laptop.fab("rollback", "--replay")
    assert said.status == 0, said.all
    assert "has handled nothing of annotation-queue; nothing is read again" in said.out
    published(laptop.sandbox, 10, first=11)
    assert lost_and_twice(wait_for_annotations(laptop.sandbox, 20), messages(20)) == ([], [])


def test_a_stream_that_no_longer_holds_the_range_changes_nothing(laptop: Laptop) -> None:
    with_a_bad_release(laptop)
    renew_stream(laptop.sandbox)
    published(laptop.sandbox, 30)
    before = standing(laptop.sandbox), server_snapshot(laptop.sandbox).containers
    said = laptop.fab("rollback", "--replay")
    assert said.status == 12, said.all
    assert "no longer holds the messages from offset 100 on (it holds 0 to 29); nothing was changed" in said.err
    assert "roll back without --replay" in said.err
    assert (standing(laptop.sandbox), server_snapshot(laptop.sandbox).containers) == before
    assert not [path for path in server_snapshot(laptop.sandbox).tree if "/.offset" in path]


def test_a_first_release_of_which_nobody_knows_where_it_began_is_refused(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=3)
    laptop.deployed("--tag", "1.0")  # found no offset file
    laptop.deployed("--tag", "1.1")
    laptop.fab("rollback")
    laptop.deployed("--tag", "1.1")
    said = laptop.fab("rollback", "--to", "no-such", "--replay")
    assert (said.status, "has no release no-such" in said.err) == (10, True)
    assert standing(laptop.sandbox, QUEUE).running
