"""Makes the scenes anew: the older version's own `fab`, out of its archive, works on a sandbox; what it left is kept.

`python -m tests.data.make --port-base N` as root; it takes about two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sandbox import Sandbox, down, finish, keep_publishing, run_inside, set_gpu, stop, up
from sandbox.gpu_server import TREE
from sandbox.machine import wait_until
from sandbox.place import CHECKOUT, LOGIN_USER
from sandbox.roots import LOGIN_UID
from sandbox.say import with_time
from tests import real
from tests.data import old
from tests.deploy.laptop import QUEUE, Laptop, finished, new_laptop
from tests.deploy.standing import wait_for_offset, wait_for_step, watched
from tests.faults import shim
from tests.faults.shim import Point
from tests.real import ROOT, docker, fire, inspected, published, started_consumer, started_training

LAPTOP, WHO = "laptop", "ann"  # in every run: neither this machine's name nor this user's is kept
NOT_KEPT = TREE  # below the root: what is neither ours nor a consumer's
PLACEHOLDER = "SANDBOX"  # for the sandbox's directory in hosts.yaml
RATE = 20  # messages a second
CUT_OFF = 14  # exit status of a laptop whose run was killed
ROLLED_BACK = 13
NEXT = ("deploy", "--service", QUEUE, "--tag", "1.1")  # the run that is killed
OWN_CRONTAB = "# somebody's own\n30 2 * * * /bin/true\n"


@dataclass(frozen=True)
class Cut:
    """A run that was killed: its id, and where."""

    run: str
    at: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.data.make")
    parser.add_argument("--port-base", type=int, required=True, help="as `fab sandbox.up` has it")
    port_base: int = parser.parse_args().port_base
    if socket.gethostname() != LAPTOP:
        _again_under_another_name()
    os.environ["LOGNAME"] = WHO
    sandbox, say = Sandbox(CHECKOUT / f".sandbox-tests-{port_base}", port_base), with_time()
    up(sandbox, say)
    try:
        real.keep_layers(sandbox)
        with TemporaryDirectory() as folder:
            source = old.unpacked(Path(folder, "source"))
            for name, make in SCENES.items():
                say(f"making {name}")
                real.clean(sandbox)
                real.as_it_was(sandbox)
                Path(folder, name).mkdir()
                laptop = new_laptop(Path(folder, name), sandbox, source)
                _keep(laptop, name, make(laptop))
    finally:
        down(sandbox, say)
    return 0


def _again_under_another_name() -> None:
    """Only what is started from here sees the other name."""
    script = f'echo {LAPTOP} >/proc/sys/kernel/hostname && exec "$@"'
    words = [sys.executable, "-m", "tests.data.make", *sys.argv[1:]]
    os.execvp("unshare", ["unshare", "--uts", "sh", "-c", script, "sh", *words])  # noqa: S606


def _settled(laptop: Laptop) -> None:
    """Everything that can be on a server on which no run was cut off."""
    sandbox = laptop.sandbox
    stop(sandbox, "cron")  # each round is fired
    run_inside(sandbox, ["crontab", "-"], user=LOGIN_USER, input=OWN_CRONTAB)
    started_training(sandbox)
    started_consumer(sandbox, "1.0")
    watched(laptop, settle=0, window=4)
    _tell_nobody_who_listens(laptop)
    _done(laptop, "schedule.install")
    producer = keep_publishing(sandbox, RATE, 1)
    _done(laptop, "deploy", "--adopt", "--tag", f"{QUEUE}=1.1,training=1.0")
    fire(sandbox)
    count = finish(producer)
    wait_for_offset(sandbox, count)
    _done(laptop, "models.use", "2026-03-02")
    laptop.deployed("--tag", "2.0")
    bad = laptop.fab("deploy", "--service", QUEUE, "--tag", "bad-exits")
    assert bad.status == ROLLED_BACK, bad.all
    _done(laptop, "rollback")
    _done(laptop, "models.use", "2026-04-20")
    _done(laptop, "deploy", "--tag", f"{QUEUE}=1.0,training=2.0")
    _kill_consumer(sandbox)
    fire(sandbox)  # starts it again
    assert inspected(sandbox, QUEUE)["State"]["Running"]
    set_gpu(sandbox, lost=[1])
    fire(sandbox)
    _done(laptop, "stop", QUEUE, "--reason", "the labels are being corrected")
    fire(sandbox)
    _done(laptop, "pause", "--for", "30d", "--reason", "the labels are being corrected")
    fire(sandbox)


def _tell_nobody_who_listens(laptop: Laptop) -> None:
    """A schedule with one channel of each kind; those that go over the network find a closed port."""
    port = laptop.sandbox.port_base + 90
    laptop.variables.update(
        HOOK_URL=f"http://127.0.0.1:{port}/hook/{secrets.token_urlsafe(18)}",
        HEARTBEAT_URL=f"http://127.0.0.1:{port}/ping/{secrets.token_urlsafe(18)}",
        MAIL_PASSWORD=secrets.token_urlsafe(18),
    )
    mail = {"kind": "smtp", "host": "127.0.0.1", "port": port, "security": "none", "sender": "gpu-1@team.example"}
    laptop.hosts["schedule"] = {
        "heartbeat_variable": "HEARTBEAT_URL",
        "alerts": {
            "ops": {"kind": "webhook", "url_variable": "HOOK_URL"},
            "mail": {**mail, "recipients": ["ops@team.example"], "user": "gpu-1", "password_variable": "MAIL_PASSWORD"},
            "log": {"kind": "command", "command": ["/usr/bin/tee", f"{ROOT}/told"]},
        },
    }
    laptop.save()


def _kill_consumer(sandbox: Sandbox) -> None:
    """As an engine that died leaves it: it does not run, and nobody stopped it."""
    docker(sandbox, "update", "--restart=no", QUEUE)
    docker(sandbox, "kill", "--signal=KILL", QUEUE)
    wait_until(lambda: not inspected(sandbox, QUEUE)["State"]["Running"], 10, "consumer (its end)")


def _cut_before_swap(laptop: Laptop) -> Cut:
    """The new container was created, and the run has not even written down which one it is."""
    return _cut_at_call(laptop, Point("after", 1), "after docker create")


def _cut_in_swap(laptop: Laptop) -> Cut:
    """The old one is stopped, the new config is in its place, and nothing runs."""
    return _cut_at_call(laptop, Point("before", 6), "before docker start")


def _cut_after_swap(laptop: Laptop) -> Cut:
    """The new one runs and is being watched; the record does not have it."""
    _first_release(laptop)
    watched(laptop, settle=20, window=30)
    with laptop.start(*NEXT) as process:
        run = wait_for_step(laptop.sandbox, 2, "watching")
        _kill_run(laptop.sandbox)
        _was_cut_off(process)
    return Cut(run, "while it was watching")


def _cut_at_call(laptop: Laptop, point: Point, at: str) -> Cut:
    """Kill a deploy at a call of docker that changes something; calls are counted from one."""
    _first_release(laptop)
    shim.install(laptop.sandbox)
    shim.arm(laptop.sandbox, point)
    try:
        with laptop.start(*NEXT) as process:
            assert shim.wait_for_point(laptop.sandbox, point, lambda: process.poll() is not None), at
            _kill_run(laptop.sandbox)
            _was_cut_off(process)
    finally:
        shim.let_go(laptop.sandbox)
        shim.remove(laptop.sandbox)
    newest = run_inside(laptop.sandbox, ["sh", "-c", f"ls {ROOT}/.deploy/runs/*.jsonl | tail -1"]).stdout
    return Cut(Path(newest.strip()).stem, at)


def _first_release(laptop: Laptop) -> None:
    """A release in force beside a training, and a consumer that has handled all there is."""
    started_training(laptop.sandbox)
    watched(laptop, settle=0, window=2)
    published(laptop.sandbox, 100)
    laptop.deployed("--tag", "1.0")
    wait_for_offset(laptop.sandbox, 100)


def _kill_run(sandbox: Sandbox) -> None:
    """SIGKILL for the process that holds the lock, and for all that descends from it."""
    # A shim's `sleep` may have ended since they were counted.
    run_inside(sandbox, ["kill", "-KILL", *map(str, shim.family(sandbox))], check=False)
    wait_until(lambda: shim.is_free(sandbox), 10, "run (its end)")


def _was_cut_off(process: subprocess.Popen[str]) -> None:
    said = finished(process)
    assert said.status == CUT_OFF, said.all


def _done(laptop: Laptop, *words: str) -> None:
    said = laptop.fab(*words)
    assert said.status == 0, said.all


SCENES: dict[str, Callable[[Laptop], Cut | None]] = {
    old.SETTLED: _settled,
    old.BEFORE: _cut_before_swap,
    old.IN: _cut_in_swap,
    old.AFTER: _cut_after_swap,
}


def _keep(laptop: Laptop, name: str, cut: Cut | None) -> None:
    """Replace a scene of the checkout by what stands on the server now."""
    sandbox, folder = laptop.sandbox, old.scene(name)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / old.ROOT).mkdir(parents=True)
    listing = _keep_root(sandbox, folder / old.ROOT)
    ids = docker(sandbox, "ps", "--all", "--quiet", "--no-trunc").split()
    # Asked last: whatever an answer may leave on the server is not kept.
    facts = {
        "version": old.VERSION,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "root": ROOT,
        "user": LOGIN_USER,
        "uid": LOGIN_UID,
        "python": run_inside(sandbox, ["python3", "--version"]).stdout.split()[1],
        "engine": docker(sandbox, "version", "--format", "{{.Server.Version}}"),
        "cut": cut and {"run": cut.run, "at": cut.at},
    }
    hosts = (laptop.folder / "hosts.yaml").read_text().replace(str(sandbox.directory), PLACEHOLDER)
    for file, text in {
        "listing.json": _one_a_line(listing),
        "scene.json": _json(facts),
        "containers.json": _json(json.loads(docker(sandbox, "inspect", *ids))),
        "crontab": run_inside(sandbox, ["crontab", "-l"], user=LOGIN_USER, check=False).stdout,
        "hosts.yaml": hosts,
        "env": (laptop.folder / ".env").read_text(),
        "status.json": laptop.fab("status", "--json").out,
        "history.json": laptop.fab("history", "--json").out,
    }.items():
        (folder / file).write_text(text)
    for path in filter(Path.is_file, folder.rglob("*")):
        assert not any(str(CHECKOUT).encode() in data for data in _contents(path)), f"{path} names this machine's paths"


def _keep_root(sandbox: Sandbox, folder: Path) -> dict[str, dict[str, Any]]:
    """Copy what stands below the root; what git does not keep of it, by path."""
    root, listing = sandbox.server.root / ROOT.lstrip("/"), {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if name.parts[0] in NOT_KEPT:
            continue
        status = path.lstat()
        target = folder / name
        if path.is_dir():
            target.mkdir()
        else:
            data = path.read_bytes()
            target.write_bytes(data if data.strip(b"\0") else b"")
        listing[str(name)] = {
            "type": "directory" if path.is_dir() else "file",
            "mode": f"{status.st_mode & 0o7777:04o}",
            "owner": f"{status.st_uid}:{status.st_gid}",
            "size": 0 if path.is_dir() else status.st_size,
        }
    return listing


def _contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and of each file in an archive."""
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _one_a_line(entries: dict[str, dict[str, Any]]) -> str:
    lines = [f"  {json.dumps(name)}: {json.dumps(facts)}" for name, facts in entries.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
