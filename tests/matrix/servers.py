"""A row on a server: a sandbox of it, what its programs say of themselves, and the short life."""

from __future__ import annotations

import json
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox import Sandbox, down, run_inside, up
from sandbox.bases import resolved
from sandbox.machine import run_on
from sandbox.place import API_FLOOR, CHECKOUT, CONTAINERD, OWN
from sandbox.say import Say, with_time
from tests.deploy.laptop import Laptop, new_laptop
from tests.matrix import pythons
from tests.matrix.bounds import Late
from tests.matrix.kept import Step
from tests.matrix.life import NotSo, live
from tests.matrix.rows import Row

STORE = "io.containerd.snapshotter"  # how the engine calls containerd's store
FLOOR = "1.44"
BROKER_VERSION = ("env", "HOME=/var/lib/rabbitmq", "/usr/sbin/rabbitmqctl", "version")
_DEBIAN = ". /etc/os-release; echo $PRETTY_NAME"


class Absent(Exception):
    """What a row is about is not on this machine."""


@contextmanager
def server(row: Row, port_base: int) -> Iterator[Laptop]:
    """A laptop in front of a fresh sandbox of the row, which is down again at the end. Raises Absent."""
    tree = pythons.found_tree(row.python) if row.python else None
    if row.python and tree is None:
        raise Absent(f"no Python {row.python} that can be copied is on this machine")
    base = resolved(row.base, with_time()) if row.base else OWN
    sandbox = Sandbox(CHECKOUT / f".sandbox-tests-{port_base}", port_base, base, row.engine)
    down(sandbox, _quiet)  # what an earlier call that was killed has left
    try:
        up(sandbox, with_time())
        with tempfile.TemporaryDirectory() as folder:
            laptop = new_laptop(Path(folder), sandbox)
            if tree:
                laptop.host["python"] = _placed(sandbox, tree, row.python)
                laptop.save()
            yield laptop
    finally:
        down(sandbox, _quiet)


def play(row: Row, laptop: Laptop, say: Say) -> tuple[dict[str, str], list[Step], str]:
    """Live through it: what was found there, the steps that went well, and what was wrong with the next, if any was."""
    steps: list[Step] = []
    versions: dict[str, str] = {}
    name, begun = "versions", time.monotonic()
    try:
        versions |= asked(laptop)
        _check(row, versions)
        for following in live(laptop):
            if name != "versions":
                steps.append(_step(name, begun, say))
            name, begun = following, time.monotonic()
        steps.append(_step(name, begun, say))
    except (Exception, Late) as error:  # whatever it is: the server is not whole
        kind = "" if isinstance(error, (NotSo, Late)) else f"{type(error).__name__}: "
        return versions, steps, " ".join(f"{name}: {kind}{error}".split())
    return versions, steps, ""


def _step(name: str, begun: float, say: Say) -> Step:
    say(f"{name}: as it should be")
    return Step(name, round(time.monotonic() - begun, 1))


def asked(laptop: Laptop) -> dict[str, str]:
    """What each program of the sandbox says of itself."""
    sandbox = laptop.sandbox
    docker = json.loads(_said(sandbox, "docker", "version", "--format", "{{json .}}"))
    info = json.loads(_said(sandbox, "docker", "info", "--format", "{{json .}}"))
    components = {part["Name"]: part["Version"] for part in docker["Server"]["Components"]}
    python = str(laptop.host.get("python", "python3"))
    broker = run_on(sandbox.services, BROKER_VERSION, user="rabbitmq").stdout.strip()
    return {
        "system": _said(sandbox, "sh", "-c", _DEBIAN),
        "docker": docker["Server"]["Version"],
        "docker command": docker["Client"]["Version"],
        "API": f"{docker['Server']['MinAPIVersion']} to {docker['Server']['ApiVersion']}",
        "containerd": components["containerd"],
        "runc": components["runc"],
        "store": "containerd" if STORE in str(info["DriverStatus"]) else str(info["Driver"]),
        "cgroup": str(info["CgroupVersion"]),
        "OpenSSH": _greeting(sandbox.sshd_port),
        "RabbitMQ": broker,
        "Python": _said(sandbox, python, "-IS", "-c", "import platform; print(platform.python_version())"),
    }


def _check(row: Row, versions: dict[str, str]) -> None:
    """Raises NotSo where the server is not what the row is about."""
    if row.engine == CONTAINERD and (versions["store"], versions["cgroup"]) != ("containerd", "2"):
        raise NotSo(f"the engine has the store {versions['store']} and cgroup {versions['cgroup']}")
    if row.engine == API_FLOOR and not versions["API"].startswith(f"{FLOOR} "):
        raise NotSo(f"the engine speaks API {versions['API']}")
    if row.python and not versions["Python"].startswith(f"{row.python}."):
        raise NotSo(f"the server's Python is {versions['Python']}")


def _placed(sandbox: Sandbox, tree: Path, version: str) -> str:
    """Put a copy of an interpreter on the server; where it is there. Raises Absent where it does not run there."""
    place = f"/opt/python{version}"
    pythons.copy_tree(tree, sandbox.server.root / place.lstrip("/"))
    run_inside(sandbox, ["ldconfig", f"{place}/lib"])  # some have most of themselves in a library
    python = f"{place}/bin/python{version}"
    ended = run_inside(sandbox, [python, "-IS", "-c", "import json, ssl, subprocess, zlib"], user="deploy", check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines()[-1:]
        raise Absent(f"the Python {version} of this machine does not run elsewhere: {' '.join(said)}")
    return python


def _said(sandbox: Sandbox, *argv: str) -> str:
    return run_inside(sandbox, argv, user="deploy").stdout.strip()


def _greeting(port: int) -> str:
    """As `OpenSSH_9.2p1`, of the line that an sshd begins with."""
    with socket.create_connection(("127.0.0.1", port), 5) as line:
        said = line.recv(200).decode("ascii", "replace")
    return said.removeprefix("SSH-2.0-OpenSSH_").split()[0]


def _quiet(text: str) -> None:
    """That nothing was there need not be said."""
