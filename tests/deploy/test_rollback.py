"""Going back: to which release, with which image, settings and config, and what becomes of what is left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gpu_runbook.laptop.errors import BadInput, NeedsPerson, Refused, RolledBack
from sandbox import Sandbox, run_inside, start, stop
from sandbox.machine import wait_until
from tests import real
from tests.deploy.laptop import QUEUE, Laptop, Said
from tests.deploy.refused import passwords, refused, says_no, shown
from tests.real import (
    ROOT,
    STATE,
    docker,
    exists,
    inspected,
    lost_and_twice,
    manifest,
    messages,
    published,
    server_snapshot,
    wait_for_annotations,
)

pytestmark = pytest.mark.real

NOTES = STATE


@pytest.fixture
def hasty(laptop: Laptop) -> Laptop:
    """A laptop that does not wait for proof: what happens during the watch is not what is tested here."""
    laptop.queue["watch"] |= {"settle": 0, "window": 1}
    laptop.save()
    return laptop


def released(laptop: Laptop, *words: str) -> str:
    """Deploy with JSON, and give the release."""
    release: str = laptop.deployed("--json", *words).json["servers"][0]["release"]
    return release


def went_back(laptop: Laptop, *words: str) -> str:
    """Roll back, and give the release that is in force then."""
    said = laptop.fab("rollback", "--json", *words)
    assert said.status == 0, said.all
    release: str = said.json["servers"][0]["release"]
    return release


def text(sandbox: Sandbox, path: str) -> str:
    return run_inside(sandbox, ["cat", path]).stdout


def listed(sandbox: Sandbox, *paths: str) -> list[str]:
    """Mode and owner of each path."""
    return run_inside(sandbox, ["stat", "--format=%a %U", *paths]).stdout.splitlines()


def record(sandbox: Sandbox) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(text(sandbox, f"{NOTES}/previous-tags.json"))
    return known


def is_for_people_to_read(sandbox: Sandbox, releases: list[str]) -> None:
    """The record: newest first, pretty-printed, and for its owner alone, like the configs that releases keep."""
    known = record(sandbox)
    assert [entry["id"] for entry in known["releases"]] == releases[::-1]
    assert known["current"] == releases[-1]
    assert text(sandbox, f"{NOTES}/previous-tags.json").startswith('{\n  "current": ')
    paths = [NOTES, f"{NOTES}/previous-tags.json", f"{NOTES}/releases/{releases[0]}/{QUEUE}/config.yaml"]
    assert listed(sandbox, *paths) == ["700 deploy", "600 deploy", "600 deploy"]


@contextmanager
def registry_off(sandbox: Sandbox) -> Iterator[None]:
    stop(sandbox, "registry")
    try:
        yield
    finally:
        start(sandbox, "registry")


@contextmanager
def moved_tag(sandbox: Sandbox, tag: str, to: str) -> Iterator[None]:
    """Somebody pushes another image under a tag."""
    before = manifest(sandbox, tag)
    manifest(sandbox, tag, manifest(sandbox, to))
    try:
        yield
    finally:
        manifest(sandbox, tag, before)


def test_settings_and_config_go_back_as_they_were(hasty: Laptop) -> None:
    sandbox = hasty.sandbox
    published(sandbox, 100)
    hasty.queue["environment"] = {"SAVE_EVERY": "20"}
    hasty.queue["watch"]["window"] = 10  # while messages wait, however busy this machine is
    hasty.save()
    first = released(hasty)
    hasty.queue["watch"]["window"] = 1
    hasty.save()
    container, config = inspected(sandbox, QUEUE), text(sandbox, f"{ROOT}/config.yaml")
    old_password = hasty.variables["AZAION_API_PASSWORD"]
    hasty.queue["environment"] = {"SAVE_EVERY": "30"}
    hasty.variables["AZAION_API_PASSWORD"] = "another-password"
    hasty.save()
    released(hasty, "--tag", "1.1")
    assert text(sandbox, f"{ROOT}/config.yaml") != config

    said = hasty.fab("rollback")
    assert said.status == 0, said.all
    assert f"release {first} had other values: AZAION_API_PASSWORD" in said.out
    assert shown([old_password, *passwords(hasty)], said.all) == []
    back = inspected(sandbox, QUEUE)
    assert (back["Id"], back["Image"], back["State"]["Running"]) == (container["Id"], container["Image"], True)
    assert "SAVE_EVERY=20" in back["Config"]["Env"]
    assert back["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert text(sandbox, f"{ROOT}/config.yaml") == config
    assert listed(sandbox, f"{ROOT}/config.yaml") == ["640 deploy"]
    published(sandbox, 100, first=101)
    assert lost_and_twice(wait_for_annotations(sandbox, 200), messages(200)) == ([], [])


def test_each_rollback_goes_further_back_and_training_runs_on(hasty: Laptop) -> None:
    sandbox = hasty.sandbox
    training = inspected(sandbox, real.started_training(sandbox))
    releases = [
        hasty.fab("deploy", "--json", "--tag", tags).json["servers"][0]["release"]
        for tags in ("1.0", "annotation-queue=1.1,training=2.0", "2.0")
    ]
    is_for_people_to_read(sandbox, releases)
    next_run = [entry["services"]["training"]["image_id"] for entry in record(sandbox)["releases"]][::-1]
    assert next_run[0] != next_run[1]

    assert went_back(hasty) == releases[1]
    assert went_back(hasty) == releases[0]
    current = docker(sandbox, "image", "inspect", "--format={{.Id}}", f"{sandbox.registry}/azaion/training:current")
    assert current == next_run[0]
    assert "no earlier release to go back to" in says_no(hasty, Refused, "rollback").err
    assert went_back(hasty, "--to", releases[2]) == releases[2]
    before = server_snapshot(sandbox).containers
    assert "no earlier release to go back to" in says_no(hasty, Refused, "rollback").err
    assert server_snapshot(sandbox).containers == before
    unknown = says_no(hasty, BadInput, "rollback", "--to", "nosuch")
    assert all(release in unknown.err for release in releases)
    assert inspected(sandbox, "training")["State"] == training["State"]


def test_a_rollback_needs_no_registry_and_no_tag(hasty: Laptop) -> None:
    sandbox = hasty.sandbox
    first, image = released(hasty), inspected(sandbox, QUEUE)["Image"]
    released(hasty, "--tag", "1.1")
    with moved_tag(sandbox, "1.0", to="2.0"), registry_off(sandbox):
        assert went_back(hasty) == first
    assert inspected(sandbox, QUEUE)["Image"] == image

    released(hasty, "--tag", "1.1")
    docker(sandbox, "rm", f"{QUEUE}.{first}")
    with registry_off(sandbox):
        assert went_back(hasty) == first
    again = inspected(sandbox, QUEUE)
    assert (again["Image"], again["State"]["Running"]) == (image, True)
    assert "up to date, nothing was stopped" in hasty.deployed().out


def test_an_image_that_is_gone_is_pulled_by_its_digest_or_nothing_is_changed(hasty: Laptop) -> None:
    sandbox = hasty.sandbox
    first, image = released(hasty), inspected(sandbox, QUEUE)["Image"]
    released(hasty, "--tag", "1.1")
    docker(sandbox, "rm", f"{QUEUE}.{first}")
    docker(sandbox, "rmi", "--force", image)
    with registry_off(sandbox):
        said = refused(hasty, Refused, "rollback")
    assert "could not be pulled" in said.err
    with moved_tag(sandbox, "1.0", to="2.0"):
        assert went_back(hasty) == first
    assert inspected(sandbox, QUEUE)["Image"] == image


def test_a_kept_release_outlives_what_cron_prunes(hasty: Laptop) -> None:
    sandbox = hasty.sandbox
    first, image = released(hasty), inspected(sandbox, QUEUE)["Image"]
    released(hasty, "--tag", "1.1")
    docker(sandbox, "system", "prune", "--force")
    assert f"{QUEUE}.{first}" not in docker(sandbox, "ps", "--all", "--format", "{{.Names}}").split()
    with registry_off(sandbox):
        assert went_back(hasty) == first
    assert inspected(sandbox, QUEUE)["Image"] == image

    released(hasty, "--tag", "1.1")
    assert "kept images" not in hasty.fab("status").out
    docker(sandbox, "system", "prune", "--all", "--force", "--volumes")
    assert f"the image of {QUEUE} 1.0 is gone, which release {first} is made of" in hasty.fab("status").out
    assert f"the image of release {first} (1.0) is gone: a rollback would have to pull it" in hasty.fab("diff").out
    assert went_back(hasty) == first
    assert inspected(sandbox, QUEUE)["Image"] == image


def test_a_rollback_that_fails_its_watch_is_left_for_a_person(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    published(sandbox, 200)
    first = released(laptop)
    published(sandbox, 200, first=201)
    second = released(laptop, "--tag", "1.1")
    kept = f"{NOTES}/releases/{first}/{QUEUE}/config.yaml"
    right = json.dumps(laptop.variables["RABBITMQ_PASSWORD"], ensure_ascii=False)
    outdated = text(sandbox, kept).replace(right, '"rotated since"')
    assert "rotated since" in outdated
    run_inside(sandbox, ["tee", kept], input=outdated)

    said = laptop.fab("rollback")
    assert said.status == NeedsPerson.exit_code, said.all
    assert f"{QUEUE} 1.0 failed its watch" in said.err and "a rollback is not undone" in said.err
    assert "cannot consume" in said.err
    assert shown(passwords(laptop), said.all) == []
    assert inspected(sandbox, QUEUE)["Config"]["Labels"]["gpu-runbook.release"] == first
    assert not inspected(sandbox, f"{QUEUE}.{second}")["State"]["Running"]
    wait_until(lambda: inspected(sandbox, QUEUE)["State"]["Restarting"], 20, "consumer (its next crash)")
    assert went_back(laptop, "--to", second) == second
    assert lost_and_twice(wait_for_annotations(sandbox, 400), messages(400)) == ([], [])


def test_what_no_kept_release_needs_is_tidied_away(hasty: Laptop) -> None:
    sandbox = hasty.sandbox
    hasty.hosts["keep_releases"] = 2
    hasty.save()
    training = real.started_training(sandbox)
    releases = [_both(hasty, tag) for tag in ("1.0", "1.1")]
    images = [inspected(sandbox, name)["Image"] for name in (f"{QUEUE}.{releases[0]}", QUEUE)]
    hasty.queue["watch"]["window"] = 30  # a bad one may take its time until it ends
    hasty.save()
    for _ in range(3):
        failed = hasty.fab("deploy", "--service", QUEUE, "--tag", "bad-exits")
        assert failed.status == RolledBack.exit_code, failed.all
    hasty.queue["watch"]["window"] = 1
    hasty.save()
    stray = next(name for name in _kept(sandbox) if images[1].partition(":")[2] in name)
    stray = f"{stray.partition(':')[0]}:left-by-one-that-died-{stray.rpartition('-')[2]}"
    docker(sandbox, "tag", images[1], stray)
    releases += [_both(hasty, "2.0")]
    needed = {one["image_id"] for entry in record(sandbox)["releases"] for one in entry["services"].values()}
    assert {name.partition(":")[2].partition("-")[0] for name in _kept(sandbox)} == {one[7:] for one in needed}
    assert [entry["id"] for entry in record(sandbox)["releases"]] == releases[:0:-1]
    assert not exists(sandbox, f"{QUEUE}.{releases[0]}") and exists(sandbox, f"{QUEUE}.{releases[1]}")
    present = docker(sandbox, "images", "--quiet", "--no-trunc", "--all").split()
    assert images[0] not in present and images[1] in present
    failures = run_inside(sandbox, ["sh", "-c", f"ls -d {NOTES}/releases/*/failed.json | wc -l"]).stdout
    assert int(failures) == 2
    names = docker(sandbox, "ps", "--all", "--format={{.Names}}").split()
    assert len(names) == 2 + 2 + 1  # in force and before it, the newest two that failed, training
    run = inspected(sandbox, training)
    assert run["State"]["Running"] and run["Image"] in present


def _kept(sandbox: Sandbox) -> list[str]:
    """The names of ours that images have."""
    return docker(sandbox, "images", "--format={{.Repository}}:{{.Tag}}", "gpu-runbook/kept").split()


def _both(laptop: Laptop, tag: str) -> str:
    """Deploy both services, training of a later version than the one that runs; the release."""
    said: Said = laptop.fab("deploy", "--json", "--tag", f"{QUEUE}={tag},training=2.0")
    assert said.status == 0, said.all
    release: str = said.json["servers"][0]["release"]
    return release
