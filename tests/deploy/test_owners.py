"""The system of its owners as the sample describes it, in the order of docs/azaion.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox import Sandbox, finish, keep_publishing, run_inside
from sandbox.machine import wait_until
from sandbox.place import CHECKOUT, LOGIN_USER
from tests.deploy.laptop import QUEUE, Laptop, new_laptop
from tests.deploy.standing import standing, wait_for_offset
from tests.real import (
    ROOT,
    consumer_image,
    docker,
    logged_in,
    lost_and_twice,
    messages,
    published,
    wait_for_annotations,
    write_config,
)

pytestmark = pytest.mark.real

VARIABLES = "/etc/azaion/.env"
NEW, OLD = "2026-04-20", "2026-03-02"  # of the models, as the sandbox comes up
TRAIN = f"{ROOT}/train.py"  # makes images first, and takes no GPU yet
_START = f"echo 'import time; time.sleep(600)' >{TRAIN}; cd {ROOT}; setsid --fork python3 {TRAIN} --epochs 120"


@pytest.fixture
def owners(server: Sandbox, tmp_path: Path) -> Iterator[Laptop]:
    """A laptop with the sample as it is, the variables on the server, and what the owners' scripts have started."""
    laptop = new_laptop(tmp_path, server)
    services = yaml.safe_load((CHECKOUT / "hosts.yaml").read_text())["services"]
    services[QUEUE]["watch"] |= {"settle": 2, "window": 10}
    services["training"]["process"] = "python* *train.py*"
    laptop.hosts["services"] = services
    laptop.host.pop("env_file", None)
    laptop.host["env"] = {"server": VARIABLES}
    laptop.save()
    (laptop.folder / ".env").rename(laptop.folder / "theirs")
    text = (laptop.folder / "theirs").read_text()
    script = f"install -d -o deploy /etc/azaion; umask 077; cat >{VARIABLES}; chown deploy {VARIABLES}"
    run_inside(server, ["sh", "-ec", script], input=text)
    write_config(server)
    logged_in(server)
    run = (
        "run",
        "--detach",
        f"--name={QUEUE}",
        "--network=host",
        "--restart=unless-stopped",
        f"--volume={ROOT}:{ROOT}",
    )
    docker(server, *run, consumer_image(server, "1.0"))
    run_inside(server, ["sh", "-c", f"({_START}) </dev/null >/dev/null 2>&1"], user=LOGIN_USER)
    yield laptop
    run_inside(server, ["kill", str(process(server))])
    run_inside(server, ["rm", "-r", "/etc/azaion"])


def process(sandbox: Sandbox) -> int:
    """The one of the training, of which there is one."""
    return int(run_inside(sandbox, ["pgrep", "--full", f"^python3 {TRAIN}"]).stdout)


def test_what_their_scripts_made_is_taken_over_and_a_release_that_errs_in_its_log_file_goes_back(
    owners: Laptop,
) -> None:
    sandbox, training = owners.sandbox, process(owners.sandbox)
    published(sandbox, 100)
    wait_for_offset(sandbox, 100)
    scripts = standing(sandbox)

    rows = owners.fab("preflight", "--json").json["servers"][0]["rows"]
    assert {row["name"]: row["sentence"] for row in rows if row["level"] in ("critical", "unknown")} == {}
    (told,) = [row["sentence"] for row in rows if row["name"] == "training"]
    assert f'process {training} ("python3 train.py") of deploy' in told and "is left alone" in told
    refused = owners.fab("deploy", "--service", QUEUE)
    assert (refused.status, "--adopt" in refused.all) == (12, True), refused.all
    dry = owners.fab("deploy", "--dry-run", "--adopt")
    assert dry.status == 0 and standing(sandbox) == scripts, dry.all
    owners.deployed("--adopt")
    published(sandbox, 100, first=101)
    wait_for_offset(sandbox, 200)
    status = owners.fab("status").out
    assert "python3 train.py" in status and docker(sandbox, "logs", QUEUE) == ""

    producer = keep_publishing(sandbox, 20, first=201)
    bad = owners.fab("deploy", "--service", QUEUE, "--tag", "bad-labels")
    count = 200 + finish(producer)
    assert bad.status == 13, bad.all
    assert "ERROR the label of the annotation at offset" in bad.all and "annotation-queue.log" in bad.all
    back = owners.fab("rollback")
    assert back.status == 0, back.all
    assert standing(sandbox).container == scripts.container
    assert lost_and_twice(wait_for_annotations(sandbox, count), messages(count)) == ([], [])
    assert process(sandbox) == training


def test_the_model_in_force_is_known_by_its_content_and_another_one_comes_and_goes(owners: Laptop) -> None:
    sandbox = owners.sandbox

    def in_force(date: str) -> None:
        run_inside(sandbox, ["cmp", f"{ROOT}/models/azaion.pt", f"{ROOT}/models/azaion-{date}/weights/best.pt"])
        assert f"* azaion-{date}" in owners.fab("models").out

    in_force(NEW)
    for words, date in ((("models.use", OLD), OLD), (("models.rollback",), NEW)):
        said = owners.fab(*words)
        assert said.status == 0, said.all
        in_force(date)


def test_the_variables_come_to_the_laptop_by_name(owners: Laptop) -> None:
    said = owners.fab("env.import", "--yes")
    assert said.status == 0, said.all
    assert "RABBITMQ_QUEUE_NAME" in said.out and owners.variables["REGISTRY_PASSWORD"] not in said.all
    assert (owners.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert (owners.folder / ".env").read_text().count("=") == (owners.folder / "theirs").read_text().count("=")
    wait_until(lambda: process(owners.sandbox) > 0, 5, "training")
