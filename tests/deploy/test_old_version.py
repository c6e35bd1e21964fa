"""What an older version has deployed is this version's to look after: its status, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data import old
from tests.deploy.laptop import QUEUE, Laptop, older_laptop
from tests.deploy.standing import journal, standing, wait_for_offset, watched
from tests.real import ROOT, inspected, lost_and_twice, messages, published, started_training, wait_for_annotations

pytestmark = pytest.mark.real


def test_a_release_of_an_older_version_is_seen_and_gone_back_to(laptop: Laptop, tmp_path: Path) -> None:
    sandbox, folder = laptop.sandbox, tmp_path / "older"
    folder.mkdir()
    older = older_laptop(folder, laptop, old.unpacked(tmp_path / "source"))
    for one in (older, laptop):
        watched(one, settle=0, window=2)
    training = inspected(sandbox, started_training(sandbox))["State"]
    published(sandbox, 100)
    first = older.deployed("--json", "--tag", "1.0").json["servers"][0]["release"]
    wait_for_offset(sandbox, 100)
    second = older.deployed("--json", "--tag", "1.1").json["servers"][0]["release"]
    assert journal(sandbox, f"{ROOT}/.deploy/runs")[0]["plan"]["version"] == old.VERSION

    status = laptop.fab("status", "--json")
    assert status.status == 0, status.all
    (server,) = status.json["servers"]
    assert (server["release"], [one["id"] for one in server["releases"]]) == (second, [second, first])
    assert server["run"]["state"] == "ended"

    published(sandbox, 100, first=101)
    before = standing(sandbox)
    back = laptop.fab("rollback", "--json")
    assert (back.status, back.json["servers"][0]["release"]) == (0, first), back.all
    assert lost_and_twice(wait_for_annotations(sandbox, 200), messages(200)) == ([], [])
    assert standing(sandbox).container != before.container
    assert inspected(sandbox, QUEUE)["Config"]["Labels"]["gpu-runbook.release"] == first
    assert inspected(sandbox, "training")["State"] == training
