"""What fab status says of a server, and the few things all tasks share."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.commands import status
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, Check
from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.processes import ProcessRun
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.snapshot import BatchState, Wanted
from gpu_runbook.server.checks import preflight
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.state.store import Store, find_store
from tasks.invocation import tags_for
from tests.unit.scene import QUEUE, SECOND, TRAINING, Scene, bare, image, occupant

DIGEST = "sha256:" + "0123456789abcdef" * 4


def said(scene: Scene) -> list[str]:
    return [text for text, _ in status.lines("gpu-1", scene.look, scene.services)]


def test_a_server_without_a_deploy_says_so(tmp_path: Path) -> None:
    assert said(bare(tmp_path)) == [
        "gpu-1: no release yet",
        "  annotation-queue: no container",
        "  second-queue: no container",
        "  training: no run is active; no image for the next run yet",
    ]


def test_a_server_with_releases_says_what_runs_and_marks_what_is_in_force(scene: Scene) -> None:
    lines = said(scene)
    assert lines[0] == "gpu-1: release r2, proven, by ann at 2026-04-20T09:00:00Z"
    assert lines[1] == "  annotation-queue: tag-r2 (sha256:2), running for 60 min, container annotation-q"
    assert [line[:6] for line in lines[-2:]] == ["  * r2", "    r1"]


def test_the_model_that_was_chosen_is_named(scene: Scene) -> None:
    assert "  model: /m/best.pt was chosen" in said(scene.seeing(model="/m/best.pt"))
    assert not any("model" in line for line in said(scene))
    assert status.as_result("gpu-1", scene.seeing(model="/m/best.pt").look, scene.services)["model"] == "/m/best.pt"


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("under-way", "deploy r9 by bob is under way since 10:00, at step watching: fab follow --run r9"),
        ("cut-off", "deploy r9 by bob was cut off at step watching: it failed; it is tried again by the next command"),
        ("ended", "deploy r9 by bob: rolled-back: it failed"),
    ],
)
def test_the_last_run_is_told_in_each_state(scene: Scene, state: str, sentence: str) -> None:
    run = RunState("r9", state, "deploy", "bob", "10:00", "watching", "rolled-back", "it failed")
    assert any(line.startswith(f"  last run: {sentence}") for line in said(scene.seeing(run=run)))


def test_a_run_that_was_cut_off_and_not_yet_taken_up_says_who_does(scene: Scene) -> None:
    run = RunState("r9", "cut-off", "deploy", "bob", "10:00", "watching")
    told = "deploy r9 by bob was cut off at step watching: the next fab deploy or fab rollback finishes or undoes it"
    assert f"  last run: {told}" in said(scene.seeing(run=run))


def test_what_is_not_as_recorded_stands_out(scene: Scene) -> None:
    stray = scene.seeing(
        occupants={
            QUEUE: (occupant(scene, QUEUE, "r9"),),
            SECOND: (occupant(scene, SECOND, "r2", ours=False, container="f" * 64, running=False),),
        },
    )
    lines = dict(status.lines("gpu-1", stray.look, stray.services))
    queue = "  annotation-queue: annotation-queue of release r9, which is not the one on record"
    assert lines[f"{queue}, running for 60 min, container annotation-q"] == "yellow"
    assert lines["  second-queue: second-queue, not made by this tool, not running, container ffffffffffff"] == "yellow"


def test_a_training_run_is_named_with_the_image_it_was_started_from_and_that_of_the_next_one(scene: Scene) -> None:
    run = occupant(scene, QUEUE, "r1", name="training", image="sha256:training-r1")
    training = scene.seeing(batches={TRAINING: BatchState("sha256:training-r2", (run,))})
    expected = "training running for 60 min from tag-r1 (sha256:1); the next run starts from tag-r2 (sha256:2)"
    assert f"  training: {expected}" in said(training)
    result: Any = status.as_result("gpu-1", training.look, training.services)
    assert result["services"][TRAINING]["images"] == {
        "sha256:training-r1": {"tag": "tag-r1", "image": image("training", "1")},
        "sha256:training-r2": {"tag": "tag-r2", "image": image("training", "2")},
    }


PROCESS = ProcessRun(7, "python train.py", "azaion", "2026-04-20T09:11:12Z")


@pytest.mark.parametrize(
    ("state", "image", "told"),
    [
        (
            BatchState("sha256:training-r2", processes=(PROCESS,)),
            "azaion/training",
            'process 7 ("python train.py") of azaion running for 60 min; the next run starts from tag-r2 (sha256:2)',
        ),
        (BatchState(processes=(PROCESS,)), "", 'process 7 ("python train.py") of azaion running for 60 min'),
        (BatchState(), "", "no run is active"),
        (BatchState(unseen="they\nhide"), "", "whether one runs in no container is not known: they hide"),
        (
            BatchState(processes=(PROCESS,), unseen="they hide"),
            "",
            'process 7 ("python train.py") of azaion running for 60 min; what else runs in no container is not known: '
            "they hide",
        ),
    ],
    ids=["with an image", "without", "none", "hidden", "some are hidden"],
)
def test_a_run_in_no_container_is_told_with_its_user(scene: Scene, state: BatchState, image: str, told: str) -> None:
    training = scene.in_no_container(image=image)
    look = scene.seeing(batches={TRAINING: state}).look
    assert f"  training: {told}" in [text for text, _ in status.lines("gpu-1", look, [training])]


def test_an_image_that_no_release_brought_is_named_by_its_id(scene: Scene) -> None:
    by_hand = scene.seeing(batches={TRAINING: BatchState("sha256:by-hand")})
    said_so = "no run is active; the next run starts from image sha256:by-hand, of no release on record"
    assert f"  training: {said_so}" in said(by_hand)


def test_a_release_that_was_rolled_back_from_is_marked(scene: Scene) -> None:
    newest, *others = scene.look.record.releases
    left = scene.with_record(releases=(dataclasses.replace(newest, left="run-9"), *others), current="r1")
    assert [line[:14] for line in said(left)[-2:]] == ["    r2  left  ", "  * r1  proven"]


def test_scripts_get_the_same_as_json(scene: Scene) -> None:
    result = json.loads(json.dumps(status.as_result("gpu-1", scene.look, scene.services)))
    assert (result["server"], result["release"], result["run"]) == ("gpu-1", "r2", None)
    assert result["services"][QUEUE]["containers"][0]["container"] == f"{QUEUE}-r2"
    assert result["services"][TRAINING] == {
        "next_image": "sha256:training-r2",
        "runs": [],
        "processes": [],
        "unseen": "",
        "images": {"sha256:training-r2": {"tag": "tag-r2", "image": image("training", "2")}},
    }
    assert result["releases"][1]["services"][QUEUE] == {
        "tag": "tag-r1",
        "image": image("queue", "1"),
        "container": f"{QUEUE}-r1",
    }


@pytest.mark.parametrize(
    ("tag", "tags"),
    [
        (None, ("latest", "latest", "latest")),
        ("1.1", ("1.1", "1.1", "1.1")),
        ("training=2.0", ("latest", "latest", "2.0")),
        (f"{QUEUE}=1.1, training=2.0", ("1.1", "latest", "2.0")),
        (f"{QUEUE}={DIGEST},training=2.0", (DIGEST, "latest", "2.0")),
    ],
)
def test_tags_are_those_of_the_command_line_and_else_of_hosts_yaml(
    scene: Scene, tag: str | None, tags: tuple[str, ...]
) -> None:
    assert tuple(tags_for(scene.services, tag).values()) == tags


def test_a_service_without_an_image_has_no_tag(scene: Scene) -> None:
    services = [*scene.only(QUEUE), scene.in_no_container()]
    assert tags_for(services, "1.1") == {QUEUE: "1.1"}
    with pytest.raises(BadInput, match="no such service is deployed here"):
        tags_for(services, "training=2.0")


@pytest.mark.parametrize(
    "tag",
    [
        "a b",
        "-x",
        "ü",
        "1.1,1.2",
        f"1.1,{QUEUE}=2",
        f"{QUEUE}=2,1.1",
        "nosuch=1",
        "=1",
        f"{QUEUE}=",
        "x" * 129,
        "",
        ",",
    ],
)
def test_what_is_no_tag_is_bad_input(scene: Scene, tag: str) -> None:
    with pytest.raises(BadInput, match="--tag"):
        tags_for(scene.services, tag)


def test_a_digest_is_for_services_of_one_image_alone(scene: Scene) -> None:
    """The two consumers are made from one image, and training is not."""
    assert tags_for(scene.only(QUEUE, SECOND), DIGEST) == {QUEUE: DIGEST, SECOND: DIGEST}
    with pytest.raises(BadInput) as caught:
        tags_for(scene.services, DIGEST)
    assert caught.value.message == (
        "--tag sha256:0123456789ab is one image, and those of annotation-queue and second-queue and training are "
        "different ones"
    )
    assert caught.value.hint.startswith("say whose it is: --tag annotation-queue=sha256:0123456789ab…")


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        (DIGEST[:-1], "this one has 63"),
        (DIGEST + "0", "this one has 65"),
        (DIGEST[:19], "this one has 12"),
        ("sha256:", "this one has 0"),
        (DIGEST.upper().replace("SHA", "sha"), "in small letters"),
        (DIGEST[:-1] + "g", "64 hexadecimal digits"),
        ("sha512:" + "0" * 64, "a tag of letters"),
    ],
    ids=["short", "long", "shown", "none", "capitals", "no-digit", "another-hash"],
)
def test_what_is_no_digest_is_bad_input(scene: Scene, tag: str, says: str) -> None:
    with pytest.raises(BadInput, match="--tag 'sha") as caught:
        tags_for(scene.only(QUEUE), tag)
    assert says in caught.value.hint


def test_control_characters_of_a_server_never_reach_the_screen() -> None:
    screen = Screen()
    screen.out = io.StringIO()
    screen.rows([Check("a\x1b[2J", "critical", "b\x1b]0;x\x07", hint="c\r")])
    assert not {"\x1b", "\x07", "\r"} & set(screen.out.getvalue())


def test_hints_are_for_what_is_not_well() -> None:
    screen = Screen()
    screen.out = io.StringIO()
    screen.rows([Check("a", OK, "fine", hint="unneeded"), Check("b", CRITICAL, "bad", hint="needed")])
    assert screen.out.getvalue().splitlines() == ["  ok        a  fine", "  critical  b  bad", f"{'':15}needed"]


NOWHERE = Engine("unix:///nonexistent/docker.sock")


def test_a_root_that_is_not_there_ends_a_deploy(tmp_path: Path) -> None:
    missing = preflight.root("root", Store(str(tmp_path / "azaion"), str(tmp_path / "state")))
    assert (missing.level, missing.sentence) == (CRITICAL, f"{tmp_path}/azaion does not exist")
    assert preflight.root("root", find_store(str(tmp_path), f"{tmp_path}/state")).level == OK


def test_a_config_needs_a_folder_to_go_to(tmp_path: Path) -> None:
    def wanted(folder: Path) -> Wanted:
        return Wanted("q", "consumer", config=ConfigFile(str(folder / "config.yaml")))

    assert preflight.config("q config", wanted(tmp_path)).level == OK
    assert preflight.config("q config", wanted(tmp_path / "conf")).level == CRITICAL


def test_an_offset_may_be_missing_only_where_nothing_has_run(tmp_path: Path) -> None:
    wanted = Wanted("q", "consumer", offset=OffsetFile(str(tmp_path / "offset.yaml")))
    assert preflight.offset("q offset", wanted, NOWHERE, Store(str(tmp_path), f"{tmp_path}/state"), []).level == SKIPPED
    (tmp_path / "offset.yaml").write_text("offset: 7\n")
    found = preflight.offset("q offset", wanted, NOWHERE, Store(str(tmp_path), f"{tmp_path}/state"), [])
    assert (found.level, found.figures) == (OK, {"offset": 7})
    (tmp_path / "offset.yaml").write_text("offset: seven\n")
    assert (
        preflight.offset("q offset", wanted, NOWHERE, Store(str(tmp_path), f"{tmp_path}/state"), []).level == CRITICAL
    )
