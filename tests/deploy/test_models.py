"""fab models: a server's configs point at the model that was chosen, through deploys, rollbacks and deaths."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from sandbox import Sandbox, run_inside
from tests.deploy.laptop import QUEUE, Laptop, finished
from tests.deploy.standing import runs, wait_for_step, watched
from tests.faults import shim
from tests.faults.shim import Point
from tests.real import ROOT, STATE, Snapshot, published, server_snapshot, started_training

pytestmark = pytest.mark.real

OLD, NEW = "2026-03-02", "2026-04-20"  # as the sandbox comes up
MODELS = f"{ROOT}/models"
CONFIG = f"{ROOT}/config.yaml"


def path(date: str, folder: str = MODELS) -> str:
    return f"{folder}/{date}/best.pt"


@pytest.fixture
def laptop(laptop: Laptop) -> Laptop:
    """With a hosts.yaml that says where the models are, under their dates, and which key of the config names one."""
    laid = f"for date in {OLD} {NEW}; do mkdir $date; cp azaion-$date/weights/best.pt $date; done"
    run_inside(laptop.sandbox, ["sh", "-ec", f"cd {MODELS}; {laid}"], user="deploy")
    laptop.hosts["models"] = {"folder": MODELS, "file": "best.pt"}
    laptop.queue["config"]["model_key"] = "model"
    watched(laptop, settle=0, window=1)
    return laptop


def config(sandbox: Sandbox) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(run_inside(sandbox, ["cat", CONFIG]).stdout)
    return found


def settled(snapshot: Snapshot) -> Snapshot:
    """Without what a training writes all the time."""
    tree = {name: what for name, what in snapshot.tree.items() if not name.startswith(f"{MODELS}/azaion-2")}
    return dataclasses.replace(snapshot, tree=tree)


def outside(snapshot: Snapshot) -> dict[str, list[Any]]:
    """Everything below the root but what is ours, and what a consumer and a training write."""
    own = (STATE, CONFIG, f"{ROOT}/offset.yaml", f"{ROOT}/annotations.log")
    return {name: what for name, what in settled(snapshot).tree.items() if not name.startswith(own)}


def whole(sandbox: Sandbox, date: str) -> None:
    """What is in place and what the release in force has kept of it are the same, and name the model."""
    assert config(sandbox)["model"] == path(date)
    tree = server_snapshot(sandbox).tree
    current = json.loads(run_inside(sandbox, ["cat", f"{STATE}/previous-tags.json"]).stdout)["current"]
    kept, size_and_digest = tree[f"{STATE}/releases/{current}/{QUEUE}/config.yaml"], slice(3, None)
    assert kept[size_and_digest] == tree[CONFIG][size_and_digest]
    assert not [name for name in tree if "/." in name.replace(STATE, "")]


def test_a_chosen_model_outlives_deploys_and_rollbacks_and_can_be_taken_back(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    started_training(sandbox)
    early = laptop.fab("models.use", OLD)
    assert (early.status, "is not there yet: the next deploy writes it" in early.out) == (0, True), early.all
    laptop.deployed("--tag", "1.0")
    whole(sandbox, OLD)
    before, was = server_snapshot(sandbox), config(sandbox)

    dry = laptop.fab("models.use", NEW, "--dry-run")
    assert (dry.status, settled(server_snapshot(sandbox))) == (0, settled(before)), dry.all
    assert f"  {CONFIG}: {path(OLD)} → {path(NEW)}" in dry.out
    used = laptop.fab("models.use", NEW)
    assert used.status == 0, used.all
    after = server_snapshot(sandbox)
    assert (after.containers, after.images, outside(after)) == (before.containers, before.images, outside(before))
    assert after.tree[CONFIG][:3] == before.tree[CONFIG][:3]
    assert config(sandbox) == {**was, "model": path(NEW)}
    whole(sandbox, NEW)
    assert "up to date, nothing was stopped" in laptop.deployed("--tag", "1.0").out
    laptop.deployed("--tag", "1.1")
    whole(sandbox, NEW)
    assert laptop.fab("models.rollback").status == 0
    whole(sandbox, OLD)
    first = laptop.fab("status", "--json").json["servers"][0]["releases"][1]["id"]
    assert laptop.fab("rollback", "--to", first).status == 0  # its config was kept when the other model was chosen
    whole(sandbox, OLD)
    again = laptop.fab("models.use", OLD)  # the record has the hash of what is in place: nobody has edited it
    assert "is the model already" in again.out, again.all

    said = laptop.fab("models").out.splitlines()
    assert said[1].startswith("gpu-1: 2 models in /azaion/models; chosen: 2026-03-02 by "), said
    assert [line.split()[:2] for line in said[2:4]] == [["*", OLD], [NEW, "14.0"]], said
    assert "whole, verified 20" in said[2]
    assert said[2].endswith(f"← {QUEUE}")
    nothing = laptop.fab("models.rollback")
    assert (nothing.status, "there is no earlier choice to go back to" in nothing.err) == (12, True), nothing.all
    history = laptop.fab("history", "--json").json["servers"][0]["runs"]
    assert [run["action"] for run in history] == ["rollback", "model", "deploy", "model", "deploy", "model"]
    assert history[1]["sentence"] == f"{CONFIG}: {path(OLD)} instead of {path(NEW)}"
    shown = laptop.fab("show", "--run", history[1]["run"])
    assert f"{QUEUE}: {CONFIG} pointed at {path(NEW)}, and now at {path(OLD)}" in shown.out, shown.all
    assert "$ docker" not in shown.out


TRAINED = f"{ROOT}/trained"
_BAD = f"""
mkdir {TRAINED} && cd {TRAINED}
mkdir current 2026-02-30 2026-01-01 2026-01-02 2026-01-03 2026-01-04 2026-01-05 2026-01-06 2026-01-07-b
for name in 2026-01-0[1-467]*; do cp {path(NEW)} $name/; done
head -c 5000 {path(NEW)} >2026-01-02/best.pt
printf x | dd of=2026-01-03/best.pt bs=1 seek=2000 conv=notrunc status=none
touch -d 2026-01-05 2026-01-0*/best.pt
head -c 5000 {path(NEW)} >2026-01-04/best.pt
ln -sf {path(NEW)} 2026-01-06/best.pt
sha256sum 2026-01-01/best.pt >2026-01-01/best.pt.sha256
sha256sum 2026-01-02/best.pt >2026-01-07-b/best.pt.sha256
"""


def test_a_model_that_is_not_whole_is_refused_in_one_sentence_and_nothing_changes(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.hosts["models"] = {"folder": TRAINED}
    laptop.save()
    run_inside(sandbox, ["sh", "-ec", _BAD], user="deploy")
    laptop.deployed("--tag", "1.0")
    before = server_snapshot(sandbox)
    cases = {
        "2027-01-01": (10, f"gpu-1: there is no model 2027-01-01 in {TRAINED}"),
        "2026-01-02": (12, "it is not whole: its end is missing or damaged"),
        "2026-01-04": (12, "it is being written now"),
        "2026-01-06": (12, f"it is a link that leads out of {TRAINED}"),
    }
    for date, (status, sentence) in cases.items():
        said = laptop.fab("models.use", date)
        assert (said.status, sentence in said.err.splitlines()[0]) == (status, True), said.all
        assert server_snapshot(sandbox) == before, date
    listed = laptop.fab("models", "--verify", "--json").json["servers"][0]
    assert listed["not_dates"] == ["2026-02-30", "current"]
    states = ["whole", "damaged", "damaged", "writing", "missing", "outside", "damaged"]
    assert [model["state"] for model in listed["models"]] == states
    assert laptop.fab("models.use", "2026-01-01").status == 0

    edited = f"echo 'by: hand' >>{CONFIG}"
    run_inside(sandbox, ["sh", "-ec", edited], user="deploy")
    before = server_snapshot(sandbox)
    said = laptop.fab("models.rollback")
    assert (said.status, "there is no earlier choice to go back to" in said.err) == (12, True), said.all
    run_inside(sandbox, ["sh", "-ec", f"cp -r {TRAINED}/2026-01-01 {TRAINED}/2026-01-09"], user="deploy")
    said = laptop.fab("models.use", "2026-01-09")
    assert (said.status, f"{CONFIG} is not as its release has put it" in said.err) == (12, True), said.all
    assert server_snapshot(sandbox).tree[CONFIG] == before.tree[CONFIG]
    assert laptop.fab("models.use", "2026-01-09", "--force").status == 0
    assert (config(sandbox)["by"], config(sandbox)["model"]) == ("hand", path("2026-01-09", TRAINED))
    run_inside(sandbox, ["sed", "-i", "s/^model:.*/model: [a]/", CONFIG])
    said = laptop.fab("models.use", "2026-01-01", "--force")
    assert (said.status, f"{CONFIG} takes no model: model is not one text on its line" in said.err) == (12, True), (
        said.all
    )


def test_nobody_chooses_a_model_while_a_run_is_under_way(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=60)  # the queue is idle: it lasts until a message comes
    with laptop.start("deploy", "--service", QUEUE) as process:
        run = wait_for_step(laptop.sandbox, 1, "watching")
        before = config(laptop.sandbox)
        said = laptop.fab("models.use", NEW)
        assert said.status == 12, said.all
        assert "holds the lock of this server since" in said.err
        assert f"deploy {run} is at step watching" in said.err
        published(laptop.sandbox, 10)
        assert finished(process).status == 0
    assert config(laptop.sandbox) == before
    assert runs(laptop.sandbox) == 1


@pytest.fixture
def shimmed(laptop: Laptop) -> Iterator[Laptop]:
    """With python3 on the server halting where a test says."""
    shim.install(laptop.sandbox)
    yield laptop
    shim.remove(laptop.sandbox)


def test_a_death_between_its_writes_is_put_right_by_the_next_command(shimmed: Laptop) -> None:
    sandbox = shimmed.sandbox
    shimmed.deployed("--tag", "1.0")
    # A try to write, its folder, model.json, its folder, kept config, its folder, record, its folder, config in place.
    for point, date, reached in (
        (Point("at sync", 1), NEW, False),
        (Point("at sync", 5), OLD, True),
        (Point("at sync", 9), NEW, True),
    ):
        was = config(sandbox)["model"]
        shim.arm(sandbox, point)
        with shimmed.start("models.use", date) as process:
            assert shim.wait_for_point(sandbox, point, lambda: process.poll() is not None)
            run_inside(sandbox, ["kill", "-9", str(shim.halted(sandbox))])
            said = finished(process)
        shim.let_go(sandbox)
        assert (said.status, "the process that was to do it was killed" in said.err) == (14, True), said.all
        assert config(sandbox)["model"] == was
        if reached:
            recovered = shimmed.deployed("--tag", "1.0")
            assert f"was cut off; the model in force is {path(date)}" in recovered.out, recovered.all
            assert "up to date, nothing was stopped" in recovered.out
        else:
            recovered = shimmed.fab("models.use", date)
            assert (recovered.status, "was cut off; the model in force is as it was" in recovered.out) == (0, True), (
                recovered.all
            )
        whole(sandbox, date)
    again = shimmed.fab("models.use", NEW)
    assert "is the model already" in again.out, again.all


CURRENT = f"{MODELS}/azaion.pt"
_RUNS = f"""
cd {MODELS}
cp {OLD}/best.pt azaion.pt; chmod 640 azaion.pt; chgrp 2000 azaion.pt
echo network >azaion.onnx; touch -d 2026-01-01 azaion.onnx
"""


@pytest.fixture
def owners(laptop: Laptop) -> Laptop:
    """With the models as the owners of the system have them: named runs, and a copy of one of them in force."""
    laptop.hosts["models"] = {
        "folder": MODELS,
        "name": "azaion-DATE",
        "file": ["weights/best.pt", "weights/last.pt"],
        "in_force": "copy",
        "current": "azaion.pt",
    }
    laptop.save()
    run_inside(laptop.sandbox, ["sh", "-ec", _RUNS], user="deploy")
    return laptop


def is_in_force(sandbox: Sandbox, date: str) -> None:
    """The file in force has the bytes of that run's, with mode and owner as ever, and nothing lies beside it."""
    run_inside(sandbox, ["cmp", CURRENT, f"{MODELS}/azaion-{date}/weights/best.pt"])
    assert run_inside(sandbox, ["stat", "-Lc", "%a %u:%g", CURRENT]).stdout.strip() in (
        "640 1000:2000",
        "644 1000:1000",
    )
    assert not run_inside(sandbox, ["find", MODELS, "-maxdepth", "1", "-name", ".*"]).stdout


