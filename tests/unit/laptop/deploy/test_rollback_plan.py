"""What a rollback will do, decided from the record and a look."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.deploy import plan_text
from gpu_runbook.laptop.deploy.plan import images_to_fetch, nothing_to_do
from gpu_runbook.laptop.deploy.rollback_plan import rollback_plan
from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inventory.model import Consumer
from gpu_runbook.protocol.plan import ConfigFile, Plan
from gpu_runbook.protocol.record import Release
from gpu_runbook.protocol.snapshot import BatchState
from tests.unit.scene import QUEUE, SECOND, TRAINING, Scene, bare, deployed, image, occupant, order


def planned(scene: Scene, *services: str, to: str = "") -> Plan:
    chosen = scene.only(*services) if services else scene.services
    return rollback_plan(scene.inventory, scene.resolved, chosen, scene.look, order(to=to))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return deployed(tmp_path, "r3", "r2", "r1")


def marked(scene: Scene, *left: str) -> Scene:
    """The same with releases that were rolled back from."""
    releases = tuple(
        dataclasses.replace(entry, left="run" if entry.id in left else "") for entry in scene.look.record.releases
    )
    return scene.with_record(releases=releases)


def in_place(scene: Scene, release: str) -> Scene:
    return scene.seeing(occupants={name: (occupant(scene, name, release),) for name in (QUEUE, SECOND)})


def without(scene: Scene, *containers: str) -> Scene:
    return scene.seeing(containers=tuple(entry for entry in scene.look.containers if entry not in containers))


def placed_as(scene: Scene, release: str, service: str, **change: Any) -> Scene:
    """The same with one service of one release on record changed."""

    def changed(entry: Release) -> Release:
        services = dict(entry.services)
        services[service] = dataclasses.replace(services[service], **change)
        return dataclasses.replace(entry, services=services) if entry.id == release else entry

    return scene.with_record(releases=tuple(map(changed, scene.look.record.releases)))


def test_it_goes_to_the_release_before_with_the_containers_that_are_still_there(scene: Scene) -> None:
    plan = planned(scene)
    assert (plan.action, plan.release, plan.leaves, plan.id != "r2") == ("rollback", "r2", "r3", True)
    queue, second = plan.consumers
    assert (queue.change, queue.container, queue.tag) == ("replace", f"{QUEUE}-r2", "tag-r2")
    assert (second.change, second.container) == ("replace", f"{SECOND}-r2")
    assert (plan.batches[0].change, plan.batches[0].image) == ("tag", "sha256:training-r2")
    assert images_to_fetch(plan, scene.look) == []


@pytest.mark.parametrize(
    ("current", "left", "target"),
    [("r3", (), "r2"), ("r2", ("r3",), "r1"), ("r3", ("r2",), "r1"), ("", (), "r3"), ("", ("r3",), "r2")],
)
def test_it_goes_further_back_and_never_to_what_was_left(
    scene: Scene, current: str, left: tuple[str, ...], target: str
) -> None:
    there = in_place(marked(scene, *left), current) if current else marked(scene, *left).seeing(occupants={})
    assert planned(there.with_record(current=current)).release == target


def test_a_marked_release_is_taken_when_it_is_named(scene: Scene) -> None:
    there = in_place(marked(scene, "r3"), "r2").with_record(current="r2")
    assert planned(there, to="r3").release == "r3"


def test_a_release_that_is_not_on_record_is_bad_input_and_the_known_are_named(scene: Scene) -> None:
    with pytest.raises(BadInput, match="gpu-1 has no release r9") as caught:
        planned(scene, to="r9")
    assert caught.value.hint == "known: r3, r2, r1"
    with pytest.raises(BadInput, match=r'^gpu-1 has no release r33; did you mean "r3"\?$'):
        planned(scene, to="r33")


def test_where_there_is_nothing_to_go_back_to_it_is_refused(tmp_path: Path) -> None:
    for scene in (bare(tmp_path), deployed(tmp_path, "r1")):
        with pytest.raises(Refused, match="gpu-1 has no earlier release to go back to"):
            planned(scene)


def test_from_a_failed_release_that_was_left_running_it_goes_to_the_one_on_record(scene: Scene) -> None:
    failed = scene.seeing(occupants={QUEUE: (occupant(scene, QUEUE, "r9"),)})
    plan = planned(failed, QUEUE)
    assert (plan.release, plan.consumers[0].change) == ("r3", "replace")


def test_a_service_that_the_last_deploy_left_alone_does_not_pass_for_a_failed_one(scene: Scene) -> None:
    partial = placed_as(scene, "r3", SECOND, container=f"{SECOND}-r2")
    there = partial.seeing(occupants={QUEUE: (occupant(scene, QUEUE, "r3"),), SECOND: (occupant(scene, SECOND, "r2"),)})
    plan = planned(there)
    assert plan.release == "r2"
    assert {step.service: step.change for step in plan.consumers} == {QUEUE: "replace", SECOND: "none"}


def test_to_what_is_in_force_there_is_nothing_to_do(scene: Scene) -> None:
    assert nothing_to_do(planned(scene, to="r3"))


def test_settings_and_config_are_those_of_then_and_the_watch_is_that_of_today(scene: Scene) -> None:
    config = ConfigFile("/azaion/old.yaml", "1000:1000")
    step = planned(placed_as(scene, "r1", QUEUE, config=config), QUEUE, to="r1").consumers[0]
    assert (step.restart, step.config, step.config_from) == ("always", config, "r1")
    today = scene.inventory.services[QUEUE]
    assert isinstance(today, Consumer)
    assert (step.stop_grace, step.watch.failure_text) == (today.stop_grace, today.watch.failure_text)
    without_config = planned(scene, QUEUE).consumers[0]
    assert (without_config.config, without_config.config_from) == (None, "")


def test_a_container_that_was_removed_is_made_anew_from_its_image(scene: Scene) -> None:
    gone = without(scene, f"{QUEUE}-r2")
    plan = planned(gone, QUEUE)
    step = plan.consumers[0]
    assert step.spec is not None
    assert (step.container, step.spec.image) == ("", image("queue", "2"))
    assert images_to_fetch(plan, gone.look) == []


def test_an_image_that_lost_its_digest_is_taken_by_its_id(scene: Scene) -> None:
    images = {**scene.look.images, image("queue", "2"): ""}
    gone = without(scene, f"{QUEUE}-r2").seeing(images=images)
    plan = planned(gone, QUEUE)
    assert plan.consumers[0].spec is not None
    assert plan.consumers[0].spec.image == "sha256:queue-r2"
    assert images_to_fetch(plan, gone.look) == []


def test_only_an_image_that_is_gone_is_pulled_by_its_digest(scene: Scene) -> None:
    gone = without(scene, f"{QUEUE}-r2").seeing(images={})
    assert images_to_fetch(planned(gone, QUEUE), gone.look) == [image("queue", "2")]


def test_an_adopted_container_that_was_removed_cannot_come_back(scene: Scene) -> None:
    adopted = without(placed_as(scene, "r2", QUEUE, spec=None), f"{QUEUE}-r2")
    with pytest.raises(Refused, match=r"the adopted container .* of annotation-queue was removed"):
        planned(adopted, QUEUE)


def test_a_foreign_container_in_the_place_is_refused(scene: Scene) -> None:
    foreign = occupant(scene, QUEUE, "r3", ours=False, container="f" * 64, release="")
    with pytest.raises(Refused, match="held by a container this tool did not make"):
        planned(scene.seeing(occupants={QUEUE: (foreign,)}), QUEUE)


def test_an_empty_place_is_filled(scene: Scene) -> None:
    step = planned(scene.seeing(occupants={}), QUEUE).consumers[0]
    assert (step.change, step.old) == ("place", None)


def test_what_stands_still_in_its_own_place_is_started_again(scene: Scene) -> None:
    stopped = scene.seeing(occupants={QUEUE: (occupant(scene, QUEUE, "r3", running=False),)})
    step = planned(stopped, QUEUE, to="r3").consumers[0]
    assert (step.change, step.container) == ("replace", f"{QUEUE}-r3")


def test_a_batch_image_that_is_gone_is_taken_from_the_registry(scene: Scene) -> None:
    gone = scene.seeing(images={})
    plan = planned(gone, TRAINING)
    assert plan.batches[0].image == image("training", "2")
    assert images_to_fetch(plan, gone.look) == [image("training", "2")]
    there = scene.seeing(batches={TRAINING: BatchState("sha256:training-r2")})
    assert planned(there, TRAINING).batches[0].change == "none"


def test_a_service_that_has_no_image_any_more_is_in_no_plan(scene: Scene) -> None:
    services = [*scene.only(QUEUE), scene.in_no_container()]
    plan = rollback_plan(scene.inventory, scene.resolved, services, scene.look, order())
    assert ([step.service for step in plan.consumers], plan.batches) == ([QUEUE], ())


def test_the_plan_names_the_release_and_creates_nothing(scene: Scene) -> None:
    plan = planned(placed_as(scene, "r2", QUEUE, config=ConfigFile("/azaion/config.yaml")), QUEUE)
    said = list(plan_text.lines(plan, scene.look, with_commands=True))
    assert said[0] == f"gpu-1: rollback {plan.id}, release r2"
    assert "    config /azaion/config.yaml, as release r2 had it" in said
    assert not any("docker create" in line for line in said)
    assert f"    $ docker rename {QUEUE}.r2 {QUEUE}" in said
