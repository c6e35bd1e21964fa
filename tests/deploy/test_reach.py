"""What a consumer puts in the place of files below its mounts: no verb waits for it, copies it or gives it away."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from gpu_runbook.laptop.rpc import bundle
from sandbox import Sandbox, run_inside
from sandbox.machine import inside
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import journal, standing, wait_for_offset, watched
from tests.real import ROOT, docker, inspected, published, server_snapshot, started_training

pytestmark = pytest.mark.real

CANARY = "canary-4711"
HOME = "/home/deploy/secret.yaml"

# A consumer that does nothing, and something at its end.
EVIL = """
import os, signal, sys, time
def end(*words):
    {trick}
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
if not os.path.lexists("/azaion/offset.yaml"):
    open("/azaion/offset.yaml", "w").write("offset: 0\\n")
{always}
while True:
    time.sleep(1)
"""
TIGHT = """
import ctypes
if not os.path.lexists("/azaion/evil"):
    os.symlink("{home}", "/azaion/evil")
libc = ctypes.CDLL(None)
while True:
    libc.renameat2(-100, b"/azaion/evil", -100, b"/azaion/config.yaml", 2)
    time.sleep(0.001)
"""


@pytest.fixture
def laptop(laptop: Laptop) -> Laptop:
    """Beside a file that the login may read and no container has to do with."""
    run_inside(laptop.sandbox, ["tee", HOME], user="deploy", input=f"model: {CANARY}\noffset: {CANARY}\n")
    run_inside(laptop.sandbox, ["chmod", "600", HOME])
    watched(laptop, settle=0, window=1)
    return laptop


def evil(laptop: Laptop, trick: str = "pass", always: str = "") -> None:
    laptop.queue["command"] = ["python3", "-u", "-c", EVIL.format(trick=trick, always=always)]
    laptop.save()


def nowhere(sandbox: Sandbox) -> None:
    """The canary is where it was, as it was, and nowhere else."""
    found = run_inside(sandbox, ["grep", "-rlI", "--devices=skip", CANARY, ROOT, "/home"], check=False).stdout.split()
    assert found == [HOME]
    state = run_inside(sandbox, ["stat", "-c", "%a %u:%g %h", HOME]).stdout.strip()
    assert state == "600 1000:1000 1"


def test_a_pipe_in_the_place_of_the_offset_holds_no_deploy_in_the_gap(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    evil(laptop, "os.remove('/azaion/offset.yaml'); os.mkfifo('/azaion/offset.yaml')")
    laptop.deployed("--tag", "1.0")
    evil(laptop)
    begun = time.monotonic()
    said = laptop.deployed("--tag", "1.1")
    assert time.monotonic() - begun < 30
    assert f"the position in {ROOT}/offset.yaml could not be kept: it is not a file" in said.all
    swapped = next(line for line in journal(sandbox) if line["event"] == "swapped")
    assert swapped["outage"] < 5 and "offset" not in swapped
    assert inspected(sandbox, QUEUE)["State"]["Running"]


def test_a_link_in_the_place_of_the_config_takes_nothing_along(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.deployed("--tag", "1.0")
    before = standing(sandbox)
    run_inside(sandbox, ["ln", "-sf", HOME, f"{ROOT}/config.yaml"], user="deploy")
    said = laptop.fab("deploy", "--service", QUEUE, "--tag", "1.1")
    why = f"{ROOT}/config.yaml is a link to '{HOME}', which container {QUEUE} could have made: name in hosts.yaml what"
    assert (said.status, why in said.all) == (12, True), said.all
    assert (standing(sandbox).container, standing(sandbox).running) == (before.container, True)
    nowhere(sandbox)


def test_a_config_that_is_a_link_every_other_moment_takes_nothing_along(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.queue["config"]["model_key"] = "model"
    laptop.hosts["models"]["in_force"] = "config"
    del laptop.hosts["models"]["current"]
    evil(laptop, always=TIGHT.format(home=HOME))
    laptop.deployed("--tag", "1.0")
    for date in ("2026-04-20", "2026-03-02"):
        for words in (("status",), ("models.use", date, "--force")):
            said = laptop.fab(*words)
            assert CANARY not in said.all and "defect" not in said.all, said.all
        said = laptop.fab("deploy", "--service", QUEUE, "--force")  # its row may see the one, and its run the other
        assert said.status in (0, 12) and CANARY not in said.all, said.all
        nowhere(sandbox)


def test_a_folder_in_the_way_keeps_no_consumer_down(laptop: Laptop) -> None:
    """An image that is bad and evil: it is rolled back, and the config before it is in its place again."""
    sandbox = laptop.sandbox
    laptop.deployed("--tag", "1.0")
    before = standing(sandbox)
    tricks = "; ".join(
        (
            "os.remove('/azaion/config.yaml')",
            "os.makedirs('/azaion/config.yaml/in')",
            "os.makedirs('/azaion/.config.yaml.back/in')",
            "[os.remove('/azaion/' + name) for name in os.listdir('/azaion') if name.endswith('.before')]",
        )
    )
    evil(laptop, always=f"print('Traceback', flush=True); {tricks}")
    laptop.queue["watch"]["window"] = 20
    laptop.save()
    said = laptop.fab("deploy", "--service", QUEUE, "--tag", "1.1")
    assert (said.status, "is back" in said.all) == (13, True), said.all
    assert standing(sandbox) == before


def test_what_is_set_aside_is_gone_when_a_run_is_over(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.deployed("--tag", "1.0")
    published(sandbox, 20)
    wait_for_offset(sandbox, 20)
    laptop.deployed("--tag", "1.1")
    published(sandbox, 20, first=21)
    wait_for_offset(sandbox, 40)
    assert laptop.fab("rollback", "--replay").status == 0
    watched(laptop, settle=1, window=60)  # it may take its time until it ends
    assert laptop.fab("deploy", "--service", QUEUE, "--tag", "bad-exits").status == 13
    tree = server_snapshot(sandbox).tree
    assert f"{ROOT}/offset.yaml" in tree
    assert [name for name in tree if name.endswith(".before") or "/." in name.replace("/.local/", "/")] == []


def as_root(sandbox: Sandbox, verb: str, request: dict[str, Any]) -> dict[str, Any]:
    """What a call with `sudo: true` runs on the server, with its answer."""
    words = inside(sandbox.server, ["/usr/bin/python3", "-IS", "-c", bundle.loader(bundle.packer(verb))])
    done = subprocess.run(words, input=bundle.pack(verb, request, bundle.packer(verb)), capture_output=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.split(b"\x1e")[-1])["answer"]
    return answer


def set_up(sandbox: Sandbox, path: str) -> dict[str, Any]:
    folder = {"path": path, "owner": "1000:1000", "mode": 0o777}
    request = {
        "root": ROOT,
        "state": "/var/lib/gpu-runbook",
        "docker_host": "",
        "gpus": 0,
        "tree": [folder],
        "login": None,
        "dry_run": False,
        "wanted_gpus": [],
    }
    return as_root(sandbox, "setup", request)


def test_setup_as_root_gives_nothing_away_that_a_link_leads_to(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    training = started_training(sandbox)
    run_inside(sandbox, ["mkdir", "-m", "700", "/srv", "/srv/secret"])
    run_inside(sandbox, ["ln", "-s", "/srv/secret", f"{ROOT}/other"])
    why = f"{ROOT}/other is a link to '/srv/secret', which container training could have made"
    for path in (f"{ROOT}/other", f"{ROOT}/other/new"):
        told = set_up(sandbox, path)
        assert [why in one["what"] for one in told["left"]] == [True], told
        assert [line for line in told["done"] if "gpu-runbook" not in line] == []
    state = run_inside(sandbox, ["stat", "-c", "%a %u:%g", "/srv/secret"]).stdout.strip()
    assert (state, run_inside(sandbox, ["ls", "/srv/secret"]).stdout) == ("700 0:0", "")
    assert docker(sandbox, "ps", "--quiet", "--no-trunc") == training


def test_an_administrators_link_is_followed_and_the_row_says_where_it_leads(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.hosts["models"]["folder"] = "/srv/models"
    laptop.hosts["tree"] = {"/srv/models": {"owner": "1000:2000"}}
    laptop.save()
    run_inside(sandbox, ["mkdir", "-p", "/srv", "/srv/disk"])
    run_inside(sandbox, ["cp", "-a", f"{ROOT}/models", "/srv/disk/models"])
    run_inside(sandbox, ["ln", "-s", "disk/models", "/srv/models"])
    laptop.deployed("--tag", "1.0")  # a container that has nothing of it mounted
    said = laptop.fab("models")
    assert "gpu-1: 2 models in /srv/models (which leads to /srv/disk/models); " in said.out, said.all
    assert said.out.count("  whole") == 2
    rows = {row["name"]: row for row in laptop.fab("preflight", "--json").json["servers"][0]["rows"]}
    assert rows["tree"]["sentence"].endswith("; /srv/models (which leads to /srv/disk/models)")

    docker(sandbox, "create", "--volume=/srv:/srv", inspected(sandbox, QUEUE)["Image"], "true")
    said = laptop.fab("models")
    assert (said.status, "which container " in said.err, "could have made" in said.err) == (12, True, True), said.all


def test_a_crafted_archive_takes_no_memory(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    laptop.hosts["models"] = {"folder": f"{ROOT}/models", "file": "best.pt"}
    laptop.save()
    craft = (
        "import os, struct\nos.makedirs('/azaion/models/2026-05-01')\n"
        "with open('/azaion/models/2026-05-01/best.pt', 'wb') as file:\n"
        "    file.write(b'PK\\3\\4'); file.truncate(4 + 3000000000); file.seek(4 + 3000000000)\n"
        "    file.write(struct.pack('<4s4H2LH', b'PK\\5\\6', 0, 0, 1, 1, 3000000000, 4, 0))\n"
    )
    run_inside(sandbox, ["python3", "-c", craft], user="deploy")
    run_inside(sandbox, ["touch", "-d", "2026-05-01", f"{ROOT}/models/2026-05-01/best.pt"], user="deploy")
    begun = time.monotonic()
    said = laptop.fab("models")
    assert "2026-05-01" in said.out and "it is no model: the list of its parts is too long" in said.out, said.all
    assert time.monotonic() - begun < 30
