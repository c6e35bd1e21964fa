"""fab training.command: the whole command out of hosts.yaml, and what to know before it is pasted."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.commands import training_command
from gpu_runbook.laptop.commands.training_command import Launch
from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inventory.model import Batch, Host, Inventory, ProcessEntry
from gpu_runbook.protocol.check import CRITICAL, GPU_SUPPORT, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.plan import Occupant
from gpu_runbook.protocol.processes import ProcessRun
from gpu_runbook.protocol.snapshot import BatchState
from gpu_runbook.protocol.training import Checkpoint, NextRun
from tests.unit.nasty import SHORT, wrong_with
from tests.unit.scene import HOSTS, QUEUE, REPOSITORY, TRAINING, Scene, loaded

FULL = HOSTS.replace(
    "training: {kind: batch, image: azaion/training, container: training}",
    """training:
    kind: batch
    image: azaion/training
    container: training
    label: team=vision
    command: [python, train.py, --note, it's "one"]
    resume: [--resume, last]
    user: "1000:1000"
    environment: {TZ: UTC}
    mounts: [/azaion:/azaion]
    network: host
    gpus: "device=0,1"
    memory: 64g
    checkpoints: /azaion/checkpoints""",
)
RUN = Occupant("d" * 64, "training", "sha256:training-r1", True, "2026-04-20T07:11:12.5Z", "no", False)
LAST = Checkpoint("last.ckpt", 3.0)


def inventory(folder: Path, text: str = FULL) -> Inventory:
    return loaded(folder / "full.yaml", text)


def launched(scene: Scene, folder: Path, resume: bool | None = None, host: Any = None, **found: Any) -> Launch:
    given = {"look": scene.look, "command": (), "checkpoint": LAST}
    known = inventory(folder)
    service = known.services[TRAINING]
    assert isinstance(service, Batch)
    where: Host = dataclasses.replace(known.hosts["gpu-1"], **(host or {}))
    change = found.pop("service", {})
    return training_command.launch(
        known, where, dataclasses.replace(service, **change), NextRun(**{**given, **found}), resume
    )


def test_everything_of_hosts_yaml_is_in_the_command(scene: Scene, tmp_path: Path) -> None:
    launch = launched(scene, tmp_path)
    assert launch.command == (
        *("docker", "run", "--detach", "--name", "training", "--restart", "no", "--pull", "never"),
        *("--label", "team=vision", "--env", "TZ=UTC", "--volume", "/azaion:/azaion", "--user", "1000:1000"),
        *("--network", "host", "--gpus", '"device=0,1"', "--memory", "64g", "--stop-timeout", "30"),
        *("--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=3"),
        *(f"{REPOSITORY}training:current", "python", "train.py", "--note", 'it\'s "one"', "--resume", "last"),
    )
    assert shlex.split(launch.line) == list(launch.command)
    assert "\n" not in launch.line


@pytest.mark.parametrize(
    ("resume", "seen", "resumes", "said"),
    [
        (None, LAST, True, 'it goes on from the last checkpoint (newest checkpoint "last.ckpt", 3 s old); --fresh'),
        (None, Checkpoint(), False, "it begins anew (no checkpoint in /azaion/checkpoints); --resume goes on"),
        (True, Checkpoint(), True, "its resume arguments are in it, though there is nothing to go on from"),
        (False, LAST, False, 'it begins anew (newest checkpoint "last.ckpt", 3 s old)'),
    ],
)
def test_it_goes_on_where_there_is_a_checkpoint_or_as_one_says(
    scene: Scene, tmp_path: Path, resume: bool | None, seen: Checkpoint, resumes: bool, said: str
) -> None:
    launch = launched(scene, tmp_path, resume, checkpoint=seen)
    assert (launch.resumes, launch.line.endswith(" --resume last")) == (resumes, resumes)
    assert any(note.startswith(said) for note in launch.notes)


def test_resume_arguments_come_after_the_images_own_command(scene: Scene, tmp_path: Path) -> None:
    own = launched(scene, tmp_path, service={"command": ()}, command=("python", "own.py"))
    assert own.line.endswith("training:current python own.py --resume last")
    left = launched(scene, tmp_path, False, service={"command": ()}, command=("python", "own.py"))
    assert left.line.endswith("training:current")


def test_a_shell_line_takes_no_arguments(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="starts a shell line, to which no arguments can be added"):
        launched(scene, tmp_path, service={"command": ()}, command=("/bin/sh", "-c", "python own.py"))


def test_without_an_image_there_is_nothing_to_start(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="training:current names no image yet"):
        launched(scene.seeing(batches={TRAINING: BatchState()}), tmp_path)


def test_resuming_takes_a_word_of_hosts_yaml(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="training has no resume: in hosts"):
        launched(scene, tmp_path, True, service={"resume": ()})
    assert any(
        "hosts.yaml has no resume: for it" in note for note in launched(scene, tmp_path, service={"resume": ()}).notes
    )


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ("", ""),
        ("2", "--gpus 2"),
        ("device=0,1", """--gpus '"device=0,1"'"""),
        ("nvidia.com/gpu=all", "--device nvidia.com/gpu=all"),
        ("nvidia.com/gpu=0,nvidia.com/gpu=1:0", "--device nvidia.com/gpu=0 --device nvidia.com/gpu=1:0"),
    ],
)
def test_gpus_are_asked_for_as_hosts_yaml_has_them(scene: Scene, tmp_path: Path, gpus: str, words: str) -> None:
    line = launched(scene, tmp_path, service={"gpus": gpus}).line
    assert (words in line, "gpu" in line) == (True, bool(gpus))


@pytest.mark.parametrize("level", [OK, UNKNOWN, CRITICAL])
def test_what_docker_will_not_take_is_said_before_somebody_pastes_it(scene: Scene, tmp_path: Path, level: str) -> None:
    rows = (
        Check("kept images", WARNING, "gone"),
        Check(GPU_SUPPORT, level, "docker knows no CDI device", hint="write a spec"),
    )
    notes = launched(scene.seeing(rows=rows), tmp_path).notes
    told = [note for note in notes if "CDI" in note or "gone" in note]
    assert told == ([] if level == OK else ["docker GPU support: docker knows no CDI device (write a spec)"])


def test_another_engine_and_sudo_are_in_the_command(scene: Scene, tmp_path: Path) -> None:
    host = {"sudo": True, "docker_host": "unix:///run/other.sock"}
    assert launched(scene, tmp_path, host=host).line.startswith(
        "sudo docker --host unix:///run/other.sock run --detach "
    )


def test_dockers_own_options_are_in_the_command_and_an_entrypoint_has_its_own_arguments(
    scene: Scene, tmp_path: Path
) -> None:
    given = {"shm_size": "8g", "ulimits": {"memlock": "-1"}, "entrypoint": ("python", "-m", "train"), "command": ()}
    launch = launched(scene, tmp_path, service=given, command=("of", "the", "image"))
    assert "--entrypoint=python --shm-size=8g --ulimit=memlock=-1" in launch.line
    assert launch.line.endswith("training:current -m train --resume last")


def test_a_line_break_is_refused(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a line break in it fits on no command line"):
        launched(scene, tmp_path, service={"environment": {"A": "one\ntwo"}})


def test_the_image_is_named_with_its_digest_and_its_release(scene: Scene, tmp_path: Path) -> None:
    assert f"{REPOSITORY}training:current is tag-r2 (sha256:2), of release r2" in launched(scene, tmp_path).notes
    moved = scene.seeing(batches={TRAINING: BatchState("sha256:by-hand")})
    assert (
        f"{REPOSITORY}training:current is image sha256:by-hand, of no release on record"
        in launched(moved, tmp_path).notes
    )


def test_a_run_that_is_under_way_is_said(scene: Scene, tmp_path: Path) -> None:
    busy = scene.seeing(batches={TRAINING: BatchState("sha256:training-r2", (RUN,))})
    notes = launched(busy, tmp_path, named=RUN).notes
    assert notes[-1] == "training runs already, for 3 h: this is for when it has ended"


def test_a_run_that_has_ended_is_renamed_and_never_removed(scene: Scene, tmp_path: Path) -> None:
    ended = dataclasses.replace(RUN, running=False)
    notes = launched(scene, tmp_path, named=ended, host={"sudo": True}).notes
    assert "sudo docker rename training training.20260420-071112 keeps it and makes room" in notes[-1]


OUTSIDE = {
    "image": "",
    "label": None,
    "user": "",
    "mounts": (),
    "network": "",
    "gpus": "",
    "memory": "",
    "process": ProcessEntry(command="python* *train.py*", user="azaion", folder="/azaion"),
    "command": ("/azaion/venv/bin/python", "train.py", "--note", "it's"),
    "environment": {"EPOCHS": "5", "NOTE": "a b"},
}


def outside(scene: Scene, folder: Path, resume: bool | None = None, host: Any = None, **found: Any) -> Launch:
    """The same service in no container, with the login of the look."""
    change = {**OUTSIDE, **found.pop("service", {})}
    return launched(scene.seeing(batches={}, user="deploy"), folder, resume, host, service=change, **found)


@pytest.mark.parametrize(
    ("host", "user", "begins"),
    [
        ({}, "azaion", "sudo --background --user azaion env --chdir=/azaion"),
        ({"user": "azaion"}, "azaion", "env --chdir=/azaion"),
        ({}, "deploy", "env --chdir=/azaion"),
        ({"sudo": True}, "deploy", "sudo --background --user deploy env"),  # the look was root's
        ({}, "1001", "sudo --background --user '#1001' env"),
        ({}, "", "env --chdir=/azaion"),
    ],
)
def test_without_an_image_the_process_itself_is_printed(
    scene: Scene, tmp_path: Path, host: Any, user: str, begins: str
) -> None:
    process = ProcessEntry(command="python* *train.py*", user=user, folder="/azaion")
    launch = outside(scene, tmp_path, False, host, service={"process": process})
    assert launch.line.startswith(f"{begins} ")
    ends = """ EPOCHS=5 'NOTE=a b' nohup /azaion/venv/bin/python train.py --note 'it'"'"'s'"""
    assert launch.line.removesuffix(" &").endswith(ends)
    assert launch.line.endswith(" &") != launch.line.startswith("sudo")
    assert shlex.split(launch.line.removesuffix(" &")) == list(launch.command)
    assert any("a process of the server itself" in note for note in launch.notes)
    assert not any("current" in note or "would not be seen" in note for note in launch.notes)


def test_a_command_that_would_not_be_seen_is_said(scene: Scene, tmp_path: Path) -> None:
    odd = {"process": ProcessEntry(command="python* *train.py"), "command": ("python", "train.py"), "resume": ("--on",)}
    assert not any("would not be seen" in note for note in outside(scene, tmp_path, False, service=odd).notes)
    assert any("(python* *train.py) does not fit it" in note for note in outside(scene, tmp_path, service=odd).notes)


def test_nothing_says_how_a_run_in_no_container_is_started(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="training has neither image: nor command:"):
        outside(scene, tmp_path, service={"command": ()})


def test_a_run_in_no_container_that_is_under_way_is_said(scene: Scene, tmp_path: Path) -> None:
    run = ProcessRun(7, "python train.py", "azaion", "2026-04-20T07:11:12Z")
    busy = scene.seeing(batches={TRAINING: BatchState(processes=(run,), unseen="they hide")})
    notes = launched(busy, tmp_path, service=OUTSIDE).notes
    assert notes[-2:] == (
        'process 7 ("python train.py") of azaion runs already, for 3 h: this is for when it has ended',
        "whether one runs already in no container is not known: they hide",
    )


FROM_A_FILE = {"resume": ("--resume={checkpoint}", "x"), "checkpoints": "/azaion/models"}
SAVED = Checkpoint("azaion-2026-03-01/weights/last.pt", 3.0)


@pytest.mark.parametrize(
    ("mounts", "path"),
    [
        (("/azaion:/azaion",), "/azaion/models"),
        (("/azaion:/data:ro", "/other:/azaion"), "/data/models"),
        (("/azaion:/data", "/azaion/models:/models"), "/models"),
    ],
)
def test_a_run_goes_on_from_the_file_as_its_container_sees_it(
    scene: Scene, tmp_path: Path, mounts: tuple[str, ...], path: str
) -> None:
    launch = launched(scene, tmp_path, checkpoint=SAVED, service={**FROM_A_FILE, "mounts": mounts})
    assert launch.line.endswith(f" --resume={path}/azaion-2026-03-01/weights/last.pt x")
    bare = outside(scene, tmp_path, checkpoint=SAVED, service=FROM_A_FILE)
    assert bare.line.endswith(" --resume=/azaion/models/azaion-2026-03-01/weights/last.pt x")


def test_without_a_whole_file_there_is_none_to_go_on_from(scene: Scene, tmp_path: Path) -> None:
    seen = Checkpoint(passed='"a/last.pt" is passed over: it is being written now')
    launch = launched(scene, tmp_path, checkpoint=seen, service=FROM_A_FILE)
    assert (launch.resumes, "{checkpoint}" in launch.line) == (False, False)
    assert any("it begins anew (no checkpoint in /azaion/models; " in note for note in launch.notes)
    with pytest.raises(Refused, match=r"no whole last\.pt to go on from .* it is being written now"):
        launched(scene, tmp_path, True, checkpoint=seen, service=FROM_A_FILE)


@pytest.mark.parametrize("name", ["a\nb/last.pt", "$(x)/last.pt", "../../etc/last.pt", "-x/last.pt", "a b/last.pt"])
def test_a_file_whose_name_would_do_something_in_a_shell_is_refused(scene: Scene, tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="fits on no command line"):
        launched(scene, tmp_path, checkpoint=Checkpoint(name, 3.0), service=FROM_A_FILE)


def test_one_batch_service_is_chosen(scene: Scene) -> None:
    assert training_command.chosen(scene.inventory, scene.services).name == TRAINING
    with pytest.raises(BadInput, match="no batch service is asked for"):
        training_command.chosen(scene.inventory, scene.only(QUEUE))
    with pytest.raises(BadInput, match="more than one"):
        training_command.chosen(scene.inventory, scene.only(TRAINING, TRAINING))


@pytest.mark.parametrize("name", SHORT.values(), ids=SHORT)
def test_nothing_of_a_server_is_a_line_beside_the_command(scene: Scene, tmp_path: Path, name: str) -> None:
    forged_run = dataclasses.replace(RUN, name=name)
    busy = scene.seeing(batches={TRAINING: BatchState("sha256:training-r2", (forged_run,))})
    launch = launched(busy, tmp_path, checkpoint=Checkpoint(name, 3.0), named=dataclasses.replace(RUN, running=False))
    notes = [note for note in launch.notes if "annotation-queue CI" in note]
    assert len(notes) == 2, "the checkpoint, and the run that goes on"
    for note in notes:
        assert wrong_with(note, 1000) == ""
        assert "annotation-queue CI" not in "".join(note.split('"')[::2]), "it stands between quotes"
    assert launch.line == launched(scene, tmp_path).line


@pytest.mark.parametrize(
    "word", ["a\nb", "\r", "a\tb", "\x1b[2J", "a\u202eb", "\u2028", "\u200b", "\ud800", "x" * 10_000], ids=repr
)
def test_a_word_of_an_image_that_is_not_what_it_looks_like_is_refused(scene: Scene, tmp_path: Path, word: str) -> None:
    with pytest.raises(Refused) as caught:
        launched(scene, tmp_path, service={"command": ()}, command=("python", word))
    assert "the image of training starts with a word that fits on no command line: " in caught.value.message
    assert wrong_with(caught.value.message, 1000) == ""
    assert launched(scene, tmp_path, False, service={"command": ()}, command=("python", word)).line, "it is not in it"


def test_any_other_word_of_an_image_is_one_word_of_the_line(scene: Scene, tmp_path: Path) -> None:
    own = ("python", "-c", "a  b; $(reboot) `x` 'y' \"z\"", "--privileged", "")
    launch = launched(scene, tmp_path, service={"command": ()}, command=own)
    assert tuple(shlex.split(launch.line)[-7:]) == (*own, "--resume", "last")


@pytest.mark.parametrize("started", ["2026-4-2T1:1:1.5\n\n\n", "2026-04-20T07:11:12.5  ", "2026-04-20T07:11:12"])
def test_the_name_that_makes_room_is_made_of_digits(scene: Scene, tmp_path: Path, started: str) -> None:
    ended = dataclasses.replace(RUN, running=False, started_at=started)
    note = launched(scene, tmp_path, named=ended).notes[-1]
    assert re.search(r"docker rename training training\.[0-9-]+ keeps it and makes room$", note)