def test_a_copy_in_force_is_left_to_training_by_deploys_and_comes_back(owners: Laptop) -> None:
    sandbox = owners.sandbox
    started_training(sandbox)
    before = server_snapshot(sandbox)
    said = owners.fab("models")
    assert f"  {CURRENT} is azaion-{OLD}\n" in said.out, said.all
    assert '  "azaion.onnx" beside it is older than the model' in said.out
    assert owners.fab("models.use", NEW, "--dry-run").status == 0
    is_in_force(sandbox, OLD)
    used = owners.fab("models.use", NEW)
    assert (used.status, f"azaion-{NEW} is the model now; no container was restarted" in used.out) == (0, True), (
        used.all
    )
    is_in_force(sandbox, NEW)
    assert server_snapshot(sandbox).containers == before.containers
    owners.deployed("--tag", "1.0")
    is_in_force(sandbox, NEW)
    assert config(sandbox)["model"] == f"{MODELS}/current/best.pt"  # as its template says

    run_inside(sandbox, ["cp", f"{MODELS}/azaion-{OLD}/weights/best.pt", CURRENT], user="deploy")
    said = owners.fab("models")
    assert "and no run of ours replaced it" in said.out, said.all
    owners.deployed("--tag", "1.1")
    is_in_force(sandbox, OLD)
    history = owners.fab("history", "--json").json["servers"][0]["runs"]
    assert [run["action"] for run in history] == ["deploy", "model", "deploy", "model"]
    assert history[1]["sentence"].startswith(f"{CURRENT} was replaced, and not by a run of ours: it is "), history
    assert owners.fab("models.rollback").status == 0
    is_in_force(sandbox, NEW)
    again = owners.fab("models.use", f"azaion-{NEW}")
    assert f"azaion-{NEW} is the model already, nothing was changed" in again.out, again.all
    assert config(sandbox)["model"] == f"{MODELS}/current/best.pt"


