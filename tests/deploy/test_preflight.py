"""fab preflight and the same rows in a deploy: what holds it back changes nothing, and going past leaves its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from sandbox import run_inside, set_gpu
from sandbox.images import revision
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import QUEUE, Laptop, Said
from tests.deploy.standing import watched
from tests.gates import forge as forges
from tests.gates.forge import Forge
from tests.real import STATE, consumer_image, docker, logged_in, published, server_snapshot, wait_for_annotations

pytestmark = pytest.mark.real

ONLY = ("--service", QUEUE)
HEAD, BUILT = "a" * 40, revision("1.0")


@pytest.fixture
def forge() -> Iterator[Forge]:
    with forges.forge() as found:
        yield found


def rows(said: Said) -> dict[str, dict[str, Any]]:
    (server,) = said.json["servers"]
    return {row["name"]: row for row in server["rows"]}


def levels(said: Said) -> dict[str, str]:
    return {name: row["level"] for name, row in rows(said).items()}


def asks(laptop: Laptop, forge: Forge, **states: str) -> None:
    """hosts.yaml names a Gitea; it says so of each commit: `head` of dev, `built` of the image's label before it."""
    watched(laptop, settle=0, window=1)
    laptop.hosts["ci"] = {"forge": "gitea", "address": forge.address}
    laptop.save()
    root = "/api/v1/repos/azaion/annotation-queue"
    forges.gitea_branch(forge, BUILT, head=HEAD)
    for commit, state in ((HEAD, states.get("head")), (BUILT, states.get("built"))):
        found = [{"context": "build", "status": state}] if state else []
        combined = {"state": state or "", "sha": commit, "total_count": len(found), "statuses": found}
        forge.on(f"{root}/commits/{commit}/status", forges.says(combined))


def pushed_without_its_commit(laptop: Laptop, tag: str) -> None:
    """An image that does not say which commit it was built from."""
    sandbox = laptop.sandbox
    logged_in(sandbox)
    docker(sandbox, "pull", "--quiet", consumer_image(sandbox, "1.0"))
    made = docker(sandbox, "create", consumer_image(sandbox, "1.0"))
    label = "LABEL org.opencontainers.image.revision="
    docker(sandbox, "commit", "--change", label, made, consumer_image(sandbox, tag))
    docker(sandbox, "push", "--quiet", consumer_image(sandbox, tag))
    docker(sandbox, "rm", made)
    docker(sandbox, "rmi", consumer_image(sandbox, tag), consumer_image(sandbox, "1.0"))


def test_a_server_that_is_ready_has_a_row_for_every_line_and_is_left_as_it_was(laptop: Laptop) -> None:
    before = server_snapshot(laptop.sandbox)
    said = laptop.fab("preflight", "--json")
    found = levels(said)
    assert said.status == 0, said.all
    expected = {"CI", "scan", f"{QUEUE} image", "training image", ".env", "tree", "training"}
    assert expected | {"root", "state", "disk space", "NVIDIA driver", "docker GPU support"} <= set(found)
    assert (found["CI"], found["scan"]) == ("skipped", "skipped")
    assert rows(said)[f"{QUEUE} image"]["figures"]["digest"].startswith("sha256:")
    assert server_snapshot(laptop.sandbox) == before


def test_what_is_missing_is_a_row_each_and_the_worst_is_the_exit_status(laptop: Laptop) -> None:
    laptop.variables["AZAION_API_PASSWORD"] = ""
    del laptop.variables["AZAION_API_URL"]
    laptop.save()
    said = laptop.fab("preflight", "--tag", "9.9", "--json")
    found = rows(said)
    assert said.status == 2, said.all
    assert found[".env"]["level"] == "critical"
    assert "AZAION_API_PASSWORD is empty" in found[".env"]["sentence"]
    assert "AZAION_API_URL is not set" in found[".env"]["sentence"]
    assert found[f"{QUEUE} image"]["level"] == "critical" and "has no" in found[f"{QUEUE} image"]["sentence"]

    laptop.variables["REGISTRY_PASSWORD"] = "wrong"
    laptop.save()
    found = rows(laptop.fab("preflight", "--json"))
    assert "refused the login" in found[f"{QUEUE} image"]["sentence"]


