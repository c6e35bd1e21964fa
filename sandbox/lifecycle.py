"""Bring a sandbox up, take it down, say how it is."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gpu_runbook.laptop.errors import BadInput, Refused, RunbookError
from sandbox import bases, gpu_server, images, line, passwords, services
from sandbox.machine import as_root, boot, can_be_root, end, pid_of, require_namespaces
from sandbox.packages import install_missing
from sandbox.parts import SERVICE_PARTS, server_parts, start
from sandbox.place import CHECKOUT, CLASSIC, DEFAULT_PORT_BASE, OWN, Sandbox
from sandbox.say import Say
from sandbox.status import is_up

SETTINGS = "sandbox.json"
PRIVATE = 0o700  # keys and passwords lie below; users of the machines have another root, and never come by here


def found(directory: Path) -> Sandbox:
    """The sandbox in a directory as it was last brought up; one with default ports where there is none."""
    try:
        settings = json.loads((directory / SETTINGS).read_text())
    except FileNotFoundError:
        settings = {"port_base": DEFAULT_PORT_BASE}
    base, engine = Path(settings.get("base", OWN)), settings.get("engine", CLASSIC)
    return Sandbox(directory, settings["port_base"], base, engine)


def up(sandbox: Sandbox, say: Say, rtt: float = 0) -> None:
    """Bring everything up that is not up; `rtt` is the round trip to the server in milliseconds."""
    if os.geteuid() != 0:
        words = ("--port-base", str(sandbox.port_base), "--base", str(sandbox.base), "--engine", sandbox.engine)
        _again_as_root(sandbox, say, "up", *words, "--rtt", str(rtt))
        return
    bases.check(sandbox.base)
    _refuse_another(sandbox)
    if is_up(sandbox):
        line.set_line(sandbox, rtt)
        say("the sandbox is up already")
        return
    owner = int(os.environ.get("SUDO_UID", "0")), int(os.environ.get("SUDO_GID", "0"))
    install_missing(say)
    require_namespaces()
    _claim(sandbox, owner)
    variables = passwords.read_or_create(sandbox, owner)
    if pid_of(sandbox.services) is None:
        services.prepare(sandbox, variables)
        boot(sandbox.services)
    for name in SERVICE_PARTS:
        start(sandbox, name, wait=False)
    say("the broker and the registry are starting")
    if pid_of(sandbox.server) is None:
        gpu_server.prepare(sandbox, owner)
        boot(sandbox.server)
    for name in (*server_parts(sandbox), "registry"):
        start(sandbox, name)
    line.set_line(sandbox, rtt)
    say("the server answers")
    images.provide(sandbox, variables["REGISTRY_PASSWORD"], say)
    start(sandbox, "broker")
    say("the sandbox is up")


def down(sandbox: Sandbox, say: Say) -> None:
    """End every process, and remove every file and control group."""
    if os.geteuid() != 0:
        _again_as_root(sandbox, say, "down")
        return
    if not sandbox.directory.exists() and not any(map(pid_of, (sandbox.server, sandbox.services))):
        say("there is no sandbox")
        return
    _refuse_foreign(sandbox.directory)
    _thaw(sandbox)
    for machine in (sandbox.server, sandbox.services):
        end(machine)
    _remove_cgroups(sandbox)
    _refuse_mounts(sandbox.directory)
    if sandbox.directory.exists():
        shutil.rmtree(sandbox.directory)
    say("the sandbox is gone")


def reboot(sandbox: Sandbox, say: Say, booted: Callable[[], None] = lambda: None) -> None:
    """Pull the server's plug and boot it again; the engine starts by itself what its restart policies say.

    `booted` is called before any part is started, as an administrator's own disks are mounted then.
    """
    rtt = line.round_trip(sandbox)
    _thaw(sandbox)
    end(sandbox.server)
    boot(sandbox.server)
    booted()
    for name in server_parts(sandbox):
        start(sandbox, name)
    line.set_line(sandbox, rtt)
    say("the server is back")


def _claim(sandbox: Sandbox, owner: tuple[int, int]) -> None:
    """Make the directory, after a look at what would stand in the way."""
    _refuse_foreign(sandbox.directory)
    running = [machine for machine in (sandbox.server, sandbox.services) if pid_of(machine)]
    busy = [] if running else [f"port {port} ({what})" for what, port in sandbox.ports.items() if _is_busy(port)]
    if busy:
        raise Refused(f"already in use on 127.0.0.1: {', '.join(busy)}", "fab sandbox.up --port-base N takes others")
    sandbox.directory.mkdir(parents=True, exist_ok=True)
    sandbox.directory.chmod(PRIVATE)
    (sandbox.directory / ".gitignore").write_text("*\n")
    known = sandbox.directory / SETTINGS
    settings = {"port_base": sandbox.port_base, "base": str(sandbox.base), "engine": sandbox.engine}
    known.write_text(json.dumps(settings) + "\n")
    for path in (sandbox.directory, known):
        os.chown(path, *owner)


def _refuse_another(sandbox: Sandbox) -> None:
    """What is up, or was, is not changed into another one."""
    if not (sandbox.directory / SETTINGS).exists():
        return
    known = found(sandbox.directory)
    base = "this machine's own Debian" if known.base == OWN else f"the base {known.base}"
    pairs = {
        "other ports": (known.port_base, sandbox.port_base),
        base: (known.base, sandbox.base),
        f"the engine {known.engine}": (known.engine, sandbox.engine),
    }
    if other := [name for name, (was, wanted) in pairs.items() if was != wanted]:
        raise BadInput(f"{sandbox.directory} holds a sandbox with {other[0]}", "fab sandbox.down takes it down")


def _refuse_foreign(directory: Path) -> None:
    """A directory with anything else in it is neither written into nor removed."""
    if directory.exists() and any(directory.iterdir()) and not (directory / SETTINGS).exists():
        raise BadInput(f"{directory} is not empty and holds no sandbox", "name another directory")


def _is_busy(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _thaw(sandbox: Sandbox) -> None:
    """A paused container's processes do not even die, where control groups are of the first version."""
    for state in Path("/sys/fs/cgroup/freezer", sandbox.cgroup).rglob("freezer.state"):
        subprocess.run(as_root(["tee", str(state)]), input=b"THAWED", stdout=subprocess.DEVNULL, check=True)


