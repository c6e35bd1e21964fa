"""What a deploy finds different and what it leaves alone; what it shows before, and what it says after."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.laptop import QUEUE, Laptop, finished
from tests.deploy.standing import commands, standing, wait_for_offset, watched
from tests.real import BY_BATCHES, server_snapshot, training_image

pytestmark = pytest.mark.real


def result(laptop: Laptop, status: int, *words: str, apart: bool = False) -> dict[str, Any]:
    """What `fab deploy --json` says of the one server. apart: from a program whose sets have another order."""
    given = ("deploy", "--service", QUEUE, "--json", *words)
    said = finished(laptop.start(*given)) if apart else laptop.fab(*given)
    assert said.status == status, said.all
    [server] = said.json["servers"]
    assert server["server"] == "gpu-1"
    found: dict[str, Any] = server
    return found


def test_the_same_again_stops_nothing_unless_it_is_forced(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=2)
    first = result(laptop, 0)
    assert (first["outcome"], first["verdict"]) == ("done", "unproven")
    assert first["release"] == first["plan"]["release"]
    wait_for_offset(laptop.sandbox, 0)
    before = server_snapshot(laptop.sandbox)
    again = result(laptop, 0, apart=True)
    assert (again["outcome"], again["release"]) == ("up-to-date", first["release"])
    assert [step["change"] for step in again["plan"]["consumers"]] == ["none"]
    assert server_snapshot(laptop.sandbox) == before
    forced = result(laptop, 0, "--force")
    assert (forced["outcome"], forced["plan"]["consumers"][0]["reason"]) == ("done", "--force")
    assert standing(laptop.sandbox).container not in before.containers
    assert "create" in commands(laptop.sandbox)


def test_a_change_of_config_replaces_the_consumer_without_a_pull_and_names_the_variable(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=2)
    laptop.deployed()
    before, images = standing(laptop.sandbox), server_snapshot(laptop.sandbox).images
    laptop.variables["AZAION_API_PASSWORD"] = "another-secret"
    laptop.save()
    said = laptop.deployed()
    assert f"{QUEUE} 1.0 replaces what runs: its config differs (AZAION_API_PASSWORD differs)\n" in said.out
    assert "another-secret" not in said.all
    assert "pulling" not in said.all
    after = standing(laptop.sandbox)
    assert (after.container != before.container, after.config != before.config) == (True, True)
    assert server_snapshot(laptop.sandbox).images == images
    mounts = ["/azaion:/azaion", "/tmp:/mnt:ro"]
    laptop.queue.update({"environment": {"SAVE_EVERY": "10"}, "memory": "300m", "mounts": mounts})
    laptop.save()
    dry = laptop.fab("deploy", "--dry-run", "--service", QUEUE)
    reason = next(line for line in dry.out.splitlines() if "replaces what runs" in line)
    assert f"environment {BY_BATCHES} -> {{'SAVE_EVERY': '10'}}" in reason
    assert "mounts ('/azaion:/azaion',) -> ('/azaion:/azaion', '/tmp:/mnt:ro')" in reason
    assert "memory '' -> '300m'" in reason
    assert standing(laptop.sandbox) == after


def test_a_service_deployed_alone_leaves_the_others_in_force_with_their_config(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=2)
    laptop.deployed()
    before = standing(laptop.sandbox)
    alone = laptop.fab("deploy", "--service", "training")
    assert alone.status == 0, alone.all
    again = laptop.fab("deploy")
    assert "up to date, nothing was stopped" in again.out, again.all
    laptop.variables["AZAION_API_EMAIL"] = "others@azaion.example"
    laptop.save()
    changed = laptop.fab("deploy")
    assert "its config differs (AZAION_API_EMAIL differs)\n" in changed.out, changed.all
    back = laptop.fab("rollback")
    assert back.status == 0, back.all
    assert standing(laptop.sandbox) == before


def test_a_dry_run_shows_the_commands_of_the_run_and_changes_nothing(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=2)
    laptop.deployed()
    wait_for_offset(laptop.sandbox, 0)
    before = server_snapshot(laptop.sandbox)
    said = laptop.fab("deploy", "--dry-run", "--json", "--tag", f"{QUEUE}=1.1,training=2.0")
    assert said.status == 0, said.all
    [server] = said.json["servers"]
    assert (server["server"], server["outcome"]) == ("gpu-1", "dry-run")
    [step] = server["plan"]["consumers"]
    assert (step["change"], step["tag"], step["old"]["running"]) == ("replace", "1.1", True)
    run, old = server["plan"]["id"], step["old"]["release"]
    shown = [line.strip() for line in said.err.splitlines() if line.strip().startswith("$ ")]
    assert shown[0].startswith(f"$ docker create --name {QUEUE}.{run} --restart no --pull never --label ")
    assert shown[0].endswith(step["spec"]["image"])
    assert shown[1:] == [
        f"$ docker update --restart no {QUEUE}",
        f"$ docker rename {QUEUE} {QUEUE}.{old}",
        f"$ docker rename {QUEUE}.{run} {QUEUE}",
        f"$ docker stop -t 2 {QUEUE}.{old}",
        "$ mv (the staged config) /azaion/config.yaml",
        f"$ docker start {QUEUE}",
        f"$ docker update --restart unless-stopped {QUEUE}",
        f"$ docker tag {server['plan']['batches'][0]['image']} {training_image(laptop.sandbox, 'current')}",
        f"$ docker tag {step['spec']['image']} gpu-runbook/kept:(its id)-(the state's mark)",
        f"$ docker tag {server['plan']['batches'][0]['image']} gpu-runbook/kept:(its id)-(the state's mark)",
    ]
    passwords = [value for name, value in laptop.variables.items() if "PASSWORD" in name]
    assert [password for password in passwords if password in said.all] == []
    assert server_snapshot(laptop.sandbox) == before
    laptop.deployed("--tag", "1.1")
    assert commands(laptop.sandbox) == [line.split()[2] for line in shown if line.startswith("$ docker")][:-2]


def test_wrong_words_on_the_command_line_end_with_10_and_a_refusal_is_json_too(laptop: Laptop) -> None:
    for words, sentence in (
        (["--service", "anotation-queue"], 'no service "anotation-queue"'),
        (["--tag", "trainig=2.0"], "--tag trainig=2.0: no such service is deployed here"),
        (["--tag", "training=a:b"], "--tag 'a:b' is no tag"),
        (["--tag", f"{QUEUE}="], "--tag '' is no tag"),
    ):
        said = laptop.fab("deploy", *words)
        assert (said.status, sentence in said.err, said.out) == (10, True, ""), said.all
    before = server_snapshot(laptop.sandbox)
    refused = result(laptop, 12, "--tag", "9.9")
    assert (refused["outcome"], refused["exit_status"]) == ("refused", 12)
    assert f"the registry has no {laptop.sandbox.registry}/azaion/annotation-queue:9.9" in refused["sentence"]
    assert "build and push it" in refused["hint"]
    assert server_snapshot(laptop.sandbox) == before
