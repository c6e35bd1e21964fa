"""A training run that looks like a consumer in every way: every verb that changes something leaves it alone."""

from __future__ import annotations

import pytest

from gpu_runbook.laptop.errors import Refused
from sandbox import Sandbox, run_inside, stop
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop, finished
from tests.deploy.refused import says_no
from tests.deploy.standing import RUNS, watched
from tests.deploy.test_recovery import halting, kill_run_and_command, there
from tests.deploy.test_training import alive
from tests.real import ROOT, consumer_image, docker, exists, fire, inspected, logged_in, training_image

pytestmark = pytest.mark.real

MARK = "team.azaion/job=training"
COMMIT = "team/commit:1"
ONLY = ("--service", QUEUE)
CHANGES: tuple[tuple[str, ...], ...] = (
    ("deploy", *ONLY, "--tag", "1.0"),
    ("deploy", *ONLY, "--tag", "1.0", "--adopt", "--force"),
    ("rollback",),
    ("restart", QUEUE),
    ("stop", QUEUE),
)


@pytest.fixture
def deployed(laptop: Laptop) -> Laptop:
    """A laptop in front of a consumer with a release to go back to, which the scheduled check looks after."""
    stop(laptop.sandbox, "cron")
    watched(laptop, settle=0, window=1)
    laptop.hosts["services"]["training"]["label"] = MARK
    laptop.save()
    for tag in ("1.0", "1.1"):
        laptop.deployed("--tag", tag)
    said = laptop.fab("schedule.install")
    assert said.status == 0, said.all
    logged_in(laptop.sandbox)
    return laptop


def started(sandbox: Sandbox, name: str, image: str, *options: str) -> str:
    """Start a training run by hand, with the labels that a consumer in force has; its id."""
    given = inspected(sandbox, "in-force")["Config"]["Labels"]
    labels = [f"--label={key}={value}" for key, value in given.items() if key.startswith("gpu-runbook.")]
    words = ("--detach", f"--name={name}", "--restart=on-failure:3", "--network=host", f"--volume={ROOT}:{ROOT}")
    command = () if "training" in image else ("sleep", "3600")
    return docker(sandbox, "run", *words, *labels, *options, image, *command)


def set_aside(sandbox: Sandbox) -> None:
    """Somebody takes the consumer out of its place."""
    docker(sandbox, "stop", "--time=2", QUEUE)
    docker(sandbox, "rename", QUEUE, "in-force")


def in_its_place(sandbox: Sandbox, dress: str) -> str:
    """A training run under the consumer's name; its id."""
    set_aside(sandbox)
    if dress == "image":
        return started(sandbox, QUEUE, training_image(sandbox, "1.0"))
    if dress == "label":
        return started(sandbox, QUEUE, consumer_image(sandbox, "1.1"), f"--label={MARK}")
    docker(sandbox, "commit", f"--change=LABEL {MARK}", "in-force", COMMIT)
    return started(sandbox, QUEUE, COMMIT)


@pytest.mark.parametrize("dress", ["image", "label", "a label of the image"])
def test_one_that_has_a_consumers_name_and_labels_is_refused_by_every_verb(deployed: Laptop, dress: str) -> None:
    sandbox = deployed.sandbox
    training = in_its_place(sandbox, dress)
    before = alive(deployed, training)
    for words in CHANGES:
        said = says_no(deployed, Refused, *words)
        assert f"the container {QUEUE} is a run of training, by its " in said.err, said.all
        assert "it is left alone" in said.err and "nothing was changed" in said.err
        assert alive(deployed, training) == before
    status = deployed.fab("status")
    assert f"{QUEUE}, a run of training, by its " in status.out and "it is left alone" in status.out
    fire(sandbox)
    assert alive(deployed, training) == before

    docker(sandbox, "kill", training)  # by the person whose it is: it has ended with a fault
    wait_until(lambda: not inspected(sandbox, training)["State"]["Running"], 10, "training run (its end)")
    ended = alive(deployed, training)
    fire(sandbox)
    assert alive(deployed, training) == ended, "a round has started it again"
    assert "is a run of training" in says_no(deployed, Refused, "restart", QUEUE).err
    assert deployed.fab("prune", "--keep", "2").status == 0 and exists(sandbox, QUEUE)
    assert alive(deployed, training) == ended


@pytest.mark.parametrize("name", ["training", "of-nobody"])
def test_one_that_has_a_consumers_labels_and_image_is_in_nobodys_way(deployed: Laptop, name: str) -> None:
    """Under its own name, and under one that says nothing: then it is no more than what has no right to a place."""
    sandbox = deployed.sandbox
    docker(sandbox, "rename", QUEUE, "in-force")
    docker(sandbox, "commit", "in-force", COMMIT)
    training = started(sandbox, name, COMMIT)
    docker(sandbox, "rename", "in-force", QUEUE)
    before = alive(deployed, training)
    for words in CHANGES:
        said = deployed.fab(*words)
        assert said.status == 0, said.all
        assert alive(deployed, training) == before, words
    warned = f"{name} runs with our label for {QUEUE}, and neither record nor journals know it: it is left alone"
    assert (warned in deployed.fab("status").out) == (name != "training")
    assert deployed.fab("prune", "--keep", "2").status == 0
    fire(sandbox)
    assert alive(deployed, training) == before


@pytest.mark.parametrize(
    ("change", "word", "by"),
    [("deploy", "stop", "command"), ("deploy", "start", "round"), ("restart", "start", "command")],
)
def test_one_whose_id_stands_in_the_journal_of_a_run_that_was_cut_off_is_left_to_a_person(
    deployed: Laptop, change: str, word: str, by: str
) -> None:
    """Whoever can write the journal cannot have a training run stopped or started by it."""
    sandbox = deployed.sandbox
    consumer = inspected(sandbox, QUEUE)["Id"]
    words = ("restart", QUEUE) if change == "restart" else ("deploy", *ONLY, "--tag", "1.0")
    with halting(sandbox, word), deployed.start(*words) as process:
        wait_until(lambda: there(sandbox, "/tmp/halted"), 20, f"docker {word}")
        kill_run_and_command(sandbox)
        finished(process)
    training = docker(
        *(sandbox, "run", "--detach", "--name=training", "--restart=on-failure:3", f"--volume={ROOT}:{ROOT}"),
        *("--network=host", training_image(sandbox, "1.0")),
    )
    run_inside(sandbox, ["sh", "-ec", f"sed -i s/{consumer}/{training}/g $(ls {RUNS}/*.jsonl | tail -1)"])
    before = alive(deployed, training)
    said = fire(sandbox)[0].stdout if by == "round" else deployed.fab("prune").all
    assert alive(deployed, training) == before, said
    last = deployed.fab("history", "--json").json["servers"][0]["runs"]
    ended = next(run for run in last if run["action"] == change)
    assert ended["outcome"] == "needs-person", ended
    assert alive(deployed, training) == before