def _remove_cgroups(sandbox: Sandbox) -> None:
    """Both layouts: one tree, or one per controller."""
    mounts = Path("/sys/fs/cgroup")
    for parent in (mounts / sandbox.cgroup, *mounts.glob(f"*/{sandbox.cgroup}")):
        for group in sorted((path for path in parent.rglob("*") if path.is_dir()), reverse=True):
            group.rmdir()
        if parent.exists():
            parent.rmdir()


def _refuse_mounts(directory: Path) -> None:
    """Nothing should be mounted there outside of the machines; removing would reach through to what it shows."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if inner := [point for point in mounted if directory in Path(point).parents]:
        raise Refused(
            f"{inner[0]} is mounted inside the sandbox's directory, which can therefore not be removed",
            f"umount {inner[0]}",
        )


def _again_as_root(sandbox: Sandbox, say: Say, *words: str) -> None:
    """Let `sudo` run the same command, and pass on what it says and how it ends."""
    if not can_be_root():
        raise Refused("the sandbox needs root, and `sudo -n` does not give it", "make test-unit needs nothing")
    command = as_root([sys.executable, "-m", "sandbox", *words, "--directory", str(sandbox.directory), "--plain"])
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for text in process.stdout or ():
            say(text.rstrip())
        errors = process.stderr.read().splitlines() if process.stderr else []
    if process.returncode:
        message, hint = errors[-2:] if len(errors) > 1 else ("what sudo ran failed without a word", "")
        error = RunbookError(message, hint)
        error.exit_code = process.returncode
        raise error
