"""What a deploy will do, decided from hosts.yaml and a look."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.deploy import plan as plans
from gpu_runbook.laptop.deploy import plan_text
from gpu_runbook.laptop.deploy.plan import Order, changed_variables, deploy_plan, images_to_fetch, nothing_to_do
from gpu_runbook.laptop.errors import Refused
from gpu_runbook.laptop.inventory.entries import HealthCheckEntry
from gpu_runbook.laptop.inventory.model import Consumer
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.plan import BatchStep, ConsumerStep, HealthCheck, Plan, Spec, spec_hash
from gpu_runbook.protocol.processes import ProcessRun
from gpu_runbook.protocol.record import Placed
from gpu_runbook.protocol.snapshot import BatchState
from tests.unit.scene import QUEUE, SECOND, TRAINING, Scene, bare, image, occupant, order


def planned(scene: Scene, *services: str, **more: Any) -> Plan:
    chosen = scene.only(*services) if services else scene.services
    return deploy_plan(scene.inventory, scene.resolved, chosen, scene.look, order(**more))


def changes(plan: Plan) -> dict[str, str]:
    steps: list[ConsumerStep | BatchStep] = [*plan.consumers, *plan.batches]
    return {step.service: step.change for step in steps}


def reason(plan: Plan) -> str:
    return plan.consumers[0].reason


def test_a_first_deploy_places_everything(tmp_path: Path) -> None:
    scene = bare(tmp_path)
    plan = planned(scene)
    assert changes(plan) == {QUEUE: "place", SECOND: "place", TRAINING: "tag"}
    assert plan.release == plan.id
    assert (plan.action, plan.server, plan.root, plan.leaves, plan.keep_releases) == (
        *("deploy", "gpu-1", "/azaion", "", 3),
    )
    assert images_to_fetch(plan, scene.look) == [image("queue", "11"), image("training", "11")]


def test_what_is_there_already_is_left_alone(scene: Scene) -> None:
    plan = planned(scene)
    assert changes(plan) == {QUEUE: "none", SECOND: "none", TRAINING: "none"}
    assert nothing_to_do(plan)
    assert images_to_fetch(plan, scene.look) == []


def test_force_replaces_what_would_be_left_alone_and_only_consumers(scene: Scene) -> None:
    plan = planned(scene, force=True)
    assert changes(plan) == {QUEUE: "replace", SECOND: "replace", TRAINING: "none"}
    assert reason(plan) == "--force"
    assert not nothing_to_do(plan)


def test_a_new_digest_is_a_reason(scene: Scene) -> None:
    moved = scene.seeing(digests={**scene.look.digests, QUEUE: image("queue", "3")})
    plan = planned(moved)
    assert changes(plan) == {QUEUE: "replace", SECOND: "none", TRAINING: "none"}
    assert reason(plan) == "its spec differs (image)"
    assert images_to_fetch(plan, moved.look) == [image("queue", "3")]


def test_a_changed_entry_of_the_spec_is_shown_with_both_values(scene: Scene) -> None:
    services = {**scene.inventory.services}
    services[QUEUE] = dataclasses.replace(services[QUEUE], memory="4g")
    inventory = dataclasses.replace(scene.inventory, services=services)
    plan = planned(dataclasses.replace(scene, inventory=inventory), QUEUE)
    assert reason(plan) == "its spec differs (memory '' -> '4g')"


def test_a_changed_healthcheck_is_told_as_hosts_yaml_has_it() -> None:
    spec = Spec("i")
    asked = dataclasses.replace(spec, healthcheck=HealthCheck("true", interval=60))
    there = Placed("consumer", "1", "", spec=spec)
    told = "its spec differs (healthcheck the image's own -> {command: 'true', interval: 60})"
    assert plans._spec_changes(there, asked) == told
    again = "its spec differs (healthcheck {command: 'true', interval: 60} -> {command: 'none'})"
    none = dataclasses.replace(spec, healthcheck=HealthCheck("none"))
    assert plans._spec_changes(dataclasses.replace(there, spec=asked), none) == again


def test_of_changed_options_those_alone_are_told_that_differ() -> None:
    spec = dataclasses.replace(Spec("i"), options=("--init=true", "--shm-size=8g"))
    there = Placed("consumer", "1", "", spec=spec)
    more = dataclasses.replace(spec, options=("--init=true", "--shm-size=16g", "--cpus=2"))
    told = "its spec differs (options --shm-size=8g -> --shm-size=16g --cpus=2)"
    assert plans._spec_changes(there, more) == told
    none = "its spec differs (options --init=true --shm-size=8g -> none)"
    assert plans._spec_changes(there, Spec("i")) == none


def test_a_changed_config_names_its_variables_and_never_their_values(scene: Scene) -> None:
    other = scene.seeing(same_config={QUEUE: False}, variables={"QUEUE_PASSWORD": "bbbb", "NEW": "cccc"})
    plan = planned(other, QUEUE)
    assert reason(plan) == "its config differs (QUEUE_PASSWORD differs, NEW is new)"
    text = "\n".join(plan_text.lines(plan, other.look, with_commands=True))
    assert "hunter2" not in text + repr(plan)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"running": False}, "it does not run"),
        ({"name": "annotation-queue.r2"}, 'it is named "annotation-queue.r2"'),
        ({"container": "stray", "release": "r9"}, "it is not what the release on record put there"),
    ],
)
def test_what_is_not_as_a_good_deploy_left_it_is_replaced(scene: Scene, change: dict[str, Any], said: str) -> None:
    found = (occupant(scene, QUEUE, "r2", **change),)
    assert reason(planned(scene.seeing(occupants={QUEUE: found}), QUEUE)) == said


def test_a_service_that_the_last_deploy_left_alone_is_still_up_to_date(scene: Scene) -> None:
    newest = dataclasses.replace(scene.look.record.releases[0], id="r3")  # of another service: this one is r2's
    later = scene.with_record(current="r3", releases=(newest, *scene.look.record.releases))
    assert changes(planned(later, QUEUE)) == {QUEUE: "none"}


def test_a_foreign_container_is_refused_and_adopted_on_demand(scene: Scene) -> None:
    foreign = occupant(scene, QUEUE, "r2", ours=False, release="", spec="", container="f" * 64)
    taken = scene.seeing(occupants={QUEUE: (foreign,)})
    with pytest.raises(Refused) as caught:
        planned(taken, QUEUE)
    assert "gpu-1: the place of annotation-queue is held by a container this tool did not make" in str(caught.value)
    assert "--adopt" in caught.value.hint
    plan = planned(taken, QUEUE, adopt=True)
    assert (changes(plan), reason(plan)) == ({QUEUE: "replace"}, "it was not made by this tool")


@pytest.mark.parametrize("ours", [True, False])
def test_a_run_of_a_batch_service_in_a_place_is_left_alone_and_never_adopted(scene: Scene, ours: bool) -> None:
    known = "a run of training, by its label job=train"
    dressed, other = (occupant(scene, QUEUE, "r2", ours=ours, batch=batch) for batch in (known, ""))
    for adopt, found in ((False, (dressed,)), (True, (dressed,)), (False, (other, dressed))):
        with pytest.raises(Refused) as caught:
            planned(scene.seeing(occupants={QUEUE: found}), QUEUE, adopt=adopt)
        assert f"the container {QUEUE} is {known}: it is left alone; nothing was changed" in str(caught.value)
        assert "--adopt" not in caught.value.hint and "stop" not in caught.value.hint


def test_a_plan_names_whose_runs_are_left_alone(scene: Scene) -> None:
    (marks,) = planned(scene).left_alone
    assert (marks.service, marks.container, marks.image) == (TRAINING, "training", "registry.lan:5000/azaion/training")


def test_two_containers_in_one_place_are_refused(scene: Scene) -> None:
    both = (occupant(scene, QUEUE, "r2"), occupant(scene, QUEUE, "r1", name="annotation-queue.r1"))
    with pytest.raises(Refused, match=r'several containers .*: annotation-queue and "annotation-queue\.r1"'):
        planned(scene.seeing(occupants={QUEUE: both}), QUEUE)


def test_a_batch_service_is_only_ever_tagged(scene: Scene) -> None:
    moved = scene.seeing(batches={TRAINING: BatchState("sha256:older", (occupant(scene, QUEUE, "r1"),))})
    plan = planned(moved, TRAINING)
    assert (changes(plan), plan.consumers) == ({TRAINING: "tag"}, ())
    assert plan.batches[0].local_tag == "registry.lan:5000/azaion/training:current"
    assert images_to_fetch(plan, moved.look) == []


def test_without_hashes_on_record_no_variable_is_said_to_differ(scene: Scene) -> None:
    release = dataclasses.replace(scene.look.record.releases[0], variables={})
    assert changed_variables(scene.look, release) == changed_variables(scene.look, None) == []


def test_the_plan_shows_the_commands_in_the_order_of_the_swap(scene: Scene) -> None:
    moved = scene.seeing(digests={**scene.look.digests, QUEUE: image("queue", "3")})
    plan = planned(moved, QUEUE)
    said = list(plan_text.lines(plan, moved.look, with_commands=True))
    commands = [line.strip(" $") for line in said if "$ " in line]
    assert commands[0].startswith(f"docker create --name annotation-queue.{plan.id} --restart no")
    assert commands[1:] == [
        "docker update --restart no annotation-queue",
        "docker rename annotation-queue annotation-queue.r2",
        f"docker rename annotation-queue.{plan.id} annotation-queue",
        "docker stop -t 30 annotation-queue.r2",
        "mv (the staged config) /azaion/config.yaml",
        "docker start annotation-queue",
        "docker update --restart unless-stopped annotation-queue",
        f"docker tag {image('queue', '3')} gpu-runbook/kept:(its id)-(the state's mark)",
    ]
    assert "  annotation-queue tag-r2 → 1.1 replaces what runs: its spec differs (image)" in said
    assert "    stops  annotation-queue tag-r2 of release r2, put there by ann at 2026-04-20 09:00 UTC" in said


@pytest.mark.parametrize(
    ("change", "adopted", "stops"),
    [
        ({"release": "r9"}, False, "annotation-queue of release r9, which is not on record"),
        ({"ours": False, "release": "", "spec": ""}, False, "annotation-queue, which this tool did not make"),
        ({}, True, "annotation-queue tag-r2 of release r2, taken over by ann at 2026-04-20 09:00 UTC"),
    ],
    ids=["not on record", "not ours", "adopted"],
)
def test_what_stops_is_named_by_service_and_release_and_by_no_id(
    scene: Scene, change: dict[str, Any], adopted: bool, stops: str
) -> None:
    old = occupant(scene, QUEUE, "r2", container="f" * 64, **change)
    newest, *rest = scene.look.record.releases
    outcome = "adopted" if adopted else newest.outcome
    seen = scene.with_record(releases=(dataclasses.replace(newest, outcome=outcome), *rest))
    seen = seen.seeing(occupants={QUEUE: (old,)})
    said = list(plan_text.lines(planned(seen, QUEUE, adopt=True), seen.look, with_commands=False))
    assert f"    stops  {stops}" in said
    assert "f" * 12 not in "\n".join(said)


def test_a_tag_that_hosts_yaml_has_not_is_kept_as_given(scene: Scene) -> None:
    wanted = {service.name: service.tag for service in scene.services}
    other = {**wanted, QUEUE: "9.9", TRAINING: "9.9"}
    for tags, given in ((wanted, set()), (other, {QUEUE, TRAINING})):
        plan = deploy_plan(scene.inventory, scene.resolved, scene.services, scene.look, Order("ann", "laptop", tags))
        steps: list[ConsumerStep | BatchStep] = [*plan.consumers, *plan.batches]
        assert {step.service for step in steps if step.given} == given


def test_the_plan_says_what_is_up_to_date_and_that_training_runs_on(scene: Scene) -> None:
    run = occupant(scene, QUEUE, "r1", name="training")
    training = scene.seeing(batches={TRAINING: BatchState("sha256:older", (run,))})
    said = list(plan_text.lines(planned(training), training.look, with_commands=False))
    assert "  annotation-queue 1.1: up to date, nothing is stopped" in said
    assert "  training 2.0: for the next run only; training runs on untouched" in said


def test_the_plan_says_which_image_a_next_run_would_have_had(scene: Scene) -> None:
    later = scene.seeing(digests={**scene.look.digests, TRAINING: image("training", "3")})
    said = list(plan_text.lines(planned(later), later.look, with_commands=False))
    assert "  training tag-r2 → 2.0: for the next run only" in said


def test_the_plan_says_of_a_run_in_no_container_that_it_runs_on(scene: Scene) -> None:
    run = ProcessRun(7, "python train.py", "azaion", "2026-04-20T09:11:12Z")
    training = scene.seeing(batches={TRAINING: BatchState("sha256:older", processes=(run,))})
    said = list(plan_text.lines(planned(training), training.look, with_commands=False))
    where = 'process 7 ("python train.py") of azaion'
    assert f"  training 2.0: for the next run only; {where} runs on untouched" in said


def test_a_service_without_an_image_is_in_no_plan(scene: Scene) -> None:
    without = scene.in_no_container()
    asked = order()
    plan = deploy_plan(scene.inventory, scene.resolved, [*scene.only(QUEUE), without], scene.look, asked)
    assert (changes(plan), plan.batches) == ({QUEUE: "none"}, ())


@pytest.mark.parametrize("given", [{}, {"interval": 60, "start_period": 5}])
def test_what_the_laptop_plans_has_the_hash_that_the_server_gives_its_container(
    scene: Scene, given: dict[str, int]
) -> None:
    """Else every deploy would find another spec, and start the consumer again."""
    queue = scene.inventory.services[QUEUE]
    assert isinstance(queue, Consumer)
    asked = dataclasses.replace(queue, healthcheck=HealthCheckEntry(command="true", **given))
    spec = plans.make_spec(asked, "sha256:" + "1" * 64)
    there = decode(Spec, json.loads(json.dumps(encode(spec))), "spec")
    assert (spec_hash(there), there) == (spec_hash(spec), spec)
