"""fab diff: what a deploy would change, and every way in which a server can differ from its record."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.answers.look import Version
from gpu_runbook.laptop.commands import diff
from gpu_runbook.laptop.commands.diff import Comparison
from gpu_runbook.protocol.check import CRITICAL, WARNING, Check
from gpu_runbook.protocol.pause import IntendedStop
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.snapshot import BatchState
from tests.unit.scene import QUEUE, REPOSITORY, SECOND, TRAINING, Scene, bare, image, occupant, order

CONFIG = ConfigFile("/azaion/config.yaml", "")


def compared(scene: Scene, *services: str) -> Comparison:
    chosen = scene.only(*services) if services else scene.services
    return diff.compare(scene.inventory, scene.resolved, chosen, scene.look, order())


def found(scene: Scene) -> list[tuple[str, str, str]]:
    return [(one.service, one.kind, one.sentence) for one in compared(scene).drift]


def placed_as(scene: Scene, service: str, **change: Any) -> Scene:
    """The release in force, with another entry for a service."""
    release = scene.look.record.releases[0]
    services = {**release.services, service: dataclasses.replace(release.services[service], **change)}
    releases = (dataclasses.replace(release, services=services), *scene.look.record.releases[1:])
    return scene.with_record(releases=releases)


def test_a_server_that_is_as_it_is_wanted_and_recorded_says_so(scene: Scene) -> None:
    comparison = compared(scene)
    assert comparison.same
    assert [text for text, _ in diff.lines(comparison)] == [
        "gpu-1: release r2 is in force",
        "  a deploy would change nothing",
        "  everything is as the record has it",
    ]
    assert diff.as_result(comparison)["same"] is True


def test_a_bare_server_is_told_what_a_deploy_would_place(tmp_path: Path) -> None:
    comparison = compared(bare(tmp_path))
    texts = [text for text, _ in diff.lines(comparison)]
    assert texts[:3] == [
        "gpu-1: no release yet",
        "  annotation-queue: a deploy places it: nothing is there yet",
        "      nothing → 1.1 (sha256:11)",
    ]
    assert "  training: a deploy moves its local tag: its next run starts from another image" in texts
    assert not comparison.same


def test_a_service_without_an_image_is_no_change(scene: Scene) -> None:
    without = scene.in_no_container()
    seen = scene.seeing(digests={name: one for name, one in scene.look.digests.items() if name != TRAINING})
    seen = seen.seeing(batches={TRAINING: BatchState()})
    compared = diff.compare(scene.inventory, scene.resolved, [without], seen.look, order())
    assert (compared.changes, compared.drift) == ((), ())


def test_another_image_is_named_by_tag_and_digest_from_and_to(scene: Scene) -> None:
    moved = scene.seeing(digests={**scene.look.digests, QUEUE: image("queue", "11"), TRAINING: image("training", "11")})
    queue, second, training = compared(moved).changes
    assert (queue.change, second.change, training.change) == ("replace", "none", "tag")
    assert queue.reason == "its spec differs (image)"
    assert queue.before == Version("tag-r2", image("queue", "2"))
    assert queue.after == Version("1.1", image("queue", "11"))
    texts = [text for text, _ in diff.lines(compared(moved))]
    assert texts[1:3] == [
        "  annotation-queue: a deploy replaces what runs: its spec differs (image)",
        "      tag-r2 (sha256:2) → 1.1 (sha256:11)",
    ]


def tagged(scene: Scene, tag: str, digest: str) -> Scene:
    """The release in force has brought the queue under a tag, and the registry holds another image for it now."""
    placed = placed_as(scene, QUEUE, tag=tag, image=image("queue", digest))
    return placed.seeing(digests={**scene.look.digests, QUEUE: image("queue", "11")})


def test_a_tag_that_names_another_image_than_it_did_is_told_with_both(scene: Scene) -> None:
    comparison = compared(tagged(scene, "1.1", "2"))
    assert comparison.changes[0].moved
    texts = [text for text, _ in diff.lines(comparison)]
    assert texts[2:4] == [
        "      1.1 (sha256:2) → 1.1 (sha256:11)",
        "      the tag 1.1 has moved since its deploy: sha256:2 is deployed, sha256:11 is pushed",
    ]
    assert diff.as_result(comparison)["changes"][0]["moved"] is True


@pytest.mark.parametrize(
    ("tag", "digest"), [("1.0", "2"), ("1.1", "11"), ("sha256:2", "2")], ids=["another-tag", "same-image", "pinned"]
)
def test_a_tag_has_not_moved_where_another_was_deployed_or_it_names_the_same(
    scene: Scene, tag: str, digest: str
) -> None:
    assert not compared(tagged(scene, tag, digest)).changes[0].moved


def test_what_the_registry_does_not_say_is_not_known_and_no_sameness(scene: Scene) -> None:
    digests = {name: digest for name, digest in scene.look.digests.items() if name != QUEUE}
    row = Check(f"{QUEUE} image", CRITICAL, "the registry has no such image")
    unseen = scene.seeing(digests=digests, rows=(row,))
    change = compared(unseen).changes[0]
    assert (change.change, change.reason, change.after) == ("unknown", row.sentence, None)
    assert not compared(unseen).same


def test_a_variable_that_is_missing_leaves_open_what_a_deploy_would_do(scene: Scene) -> None:
    missing = dataclasses.replace(scene, resolved=dataclasses.replace(scene.resolved, missing=(".env: A is not set",)))
    queue, second, _ = compared(missing).changes
    assert (queue.change, queue.reason) == ("unknown", ".env: A is not set")
    assert second.change == "none"


def test_a_place_that_somebody_else_holds_is_refused_as_a_deploy_would(scene: Scene) -> None:
    foreign = scene.seeing(occupants={QUEUE: (occupant(scene, QUEUE, "r2", ours=False, container="f" * 64),)})
    change = compared(foreign).changes[0]
    assert change.change == "refused"
    assert change.reason.startswith(f"the place of {QUEUE} is held by a container this tool did not make")


def test_a_variable_that_differs_is_told_with_who_deployed_the_other_one(scene: Scene) -> None:
    differing = scene.seeing(variables={"QUEUE_PASSWORD": "bbbb"})
    (sentence,) = compared(differing).variables
    assert sentence == "QUEUE_PASSWORD differs from what ann deployed at 2026-04-20 09:00 (release r1)"
    assert not compared(differing).same


@pytest.mark.parametrize(
    ("held", "kind", "sentence"),
    [
        ((), "gone", "its container annotation-q is gone"),
        ({"running": False}, "stopped", "its container does not run"),
        ({"name": "by-hand"}, "renamed", 'its container is named "by-hand"'),
        ({"restart": "no"}, "restart-policy", "its restart policy is no, and was unless-stopped"),
    ],
)
def test_what_became_of_its_container_is_drift(scene: Scene, held: Any, kind: str, sentence: str) -> None:
    left = tuple(one for one in scene.look.containers if one != f"{QUEUE}-r2") if not held else scene.look.containers
    there = (occupant(scene, QUEUE, "r2", **held),) if held else ()
    occupants = {**scene.look.occupants, QUEUE: there}
    assert (QUEUE, kind, sentence) in found(scene.seeing(occupants=occupants, containers=left))


def test_a_container_that_was_renamed_away_is_not_gone(scene: Scene) -> None:
    away = scene.seeing(occupants={**scene.look.occupants, QUEUE: ()})
    assert (QUEUE, "renamed", "its container annotation-q was renamed, and does not run") in found(away)


def test_another_container_in_its_place_is_drift(scene: Scene) -> None:
    by_hand = occupant(scene, QUEUE, "r2", ours=False, container="f" * 64)
    gone = scene.seeing(occupants={**scene.look.occupants, QUEUE: (by_hand,)}, containers=())
    assert found(gone)[:2] == [
        (QUEUE, "stray", f"{QUEUE} (ffffffffffff, not made by this tool) holds its place"),
        (QUEUE, "gone", "its container annotation-q is gone"),
    ]
    assert compared(gone).drift[0].hint == "fab status says more; fab deploy --adopt replaces it"
    ours = occupant(scene, QUEUE, "r1")
    stray = scene.seeing(occupants={**scene.look.occupants, QUEUE: (ours,)})
    assert found(stray)[0] == (QUEUE, "stray", f"{QUEUE} (annotation-q, made by release r1) holds its place")


def test_a_stop_that_was_meant_is_told_with_who_meant_it(scene: Scene) -> None:
    halted = {**scene.look.occupants, QUEUE: (occupant(scene, QUEUE, "r2", running=False),)}
    stop = {QUEUE: IntendedStop("bob", "2026-04-20T09:30:00Z", "the disk is full")}
    sentence = "bob stopped it on purpose at 2026-04-20 09:30 (the disk is full)"
    assert found(scene.seeing(occupants=halted, stopped=stop)) == [(QUEUE, "stopped", sentence)]


@pytest.mark.parametrize(
    ("present", "sentence"),
    [
        ({QUEUE: "aaaa"}, None),
        ({QUEUE: "bbbb"}, "/azaion/config.yaml is not as its release has put it: somebody has edited it"),
        ({}, "/azaion/config.yaml is gone, or cannot be read"),
    ],
)
def test_a_config_that_is_not_that_of_the_release_is_drift(
    scene: Scene, present: dict[str, str], sentence: str | None
) -> None:
    known = placed_as(scene, QUEUE, config=CONFIG, config_hash="aaaa").seeing(configs=present)
    assert found(known) == ([(QUEUE, "config", sentence)] if sentence else [])


@pytest.mark.parametrize("change", [{"config": CONFIG}, {"config_hash": "aaaa"}])
def test_a_config_of_which_nothing_is_known_is_none(scene: Scene, change: dict[str, Any]) -> None:
    assert found(placed_as(scene, QUEUE, **change)) == []


def test_a_local_tag_that_somebody_moved_is_drift(scene: Scene) -> None:
    moved = scene.seeing(batches={TRAINING: BatchState("sha256:training-r1")})
    sentence = "training:current is tag-r1 (sha256:1), and the release put tag-r2 (sha256:2) there"
    assert found(moved) == [(TRAINING, "local-tag", f"{REPOSITORY}{sentence}")]
    assert compared(moved).drift[0].hint == f"docker tag {image('training', '2')} {REPOSITORY}training:current"
    ((_, kind, gone),) = found(scene.seeing(batches={TRAINING: BatchState()}))
    assert (kind, "names no image any more" in gone) == ("local-tag", True)


def test_an_image_that_a_rollback_would_have_to_pull_is_drift(scene: Scene) -> None:
    without = {
        name: held for name, held in scene.look.images.items() if "sha256:1" not in name and "queue-r1" not in name
    }
    kinds = [(service, kind, sentence) for service, kind, sentence in found(scene.seeing(images=without))]
    pulled = "the image of release r1 (tag-r1) is gone: a rollback would have to pull it"
    assert kinds == [(QUEUE, "image-gone", pulled), (SECOND, "image-gone", pulled)]


def test_a_service_that_hosts_yaml_does_not_name_any_more_is_drift(scene: Scene) -> None:
    release = scene.look.record.releases[0]
    services = {**release.services, "old-queue": release.services[QUEUE]}
    known = scene.with_record(releases=(dataclasses.replace(release, services=services),))
    unlisted = ("old-queue", "unlisted", "it is part of release r2, and hosts.yaml does not name it")
    assert found(known) == [unlisted]
    assert compared(known, QUEUE).drift == ()


def test_what_makes_the_comparison_uncertain_is_said_first(scene: Scene) -> None:
    run = RunState("r9", "under-way", "deploy", "bob", "10:00", "watching")
    damaged = Check("record", WARNING, "release r0 cannot be read")
    texts = [text for text, _ in diff.lines(compared(scene.seeing(run=run, rows=(damaged,))))]
    assert texts[1:3] == [
        "  release r0 cannot be read",
        "  deploy r9 by bob is under way: what is seen here may be half done",
    ]
