"""The state lies where no container writes: how it comes there from an older version, and who keeps it there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import CannotConnect, Defect, NeedsPerson, Refused
from sandbox import Sandbox, run_inside
from sandbox.place import LOGIN_USER
from tests.data import old
from tests.deploy.laptop import QUEUE, Laptop, older_laptop
from tests.deploy.refused import DEPLOY, refused, says_no
from tests.deploy.standing import ran_together, standing, wait_for_offset, watched
from tests.real import ROOT, STATE, docker, fire, inspected, logged_in, published, started_training, training_image

pytestmark = pytest.mark.real

IN_ROOT = f"{ROOT}/.deploy"
PAUSE = ("pause", "--for", "1h", "--reason", "the disk is exchanged")


@pytest.fixture
def older(laptop: Laptop, tmp_path: Path) -> Laptop:
    """A laptop with version 0.1.0 in front of the same server."""
    folder = tmp_path / "older"
    folder.mkdir()
    made = older_laptop(folder, laptop, old.unpacked(tmp_path / "source"))
    for one in (made, laptop):
        watched(one, settle=0, window=10)
    return made


def crontab(sandbox: Sandbox) -> str:
    return run_inside(sandbox, ["crontab", "-l"], user=LOGIN_USER, check=False).stdout


def listed(sandbox: Sandbox, folder: str) -> list[str]:
    return sorted(run_inside(sandbox, ["ls", "-A", folder], check=False).stdout.split())


def test_what_an_older_version_left_moves_with_the_first_deploy(laptop: Laptop, older: Laptop) -> None:
    sandbox = laptop.sandbox
    trains, since = started_training(sandbox), time.time()
    training = inspected(sandbox, trains)["State"]
    published(sandbox, 100)
    first = older.deployed("--json", "--tag", "1.0").json["servers"][0]["release"]
    wait_for_offset(sandbox, 100)
    assert older.fab("schedule.install").status == 0
    assert older.fab("stop", QUEUE, "--reason", "the label team asked").status == 0
    assert f"{IN_ROOT}/health/check.pyz" in crontab(sandbox)

    # Whatever does not move it works on in the old place, and says so.
    for words in (("status",), ("history",), PAUSE, ("resume",)):
        said = laptop.fab(*words)
        assert said.status == 0 and f"its state still lies in {IN_ROOT}, where containers can write" in said.all, (
            said.all
        )
    assert laptop.fab(*PAUSE).status == 0
    held = laptop.fab(*DEPLOY, "--tag", "1.1")
    assert held.status == Refused.exit_code and "the disk is exchanged" in held.err, held.all
    assert "runs" in listed(sandbox, IN_ROOT) and listed(sandbox, STATE) == [], "refused, it moved nothing"
    assert laptop.fab("resume").status == 0

    dry = laptop.fab(*DEPLOY, "--tag", "1.1", "--dry-run")
    assert dry.status == 0 and f"{IN_ROOT} moves to {STATE}" in dry.out, dry.all
    assert listed(sandbox, STATE) == []
    published(sandbox, 100, first=101)
    said = laptop.deployed("--tag", "1.1")
    assert f"the state moved from {IN_ROOT} to {STATE}" in said.out, said.all
    assert IN_ROOT not in crontab(sandbox) and f"{STATE}/health/check.pyz" in crontab(sandbox)
    assert listed(sandbox, ROOT).count(".deploy") == 1 and listed(sandbox, IN_ROOT) == [IN_ROOT]
    assert STATE in run_inside(sandbox, ["cat", IN_ROOT]).stdout
    assert inspected(sandbox, QUEUE)["Config"]["Labels"]["gpu-runbook.state"] == STATE
    (round_ended,) = fire(sandbox)
    assert round_ended.returncode in (0, 1), round_ended
    status = laptop.fab("status", "--json")
    assert [one["id"] for one in status.json["servers"][0]["releases"]][1] == first
    assert "where containers can write" not in status.all
    assert [pair for pair in ran_together(sandbox, since) if trains not in pair] == []

    # The older version finds no place any more, and does nothing.
    before = standing(sandbox)
    refusing: list[tuple[str, ...]] = [DEPLOY, ("rollback",), ("stop", QUEUE), ("status",)]
    for asked in refusing:
        late = older.fab(*asked)
        assert late.status in (Refused.exit_code, CannotConnect.exit_code, Defect.exit_code), late.all
    assert standing(sandbox) == before

    back = laptop.fab("rollback", "--json")
    assert (back.status, back.json["servers"][0]["release"]) == (0, first), back.all
    assert inspected(sandbox, "training")["State"] == training


def test_a_variable_that_the_check_needs_keeps_everything_where_it_is(laptop: Laptop, older: Laptop) -> None:
    sandbox = laptop.sandbox
    older.deployed("--tag", "1.0")
    assert older.fab("schedule.install").status == 0
    laptop.hosts["schedule"] = {"alerts": {"ops": {"kind": "webhook", "url_variable": "HOOK_URL"}}}
    laptop.save()
    said = refused(laptop, Refused, *DEPLOY, "--tag", "1.0")
    assert "HOOK_URL is not set" in said.err and "fab schedule.remove" in said.err
    assert listed(sandbox, STATE) == []
    del laptop.hosts["schedule"]
    laptop.save()
    installed = laptop.fab("schedule.install")
    assert installed.status == 0 and f"the state moved from {IN_ROOT} to {STATE}" in installed.out, installed.all
    assert f"{STATE}/health/check.pyz" in crontab(sandbox)


def test_setup_moves_it_too(laptop: Laptop, older: Laptop) -> None:
    older.deployed("--tag", "1.0")
    said = laptop.fab("setup")
    assert said.status == 0 and f"the state moved from {IN_ROOT} to {STATE}" in said.out, said.all
    assert "previous-tags.json" in listed(laptop.sandbox, STATE)


@pytest.mark.parametrize(
    ("mount", "level"), [("/home:/homes", "critical"), ("/:/host:ro", "warning"), ("/azaion:/azaion", "ok")]
)
def test_a_container_that_can_write_there_holds_a_deploy_back_and_no_rollback(
    laptop: Laptop, mount: str, level: str
) -> None:
    sandbox = laptop.sandbox
    watched(laptop, settle=0, window=2)
    published(sandbox, 50)
    laptop.deployed("--tag", "1.0")
    laptop.deployed("--tag", "1.1")
    logged_in(sandbox)
    docker(sandbox, "create", "--name=agent", f"--volume={mount}", training_image(sandbox, "1.0"))
    rows = {row["name"]: row for row in laptop.fab("preflight", "--json").json["servers"][0]["rows"]}
    assert rows["state"]["level"] == level, rows["state"]
    if level == "ok":
        return
    assert "agent" in rows["state"]["sentence"]
    if level == "critical":
        assert "can be written by agent (by /home)" in refused(laptop, Refused, *DEPLOY, "--tag", "1.0").err
        assert "agent (by /home)" in refused(laptop, Refused, "schedule.install").err
        skipped = laptop.fab(*DEPLOY, "--skip", "state", "--reason", "x")
        assert skipped.status == 10 and "cannot do without the row state" in skipped.err, skipped.all
    back = laptop.fab("rollback")
    assert back.status == 0 and "agent" in back.out, back.all


def test_a_home_that_was_wiped_is_noticed_and_nothing_is_taken_for_somebody_elses(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    watched(laptop, settle=0, window=2)
    published(sandbox, 50)
    laptop.deployed("--tag", "1.0")
    run_inside(sandbox, ["rm", "-rf", "/home/deploy/.local"])
    for words in (DEPLOY, ("rollback",), ("stop", QUEUE), PAUSE, (*DEPLOY, "--adopt")):
        said = refused(laptop, Refused, *words)
        assert f"its state in {STATE}, and there is none there now" in said.err, said.err
        assert "fab setup --forget-state" in said.err and "with --adopt" not in said.err
    gone = laptop.fab("setup", "--forget-state")
    assert gone.status == 0 and f"{STATE} is given up" in gone.out, gone.all
    assert "--adopt" in says_no(laptop, Refused, *DEPLOY).err
    laptop.deployed("--adopt", "--tag", "1.1")


def test_a_state_that_hosts_yaml_puts_elsewhere_is_moved_when_somebody_says_so(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    watched(laptop, settle=0, window=2)
    published(sandbox, 50)
    first = laptop.deployed("--json", "--tag", "1.0").json["servers"][0]["release"]
    run_inside(sandbox, ["install", "-d", "-o", "1000", "-g", "1000", "-m", "0700", "/srv/state"])
    laptop.host["state"] = "/srv/state"
    laptop.save()
    elsewhere = STATE.replace("/home/deploy/.local/state/gpu-runbook", "/srv/state")
    for words in (DEPLOY, ("rollback",), ("restart", QUEUE), PAUSE):
        said = refused(laptop, Refused, *words)
        assert STATE in said.err and elsewhere in said.err and "fab setup --move-state" in said.err, said.err
    moved = laptop.fab("setup", "--move-state")
    assert moved.status == 0 and f"the state moved from {STATE} to {elsewhere}" in moved.out, moved.all
    assert listed(sandbox, STATE) == []
    before = standing(sandbox)
    assert "up to date" in laptop.deployed("--tag", "1.0").out and standing(sandbox) == before
    second = laptop.deployed("--json", "--tag", "1.1").json["servers"][0]["release"]
    releases = laptop.fab("status", "--json").json["servers"][0]["releases"]
    assert [one["id"] for one in releases] == [second, first]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("/dev/shm/state", "is on a file system of kind tmpfs"), ("/root/state", "is not writable for this login")],
)
def test_a_place_that_does_not_hold_or_is_closed_is_refused(laptop: Laptop, path: str, sentence: str) -> None:
    laptop.host["state"] = path
    laptop.save()
    said = refused(laptop, Refused)
    assert sentence in said.err and "install -d" in said.err, said.err
    assert says_no(laptop, NeedsPerson, "setup").err
