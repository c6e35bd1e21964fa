"""Which rows hold a deploy back, which may be gone past, and what .env's row says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from gpu_runbook.laptop.deploy import preflight
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory.gate_entries import Ci
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.snapshot import BatchState
from tests.unit.scene import QUEUE, SECOND, TRAINING, Scene, bare, deployed, image


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return deployed(tmp_path, "r3", "r2", "r1")


def rows(*levels: tuple[str, str]) -> list[Check]:
    return [Check(name, level, f"{name} says") for name, level in levels]


def held_back(scene: Scene, found: Sequence[Check], *services: str) -> list[str]:
    chosen = scene.only(*services) if services else scene.services
    return [row.name for row in preflight.blocking(found, chosen, scene.look)]


def test_rows_that_are_critical_or_unknown_hold_a_deploy_back(scene: Scene) -> None:
    found = rows(("a", OK), ("b", WARNING), ("c", CRITICAL), ("d", UNKNOWN), ("e", SKIPPED))
    assert held_back(scene, found) == ["c", "d"]


def test_an_unknown_training_holds_back_the_image_of_its_next_run_and_nothing_else(scene: Scene) -> None:
    unknown, critical = rows((TRAINING, UNKNOWN)), rows((TRAINING, CRITICAL))
    assert held_back(scene, unknown) == []  # the next run keeps its image
    moved = scene.seeing(batches={TRAINING: BatchState("sha256:older")})
    assert held_back(moved, unknown) == [TRAINING]
    assert held_back(moved, critical) == []


def test_a_service_without_an_image_has_no_row_of_one_and_holds_nothing_back(scene: Scene) -> None:
    without = scene.in_no_container()
    seen = scene.seeing(digests={}, batches={TRAINING: BatchState(unseen="they hide")})
    assert [*preflight.blocking(rows((TRAINING, UNKNOWN)), [without], seen.look)] == []
    assert "training image" not in preflight.names(scene.inventory, [without])
    assert TRAINING in preflight.names(scene.inventory, [without])


def test_gpus_hold_back_only_what_uses_them(tmp_path: Path) -> None:
    scene = bare(tmp_path)
    found = rows(("NVIDIA driver", CRITICAL), ("docker GPU support", UNKNOWN))
    assert held_back(scene, found) == []
    training = dataclasses.replace(scene.inventory.services[TRAINING], gpus="all")
    assert [row.name for row in preflight.blocking(found, [training], scene.look)] == [row.name for row in found]


def skips(scene: Scene, *named: str, reason: str | None = "we know") -> dict[str, str]:
    inventory = dataclasses.replace(scene.inventory, ci=Ci(forge="github"))
    return preflight.skips(inventory, scene.services, named, reason)


def test_a_row_is_named_in_any_case_and_kept_with_its_reason(scene: Scene) -> None:
    assert skips(scene, "training  ci", "Disk space") == {"training CI": "we know", "disk space": "we know"}
    assert skips(scene, reason=None) == {}


@pytest.mark.parametrize(
    ("named", "reason", "sentence"),
    [
        (["trainin CI"], "why", r'there is no row "trainin CI".*training CI'),
        (["training scan"], "why", "there is no row"),  # hosts.yaml says nothing of a scan
        (["disk space"], None, "--skip and --reason are given together"),
        ([], "why", "--skip and --reason are given together"),
        (["root"], "why", "cannot do without the row root"),
        ([f"{QUEUE} image"], "why", f"cannot do without the row {QUEUE} image"),
    ],
)
def test_a_skip_that_makes_no_sense_is_bad_input(
    scene: Scene, named: list[str], reason: str | None, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        skips(scene, *named, reason=reason)


def test_what_is_gone_past_is_shown_as_skipped_with_what_it_said_and_why(scene: Scene) -> None:
    found = rows(("training CI", CRITICAL), ("disk space", OK), ("sessions", CRITICAL))
    chosen = {"training CI": "the runner is down", "disk space": "whatever"}
    shown = preflight.with_skips(found, chosen)
    assert [row.level for row in shown] == [SKIPPED, OK, CRITICAL]
    assert shown[0].sentence == "critical: training CI says (gone past: the runner is down)"
    assert preflight.gone_past(found, chosen) == {"training CI": "the runner is down"}
    assert held_back(scene, shown) == ["sessions"]


def test_the_rows_stand_in_the_order_of_the_checklist(scene: Scene) -> None:
    names = ["disk space", "NVIDIA driver", TRAINING, "tree", ".env", f"{QUEUE} image", "CI", f"{QUEUE} scan", "root"]
    found = preflight.ordered(rows(*((name, OK) for name in names)), scene.services)
    expected = [
        "CI",
        f"{QUEUE} scan",
        f"{QUEUE} image",
        ".env",
        "tree",
        TRAINING,
        "NVIDIA driver",
        "disk space",
        "root",
    ]
    assert [row.name for row in found] == expected


def test_variables_without_a_value_are_critical_and_named(scene: Scene) -> None:
    missing = dataclasses.replace(scene.resolved, missing=(".env: A is not set; needed by config.yaml.j2",))
    row = preflight.env_row(missing, scene.look)
    assert (row.level, row.sentence) == (CRITICAL, missing.missing[0])


def test_variables_as_deployed_are_fine_and_so_are_those_of_a_first_deploy(scene: Scene, tmp_path: Path) -> None:
    assert preflight.env_row(scene.resolved, scene.look).level == OK
    (tmp_path / "new").mkdir()
    fresh = bare(tmp_path / "new")
    assert preflight.env_row(fresh.resolved, fresh.look).level == OK


def test_a_variable_that_differs_is_named_with_who_brought_the_present_value_and_when(scene: Scene) -> None:
    releases = [
        dataclasses.replace(one, who=who, at=f"2026-04-{day}T09:30:00Z", variables={"QUEUE_PASSWORD": value})
        for one, who, day, value in zip(
            scene.look.record.releases, ("cid", "bob", "ann"), (22, 21, 20), ("now", "now", "before"), strict=True
        )
    ]
    seen = scene.with_record(releases=tuple(releases)).seeing(variables={"QUEUE_PASSWORD": "mine", "NEW": "x"})
    row = preflight.env_row(seen.resolved, seen.look)
    assert row.level == WARNING
    assert row.sentence == (
        "QUEUE_PASSWORD differs from what bob deployed at 2026-04-21 09:30 (release r2); NEW is new"
    )


def test_variables_are_counted_as_people_count(scene: Scene) -> None:
    assert preflight.env_row(scene.resolved, scene.look).sentence == "1 variable, as in release r3"
    two = scene.seeing(variables={"A": "a", "B": "b"}).with_record(releases=())
    assert preflight.env_row(two.resolved, two.look).sentence.startswith("2 variables; ")


def test_what_is_wrong_with_a_skip_is_shown_with_a_row_that_is_there(scene: Scene) -> None:
    for rows, reason, example in ((["disk space"], None, "disk space"), ([], "why", f"{QUEUE} image")):
        with pytest.raises(BadInput) as caught:
            preflight.skips(scene.inventory, scene.services, rows, reason)
        assert caught.value.hint == f'fab deploy --skip "{example}" --reason "…"'


def with_tags(scene: Scene, *tags: tuple[str, bool, str]) -> Scene:
    """The queue's tag in each release, the newest first: whether it was given, and by whom."""
    releases = []
    for release, (tag, given, who) in zip(scene.look.record.releases, tags, strict=True):
        placed = dataclasses.replace(release.services[QUEUE], tag=tag, given=given)
        releases.append(dataclasses.replace(release, who=who, services={**release.services, QUEUE: placed}))
    return scene.with_record(releases=tuple(releases))