def test_a_variable_that_differs_from_the_running_release_is_a_warning_with_its_origin(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    laptop.deployed()
    laptop.variables["AZAION_API_EMAIL"] = "somebody-else@azaion.example"
    laptop.save()
    said = laptop.fab("preflight", *ONLY, "--json")
    assert (said.status, levels(said)[".env"]) == (1, "warning")
    assert "AZAION_API_EMAIL differs from what" in rows(said)[".env"]["sentence"]
    assert "somebody-else" not in said.all


def test_a_red_commit_holds_a_deploy_back_until_somebody_goes_past_it_with_a_reason(
    laptop: Laptop, forge: Forge
) -> None:
    asks(laptop, forge, head="success", built="failure")
    assert levels(laptop.fab("preflight", *ONLY, "--json"))[f"{QUEUE} CI"] == "ok"  # the branch is
    before = server_snapshot(laptop.sandbox).containers
    said = laptop.fab("deploy", *ONLY)
    assert said.status == 12, said.all
    assert f"nothing was changed: {QUEUE} CI:" in said.err and BUILT[:8] in said.err
    assert server_snapshot(laptop.sandbox).containers == before

    said = laptop.fab("deploy", *ONLY, "--skip", f"{QUEUE} ci", "--reason", "the runner is down")
    assert said.status == 0, said.all
    assert "(gone past: the runner is down)" in said.out
    assert f"went past {QUEUE} CI: the runner is down" in laptop.fab("history").out


def test_an_image_of_a_green_commit_that_was_never_merged_is_not_deployed(laptop: Laptop, forge: Forge) -> None:
    asks(laptop, forge, head="success", built="success")
    forges.gitea_branch(forge, head=HEAD)
    before = server_snapshot(laptop.sandbox).containers
    said = laptop.fab("deploy", *ONLY)
    assert said.status == 12, said.all
    assert f"{QUEUE} CI: commit {BUILT[:8]} (the image's label) is not on branch dev" in said.err
    assert server_snapshot(laptop.sandbox).containers == before


def test_an_image_that_names_no_commit_is_as_green_as_the_branch(laptop: Laptop, forge: Forge) -> None:
    asks(laptop, forge, head="failure", built="success")
    assert laptop.fab("preflight", *ONLY).status == 2
    pushed_without_its_commit(laptop, "unlabelled")
    said = laptop.fab("deploy", *ONLY, "--tag", "unlabelled")
    assert said.status == 12 and HEAD[:8] in said.err, said.all
    laptop.deployed()  # the one that names its commit


def report(laptop: Laptop, digest: str, *severities: str) -> None:
    """A report of Trivy about an image, made now."""
    found = [
        {"VulnerabilityID": f"CVE-2026-000{at}", "PkgName": "openssl", "InstalledVersion": "3.0", "Severity": severity}
        for at, severity in enumerate(severities)
    ]
    (laptop.folder / f"{QUEUE}.json").write_text(
        json.dumps(
            {
                "SchemaVersion": 2,
                "CreatedAt": datetime.now(timezone.utc).isoformat(),
                "ArtifactName": "azaion/annotation-queue",
                "ArtifactType": "container_image",
                "Metadata": {
                    "OS": {"Family": "debian", "Name": "12"},
                    "RepoDigests": [f"{laptop.sandbox.registry}/azaion/annotation-queue@{digest}"],
                },
                "Results": [
                    {"Target": "debian", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": found},
                ],
            }
        )
    )


def test_a_scan_must_be_of_this_image_and_clean(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    laptop.hosts["scan"] = {"report": "{service}.json"}
    laptop.save()
    assert laptop.fab("deploy", *ONLY).status == 12  # there is no report
    digest = rows(laptop.fab("preflight", *ONLY, "--json"))[f"{QUEUE} image"]["figures"]["digest"]
    report(laptop, "sha256:" + "0" * 64)
    assert laptop.fab("deploy", *ONLY).status == 12
    report(laptop, digest, "HIGH")
    said = laptop.fab("deploy", *ONLY)
    assert said.status == 12 and "CVE-2026-0000" in said.err
    assert docker(laptop.sandbox, "ps", "--all", "--quiet") == ""
    report(laptop, digest, "LOW")
    assert laptop.fab("deploy", *ONLY).status == 0


def test_a_driver_that_does_not_answer_holds_back_the_training_image_and_not_the_queue(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    set_gpu(laptop.sandbox, exit=9, text="NVIDIA-SMI has failed because it could not communicate with the driver.")
    said = laptop.fab("deploy")
    assert said.status == 12, said.all
    assert "NVIDIA driver" in said.err
    assert docker(laptop.sandbox, "ps", "--all", "--quiet") == ""
    laptop.deployed()


def test_bad_skips_are_bad_input_and_nothing_is_contacted(laptop: Laptop) -> None:
    laptop.host["port"] = 1  # nobody is there
    laptop.save()
    for words, sentence in (
        (("--skip", "the weather", "--reason", "sunny"), 'there is no row "the weather"'),
        (("--skip", "disk space"), "--skip and --reason are given together"),
        (("--skip", "root", "--reason", "x"), "cannot do without the row root"),
        (("--skip", "state", "--reason", "x"), "cannot do without the row state"),
        (("--skip", "disk space", "--reason", ""), "--reason is given without a value"),
    ):
        said = laptop.fab("deploy", *words)
        assert (said.status, sentence in said.err) == (10, True), said.all


def test_status_shows_what_a_deploy_ends_with_and_proves_what_moved_on(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=2)
    said = laptop.deployed()
    assert "unproven" in said.out
    for row in ("container", "log", "offset"):
        assert f"{QUEUE} {row}" in said.out.partition("after it")[2]
    published(laptop.sandbox, 60)
    wait_for_annotations(laptop.sandbox, 60)
    seen = laptop.fab("status", "--json")
    (server,) = seen.json["servers"]
    assert server["releases"][0]["outcome"] == "proven"
    record = run_inside(laptop.sandbox, ["cat", f"{STATE}/previous-tags.json"], user=LOGIN_USER).stdout
    assert json.loads(record)["releases"][0]["outcome"] == "proven"

    laptop.queue["watch"]["failure_text"] = ["consum"]  # what every consumer says when it starts
    laptop.save()
    found = {row["name"]: row for row in laptop.fab("status", "--json").json["servers"][0]["rows"]}
    assert found[f"{QUEUE} log"]["level"] == "warning"
    assert found[f"{QUEUE} log"]["hint"] == f"see fab logs {QUEUE} --tail 20"
