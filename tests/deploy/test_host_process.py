"""A training that is a process of the server, in no container: seen, told, and let be by whatever is done beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gpu_runbook.laptop.errors import BadInput, Refused
from sandbox import Sandbox, run_inside, set_gpu
from sandbox.machine import wait_until
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.refused import passwords, refused, shown
from tests.deploy.standing import watched
from tests.real import ROOT, consumer_image, docker, fire, logged_in

pytestmark = pytest.mark.real

# It makes its data first, with a worker, and takes no GPU yet.
PROGRAM = """
import subprocess, sys, time
if "worker" not in sys.argv:
    subprocess.Popen([sys.executable, __file__, "worker"])
time.sleep(3600)
"""
SECRET = "hunter2-of-the-run"
PATTERN = "python* *augment*train.py*"


@pytest.fixture
def program(laptop: Laptop) -> Iterator[str]:
    path = f"{ROOT}/augment-train.py"
    run_inside(laptop.sandbox, ["tee", path], user=LOGIN_USER, input=PROGRAM)
    yield path
    run_inside(laptop.sandbox, ["sh", "-c", "kill -KILL $(pgrep --full augment-trai[n].py) || true"])


def pids(sandbox: Sandbox, program: str) -> list[int]:
    """The processes of the run, its first one first."""
    found = run_inside(sandbox, ["pgrep", "--full", f"^[^ ]*python3 {program}"], check=False).stdout
    return sorted(map(int, found.split()))


def started(laptop: Laptop, line: str, program: str) -> list[int]:
    """Run a line as the person who logs in there: the run and its worker."""
    run_inside(laptop.sandbox, ["sh", "-c", f"({line}) > /dev/null 2>&1 < /dev/null"], user=LOGIN_USER)
    wait_until(lambda: len(pids(laptop.sandbox, program)) == 2, 20, "training with its worker")
    return pids(laptop.sandbox, program)


def row(laptop: Laptop, command: str = "preflight") -> dict[str, Any]:
    (server,) = laptop.fab(command, "--json").json["servers"]
    rows: list[dict[str, Any]] = server["checks" if command == "health" else "rows"]
    return next(row for row in rows if row["name"] == "training")


def test_a_run_in_no_container_is_told_from_its_start_on_and_goes_on_through_a_deploy(
    laptop: Laptop, program: str
) -> None:
    sandbox, training = laptop.sandbox, laptop.hosts["services"]["training"]
    training["process"] = {"command": PATTERN, "user": LOGIN_USER, "folder": ROOT}
    watched(laptop, settle=0, window=1)
    assert row(laptop)["figures"]["runs"] == 0
    first, worker = started(laptop, f"cd {ROOT}; python3 {program} --token {SECRET} &", program)
    logged_in(sandbox)
    inside = (
        "--entrypoint=python3",
        consumer_image(sandbox, "1.0"),
        "-c",
        "import time; time.sleep(999)",
        "augment train.py",
    )
    user = run_inside(sandbox, ["id", "--user", LOGIN_USER]).stdout.strip()
    other = docker(
        sandbox,
        "run",
        "--detach",
        f"--user={user}",
        f"--volume={ROOT}:{ROOT}",
        f"--workdir={ROOT}",
        "--pid=host",
        *inside,
    )
    alike = f"cd {ROOT}; exec setsid --fork python3 -c 'import time; time.sleep(999)' augment-train.py"
    run_inside(sandbox, ["sh", "-c", f"{alike} > /dev/null 2>&1 < /dev/null"])  # root's
    found = row(laptop)
    (active,) = found["figures"]["active"]
    assert (found["level"], active["pid"], active["user"], active["gpus"]) == ("ok", first, LOGIN_USER, [])
    assert f'process {first} ("python3 augment-train.py") of {LOGIN_USER} runs for ' in found["sentence"]
    set_gpu(sandbox, processes=[{"pid": worker, "name": "python3", "memory": 900, "gpu": 1}])
    for command in ("status", "health"):
        found = row(laptop, command)
        assert (found["level"], found["figures"]["active"][0]["gpus"]) == ("ok", [1]), found
        assert " on GPU 1, and is left alone" in found["sentence"]
        assert found["sentence"].count("is left alone") == 1
    assert laptop.fab("schedule.install").status == 0
    fire(sandbox)
    (server,) = laptop.fab("health", "--since", "1h", "--json").json["servers"]
    assert server["rounds"][-1]["levels"]["training"] == "ok"
    page = laptop.folder / "report.html"
    assert laptop.fab("report", "--out", str(page)).status == 0
    assert f"process {first} (" in page.read_text() and SECRET not in page.read_text()

    assert laptop.fab("deploy").status == 0
    moved = laptop.fab("deploy", "--tag", f"{QUEUE}=1.1,training=2.0")
    assert moved.status == 0, moved.all
    told = f'process {first} ("python3 augment-train.py") of {LOGIN_USER} runs on'
    assert f"training 1.0 → 2.0: for the next run only; {told}" in moved.out
    assert f"of {LOGIN_USER} running for " in laptop.fab("status").out
    assert pids(sandbox, program) == [first, worker]
    assert SECRET not in moved.all + laptop.fab("status", "--json").all
    docker(sandbox, "rm", "--force", other)


def test_without_an_image_the_printed_line_starts_a_run_that_goes_on_from_its_last_file(
    laptop: Laptop, program: str
) -> None:
    laptop.hosts["services"]["training"] = {
        "kind": "batch",
        "process": {"command": PATTERN, "user": LOGIN_USER, "folder": ROOT},
        "command": ["python3", program],
        "environment": {"NOTE": 'a "$HOME"'},
        "checkpoints": f"{ROOT}/models",
        "resume": ["--resume={checkpoint}"],
    }
    watched(laptop, settle=0, window=1)
    said = laptop.fab("deploy")
    assert said.status == 0, said.all
    refused(laptop, BadInput, "deploy", "--service", "training")
    printed = laptop.fab("training.command")
    assert printed.status == 0 and shown(passwords(laptop), printed.all) == []
    assert printed.out == f"env --chdir={ROOT} 'NOTE=a \"$HOME\"' nohup python3 {program} &\n"
    first, _ = started(laptop, printed.out.strip(), program)
    environ = run_inside(laptop.sandbox, ["cat", f"/proc/{first}/environ"]).stdout.split("\0")
    assert 'NOTE=a "$HOME"' in environ
    found = row(laptop, "status")
    assert [run["pid"] for run in found["figures"]["active"]] == [first]
    last = f"{ROOT}/models/azaion-2026-03-01/weights/last.pt"
    make = "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').writestr('last/data.pkl', 'x')"
    run_inside(laptop.sandbox, ["mkdir", "--parents", last.rpartition("/")[0]], user=LOGIN_USER)
    run_inside(laptop.sandbox, ["python3", "-c", make, last], user=LOGIN_USER)
    again = laptop.fab("training.command")
    assert again.out.endswith(f" nohup python3 {program} --resume={last} &\n")
    assert f"process {first} " in again.err and "runs already, for " in again.err


def test_where_the_login_sees_no_processes_of_others_nothing_is_known_of_theirs(laptop: Laptop, program: str) -> None:
    sandbox, training = laptop.sandbox, laptop.hosts["services"]["training"]
    training["process"] = {"command": PATTERN, "user": "root"}
    laptop.save()
    run_inside(sandbox, ["sh", "-c", f"exec setsid --fork python3 {program} > /dev/null 2>&1 < /dev/null"])
    wait_until(lambda: len(pids(sandbox, program)) == 2, 20, "training with its worker")
    assert row(laptop)["figures"]["runs"] == 1
    run_inside(sandbox, ["mount", "--options", "remount,hidepid=2", "/proc"])
    try:
        found = row(laptop)
        assert (found["level"], found["figures"]["runs"]) == ("unknown", 0)
        assert "this login may not see the processes of others" in found["sentence"] and "hidepid" in found["hint"]
        assert "training: whether one runs in no container is not known: " in laptop.fab("status").out
        held = refused(laptop, Refused, "deploy")
        assert f"or deploy the rest alone: --service {QUEUE}" in held.err
        training["process"]["user"] = LOGIN_USER
        laptop.save()
        assert row(laptop)["level"] == "ok"
    finally:
        run_inside(sandbox, ["mount", "--options", "remount,hidepid=0", "/proc"])