def test_a_tag_that_was_given_and_that_hosts_yaml_takes_back_is_a_warning_with_who_gave_it(scene: Scene) -> None:
    wanted = {service.name: service.tag for service in scene.services}
    own = wanted[QUEUE]
    seen = with_tags(scene, ("2.5", True, "bob"), ("2.5", True, "ann"), ("2.5", False, "cid"))
    seen = seen.seeing(digests={QUEUE: image("queue", "1")})
    (row,) = preflight.tag_rows(seen.services, seen.look, wanted)
    assert (row.name, row.level) == (f"{QUEUE} tag", WARNING)
    assert row.sentence == (
        "2.5 is in force, which ann gave with --tag at 2026-04-20 09:00 UTC; "
        f"hosts.yaml says {own}, and a deploy puts that in its place"
    )
    assert row.hint == f"to keep it, take it over into hosts.yaml, or give --tag {QUEUE}=2.5 again"
    assert [*preflight.tag_rows(seen.services, seen.look, {**wanted, QUEUE: "2.6"})] == []  # it is given again
    same = seen.seeing(digests={QUEUE: seen.look.record.releases[0].services[QUEUE].image})
    assert [*preflight.tag_rows(same.services, same.look, wanted)] == []
    for tag, given in (("2.5", False), (own, True)):  # an edited hosts.yaml; one that has caught up
        quiet = with_tags(scene, (tag, given, "bob"), ("1", False, "ann"), ("1", False, "ann"))
        assert [*preflight.tag_rows(quiet.services, quiet.look, wanted)] == []


def test_before_the_first_release_no_tag_was_given(tmp_path: Path) -> None:
    scene = bare(tmp_path)
    assert [*preflight.tag_rows(scene.services, scene.look, {QUEUE: "1.0"})] == []


def test_every_row_has_a_name_that_can_be_skipped_or_is_said_to_be_needed(scene: Scene) -> None:
    named = preflight.names(scene.inventory, scene.services)
    assert len(named) == len(set(named))
    assert {f"{SECOND} image", TRAINING, ".env", "tree", "NVIDIA driver"} <= set(named)


def test_a_consumer_that_docker_has_forgotten_holds_back_even_a_rollback() -> None:
    said = Check(QUEUE, CRITICAL, "docker does not know it any more", {"forgotten": "c" * 64})
    assert preflight.rules_out(said)
    assert not preflight.rules_out(dataclasses.replace(said, figures={}))