def test_a_link_in_force_and_what_is_in_its_way(owners: Laptop) -> None:
    sandbox = owners.sandbox
    owners.hosts["models"]["in_force"] = "link"
    owners.save()
    for date in (NEW, OLD, NEW):
        used = owners.fab("models.use", date)
        assert used.status == 0, used.all
        assert run_inside(sandbox, ["readlink", CURRENT]).stdout == f"azaion-{date}/weights/best.pt\n"
    assert owners.fab("models.rollback").status == 0
    assert run_inside(sandbox, ["readlink", CURRENT]).stdout == f"azaion-{OLD}/weights/best.pt\n"
    for put, sentence in (
        ("ln -s /etc/hostname", "it is a link that leads out of"),
        ("mkfifo", "it is not a file"),
        ("mkdir", "it is not a file"),
    ):
        run_inside(sandbox, ["sh", "-ec", f"rm -rf {CURRENT}; {put} {CURRENT}"], user="deploy")
        before = server_snapshot(sandbox).tree
        said = owners.fab("models.use", NEW)
        assert (said.status, f"{CURRENT} is not replaced: {sentence}" in said.err.splitlines()[0]) == (12, True), (
            said.all
        )
        after = server_snapshot(sandbox).tree
        assert {name: what for name, what in after.items() if name.startswith(MODELS)} == {
            name: what for name, what in before.items() if name.startswith(MODELS)
        }
    owners.hosts["models"]["current"] = "/etc/azaion.pt"
    owners.save()
    said = owners.fab("models.use", NEW)
    assert (said.status, "models.current: is neither below models.folder nor below the root" in said.err) == (10, True)


