"""All gates of all services, asked at once: whose rows they are, what they know of the image, and who leaves them."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpu_runbook.laptop.gates import ask
from gpu_runbook.laptop.inputs.secret import DOTS
from gpu_runbook.laptop.inventory.gate_entries import Ci, Scan
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, Check
from gpu_runbook.protocol.snapshot import ImageIdentity
from tests.gates import forge as forges
from tests.gates.forge import HEAD, OTHER, Forge, gitea_status, says
from tests.gates.scans import DIGEST, IMAGE_ID, NOW, trivy
from tests.unit.scene import ENV, Scene, bare

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    found = bare(tmp_path)
    digests = {service.name: f"registry.lan:5000/{service.image}@{DIGEST}" for service in found.services}
    return found.seeing(digests=digests)


def asked(scene: Scene, ci: Ci | None = None, scan: Scan | None = None, revision: str = "") -> dict[str, Check]:
    inventory = dataclasses.replace(scene.inventory, ci=ci, scan=scan)
    known = dict.fromkeys(scene.look.digests.values(), ImageIdentity(IMAGE_ID, revision))
    tags = dict.fromkeys(inventory.services, "1.0")
    rows = ask.rows(inventory, scene.resolved, scene.services, tags, scene.look, known)
    return {row.name: row for row in rows}


def test_each_service_has_a_row_of_each_gate(scene: Scene, forge: Forge, tmp_path: Path) -> None:
    for image, word in (("azaion/queue", "success"), ("azaion/training", "failure")):
        status = {"sha": HEAD, "statuses": [gitea_status("build", word)]}
        forge.on(f"/api/v1/repos/{image}/commits/{HEAD}/status", says(status))
        forges.gitea_branch(forge, repository=image)
    (tmp_path / "second-queue-1.0.json").write_text(json.dumps(trivy(made=NOW.isoformat())))
    ci = Ci(forge="gitea", address=forge.address, token_variable="QUEUE_PASSWORD")
    scan = Scan(report=tmp_path / "{service}-{tag}.json", max_age=2**40)
    rows = asked(scene, ci, scan, revision=HEAD)
    assert {name: row.level for name, row in rows.items()} == {
        "annotation-queue CI": OK,
        "second-queue CI": OK,
        "training CI": CRITICAL,
        "annotation-queue scan": UNKNOWN,
        "second-queue scan": OK,
        "training scan": UNKNOWN,
    }
    assert "QUEUE_PASSWORD=hunter2hunter2" in ENV
    assert forge.tokens == {"token hunter2hunter2"}


def test_what_a_command_says_of_a_secret_of_env_is_covered(scene: Scene) -> None:
    command = ("sh", "-c", "echo 'no: hunter2hunter2' >&2; exit 3")
    rows = asked(scene, Ci(command=command), Scan(command=command))
    assert {row.sentence.rpartition(": ")[2] for row in rows.values()} == {DOTS}
    assert len(rows) == 6


def test_without_an_entry_nothing_is_asked(scene: Scene) -> None:
    assert asked(scene) == {}
    assert [row.level for row in ask.absent(scene.inventory)] == ["skipped", "skipped"]


def test_who_leaves_does_not_wait_for_an_answer(forge: Forge, tmp_path: Path) -> None:
    for image in ("azaion/queue", "azaion/training"):
        forge.on(f"/api/v1/repos/{image}/commits/{OTHER}/status", forges.never)
    code = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
from pathlib import Path
from gpu_runbook.laptop.inventory.gate_entries import Ci
from tests.gates.scans import DIGEST
from tests.gates.test_gating import asked
from tests.unit.scene import bare
scene = bare(Path(sys.argv[1]))
scene = scene.seeing(digests={{one.name: f"registry.lan:5000/{{one.image}}@{{DIGEST}}" for one in scene.services}})
asked(scene, Ci(forge="gitea", address="{forge.address}", timeout=120), revision="{OTHER}")
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, stderr=subprocess.PIPE)
    with child:
        try:
            while not forge.asked and child.poll() is None:
                time.sleep(0.02)
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=60)  # an answer would be given up after 480 s
        finally:
            child.kill()
    assert b"KeyboardInterrupt" in said
