"""fab diff on real parts: what a deploy would change, and what somebody has changed by hand; it changes nothing."""

from __future__ import annotations

import getpass
import hashlib
from typing import Any

import pytest

from gpu_runbook.laptop.errors import BadInput
from sandbox import run_inside
from sandbox.images import revision
from tests.deploy.laptop import QUEUE, Laptop, Said
from tests.deploy.refused import passwords, refused, shown
from tests.deploy.standing import watched
from tests.real import ROOT, docker, inspected, manifest, published, server_snapshot, training_image

pytestmark = pytest.mark.real


def compared(laptop: Laptop, *words: str) -> Said:
    """A `fab diff`, which leaves everything as it was."""
    before = server_snapshot(laptop.sandbox)
    said = laptop.fab("diff", *words)
    assert server_snapshot(laptop.sandbox) == before
    assert shown(passwords(laptop), said.all) == []
    return said


def server(said: Said) -> dict[str, Any]:
    (found,) = said.json["servers"]
    assert isinstance(found, dict)
    return found


def test_changes_and_drift_are_told_and_an_unchanged_server_is_the_same(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    published(laptop.sandbox, 10)
    bare = compared(laptop, "--exit-status")
    assert (bare.status, bare.out.splitlines()[0]) == (1, "gpu-1: no release yet")
    assert laptop.fab("deploy").status == 0
    same = compared(laptop, "--exit-status")
    assert same.status == 0, same.all
    assert same.out.splitlines()[1:] == ["  a deploy would change nothing", "  everything is as the record has it"]
    laptop.variables["RABBITMQ_PASSWORD"] += "!"
    laptop.save()
    changed = compared(laptop, "--tag", f"{QUEUE}=1.1,training=2.0", "--json")
    assert changed.status == 0, changed.all
    queue, training = server(changed)["changes"]
    assert (queue["change"], training["change"]) == ("replace", "tag")
    assert queue["reason"] == "its spec differs (image); its config differs (RABBITMQ_PASSWORD differs)"
    assert (queue["before"]["tag"], queue["after"]["tag"], training["after"]["tag"]) == ("1.0", "1.1", "2.0")
    assert queue["before"]["image"] != queue["after"]["image"]
    assert [text.split()[0] for text in server(changed)["variables"]] == ["RABBITMQ_PASSWORD"]
    assert server(changed)["drift"] == []


def pushed(laptop: Laptop, source: str) -> str:
    """What the tag dev names from now on; its digest."""
    content = manifest(laptop.sandbox, source)
    manifest(laptop.sandbox, "dev", content)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_tag_that_has_moved_is_told_and_a_digest_stays_what_it_is(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    laptop.queue["tag"] = "dev"
    laptop.save()
    first = pushed(laptop, "1.0")
    laptop.deployed()
    second = pushed(laptop, "1.1")
    moved = compared(laptop, "--service", QUEUE)
    short = (first[:19], second[:19])
    assert f"the tag dev has moved since its deploy: {short[0]} is deployed, {short[1]} is pushed" in moved.out
    looked = laptop.fab("preflight", "--service", QUEUE)
    release = laptop.fab("status", "--json").json["servers"][0]["release"]
    assert f"; the tag has moved since release {release}, which is of {short[0]}" in looked.out
    assert f"from commit {revision('1.1')[:8]}" in looked.out
    assert "the tag dev" not in compared(laptop, "--service", QUEUE, "--tag", first).out
    said = laptop.deployed("--tag", second)
    assert f"{QUEUE} dev → {short[1]} replaces what runs: its spec differs (image)" in said.out
    assert f"stops  {QUEUE} dev of release {release}, put there by {getpass.getuser()} at " in said.out
    assert inspected(laptop.sandbox, QUEUE)["Config"]["Image"].endswith(f"@{second}")
    assert f"{QUEUE}: {short[1]} (pinned), running" in laptop.fab("status").out
    assert f"{QUEUE}: dev ({short[0]}) → {short[1]} (pinned)" in laptop.fab("history").out
    pushed(laptop, "2.0")
    given = f"{short[1]} is in force, which {getpass.getuser()} gave with --tag at "
    assert given in (before := laptop.fab("preflight", "--service", QUEUE)).out and "hosts.yaml says dev" in before.out
    laptop.queue["tag"] = second
    laptop.save()
    assert "a deploy would change nothing" in compared(laptop, "--service", QUEUE).out
    back = laptop.fab("rollback")
    assert back.status == 0, back.all
    assert f"{QUEUE}: dev ({short[0]}), running" in laptop.fab("status").out


def test_what_somebody_did_by_hand_is_told(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    published(laptop.sandbox, 10)
    assert laptop.fab("deploy").status == 0
    assert laptop.fab("deploy", "--tag", f"{QUEUE}=1.1,training=2.0").status == 0
    docker(laptop.sandbox, "update", "--restart", "no", QUEUE)
    docker(laptop.sandbox, "stop", QUEUE)
    run_inside(laptop.sandbox, ["sh", "-c", f"echo '# by hand' >>{ROOT}/config.yaml"])
    current = training_image(laptop.sandbox, "current")
    docker(laptop.sandbox, "tag", "kept:latest", current)
    (status,) = laptop.fab("status", "--json").json["servers"]
    first = status["releases"][-1]
    image = first["services"]["training"]["image"]
    names = docker(laptop.sandbox, "image", "inspect", "--format", '{{join .RepoTags "\\n"}}', image).split()
    docker(laptop.sandbox, "rmi", *names, image)
    said = compared(laptop, "--json", "--exit-status")
    assert said.status == 1
    drift = {(one["service"], one["kind"]): one["sentence"] for one in server(said)["drift"]}
    assert drift.pop((QUEUE, "stopped")) == "its container does not run"
    assert drift.pop((QUEUE, "restart-policy")) == "its restart policy is no, and was unless-stopped"
    assert drift.pop((QUEUE, "config")).startswith(f"{ROOT}/config.yaml is not as its release has put it")
    assert f"{current} is image sha256:" in drift.pop(("training", "local-tag"))
    gone = f"the image of release {first['id']} (1.0) is gone: a rollback would have to pull it"
    assert drift == {("training", "image-gone"): gone}


def test_what_cannot_be_asked_is_no_sameness(laptop: Laptop) -> None:
    said = compared(laptop, "--tag", "no-such-tag", "--exit-status")
    assert said.status == 1
    assert f"{QUEUE}: what a deploy would change is not known: the registry has no " in said.out
    refused(laptop, BadInput, "diff", "--service", "nope")