def test_a_death_while_a_copy_takes_its_place_leaves_a_whole_one(owners: Laptop) -> None:
    sandbox = owners.sandbox
    owners.deployed("--tag", "1.0")
    assert owners.fab("models").status == 0  # what it reads is written down once
    shim.install(sandbox)
    try:
        # The copy, model.json, its folder, the copy's folder, model.json, its folder.
        for number, date, reached in ((1, NEW, False), (4, NEW, True), (5, OLD, True)):
            point = Point("at sync", number)
            shim.arm(sandbox, point)
            with owners.start("models.use", date) as process:
                assert shim.wait_for_point(sandbox, point, lambda: process.poll() is not None)
                run_inside(sandbox, ["kill", "-9", str(shim.halted(sandbox))])
                said = finished(process)
            shim.let_go(sandbox)
            assert (said.status, "the process that was to do it was killed" in said.err) == (14, True), said.all
            recovered = owners.deployed("--tag", "1.0")
            known = f"fab models says which model {CURRENT} is" if reached else "the model in force is as it was"
            assert f"was cut off; {known}" in recovered.out, recovered.all
            is_in_force(sandbox, date if reached else OLD)
            assert f"{CURRENT} is azaion-{date if reached else OLD}\n" in owners.fab("models").out
    finally:
        shim.remove(sandbox)
    history = owners.fab("history", "--json").json["servers"][0]["runs"]
    assert not [run for run in history if "not by a run of ours" in run["sentence"]]
