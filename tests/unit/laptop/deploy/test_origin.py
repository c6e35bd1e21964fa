"""The rows of images: what a tag names now, where that came from, and what is not known."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gpu_runbook.laptop.deploy import origin
from gpu_runbook.protocol.check import CRITICAL, OK, Check
from gpu_runbook.protocol.snapshot import ImageIdentity
from tests.unit.scene import QUEUE, SECOND, TRAINING, Scene

NOW = f"registry.lan:5000/azaion/queue@sha256:{'1' * 64}"
THEN = f"registry.lan:5000/azaion/queue@sha256:{'2' * 64}"
TAGS = {QUEUE: "dev", SECOND: "dev", TRAINING: "dev"}
COMMIT = "1a2b3c4d" + "0" * 32
BUILT = ImageIdentity(revision=COMMIT, built="2026-11-28T09:15:30Z", platform="linux/amd64")


def row(scene: Scene, known: ImageIdentity | None, tag: str = "1.0", image: str = THEN, why: str = "") -> Check:
    """The queue's row, whose release in force brought this image under this tag."""
    release = scene.look.record.releases[0]
    services = {**release.services, QUEUE: dataclasses.replace(release.services[QUEUE], tag=tag, image=image)}
    scene = scene.with_record(releases=(dataclasses.replace(release, services=services),))
    found = Check(f"{QUEUE} image", OK, "registry.lan:5000/azaion/queue:dev is sha256:111111111111", {"digest": "1"})
    look = dataclasses.replace(
        scene.look, digests={QUEUE: NOW}, identities={NOW: known} if known else {}, rows=(Check("tree", OK, "x"), found)
    )
    first, second = origin.with_rows(look, TAGS, {NOW: why} if why else {}).rows
    assert first == look.rows[0]
    assert second.sentence.startswith(found.sentence)
    assert {**found.figures, **second.figures} == second.figures
    return dataclasses.replace(second, sentence=second.sentence[len(found.sentence) :])


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (BUILT, " for linux/amd64; built 2026-11-28 09:15 from commit 1a2b3c4d"),
        (
            dataclasses.replace(BUILT, manifest=f"sha256:{'7' * 64}"),
            ", of which linux/amd64 is sha256:777777777777; built 2026-11-28 09:15 from commit 1a2b3c4d",
        ),
        (ImageIdentity(built="2026-11-28T09:15:30Z"), "; built 2026-11-28 09:15, from a commit that it does not name"),
        (ImageIdentity(revision=COMMIT), "; built from commit 1a2b3c4d"),
        (ImageIdentity(revision="v1.2 (dirty)"), '; built from "v1.2 (dirty)", which is no commit'),
        (ImageIdentity(), "; it does not say when it was built, nor from which commit"),
    ],
    ids=["one-platform", "several", "no-commit", "no-time", "no-such-commit", "nothing"],
)
def test_a_row_says_where_an_image_came_from(scene: Scene, known: ImageIdentity, says: str) -> None:
    assert row(scene, known).sentence == says.strip()


def test_what_the_registry_does_not_tell_is_told_with_why(scene: Scene) -> None:
    says = "; when it was built is not known before it is pulled (the registry wants a login)"
    assert row(scene, None, why="the registry wants a login").sentence == says


def test_a_tag_that_moved_is_told_with_the_release_that_it_moved_from(scene: Scene) -> None:
    found = row(scene, BUILT, "dev")
    assert found.sentence.endswith("; the tag has moved since release r2, which is of sha256:222222222222")
    assert found.figures["moved"] is True
    for tag, image in (("1.0", THEN), ("dev", NOW)):
        found = row(scene, BUILT, tag, image)
        assert ("moved" in found.sentence, found.figures["moved"]) == (False, False)


def test_a_tag_that_moved_for_another_platform_alone_is_told_apart(scene: Scene) -> None:
    """Its image for this server is the one of the release in force, by the id that the server has of that."""
    held = scene.look.record.releases[0].services[QUEUE].image_id
    same = dataclasses.replace(BUILT, id=held)
    assert row(scene, same, "dev").sentence.endswith("; what it holds for linux/amd64 is still the same image")
    assert "still the same" not in row(scene, BUILT, "dev").sentence
    assert "still the same" not in row(scene, same, "1.0").sentence


def test_machines_are_told_all_of_it(scene: Scene) -> None:
    known = dataclasses.replace(BUILT, manifest=f"sha256:{'7' * 64}")
    assert row(scene, known).figures == {
        "digest": "1",
        "moved": False,
        "platform": "linux/amd64",
        "manifest": f"sha256:{'7' * 64}",
        "built": "2026-11-28T09:15:30Z",
        "revision": COMMIT,
    }


def test_a_row_that_is_not_well_stays_as_it_is(scene: Scene) -> None:
    bad = Check(f"{QUEUE} image", CRITICAL, "made for linux/arm64", hint="build it")
    look = dataclasses.replace(scene.look, digests={QUEUE: NOW}, rows=(bad,))
    assert origin.with_rows(look, TAGS, {}).rows == (bad,)


def test_nothing_is_asked_about_images_that_are_on_the_server(scene: Scene) -> None:
    look = dataclasses.replace(scene.look, digests={QUEUE: NOW}, identities={NOW: BUILT}, rows=())
    nobody: Any = None
    assert origin.told(nobody, scene.resolved, look, TAGS) == look
