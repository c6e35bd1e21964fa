"""The daemons of a sandbox: what each is started with, and how one sees that it answers."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable
from dataclasses import dataclass

from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.server.queue.stream import StreamError, bounds
from sandbox.machine import pid_of, run_on, wait_until
from sandbox.passwords import read
from sandbox.place import API_FLOOR, CONTAINERD, STREAM, Machine, Sandbox

SERVICE_PARTS = ("broker", "registry")
LEAST_API = "DOCKER_MIN_API_VERSION=1.44"


@dataclass(frozen=True)
class Part:
    """One daemon on one of the machines. `answers` asks it from outside, without changing anything."""

    name: str
    machine: Machine
    argv: tuple[str, ...]
    answers: Callable[[], bool]
    user: str = "root"
    seconds: float = 30


def parts(sandbox: Sandbox) -> dict[str, Part]:
    """All parts by name, in the order in which they are started."""
    server, services = sandbox.server, sandbox.services
    every = (
        Part(
            "broker",
            services,
            ("env", "HOME=/var/lib/rabbitmq", "/usr/lib/rabbitmq/bin/rabbitmq-server"),
            lambda: _stream_answers(sandbox),
            user="rabbitmq",
            seconds=60,
        ),
        Part(
            "registry",
            services,
            ("docker-registry", "serve", "/etc/docker-registry.yml"),
            lambda: _greets(sandbox.registry_port),
            user="registry",
        ),
        *_engine(sandbox),
        Part("sshd", server, ("/usr/sbin/sshd", "-D", "-e"), lambda: _greets(sandbox.sshd_port, b"SSH-")),
        Part(
            "line",
            server,
            ("/usr/local/sbin/line", "serve", str(sandbox.ssh_port), str(sandbox.sshd_port)),
            lambda: _greets(sandbox.ssh_port),
        ),
        # It could log to the machine's syslog only, and there is none.
        Part("cron", server, ("/usr/sbin/cron", "-f", "-L", "0"), lambda: _cron_has_read(server)),
    )
    return {part.name: part for part in every}


def server_parts(sandbox: Sandbox) -> list[str]:
    """The names of what runs on the server, in the order in which it is started."""
    return [name for name in parts(sandbox) if name not in SERVICE_PARTS]


def _engine(sandbox: Sandbox) -> list[Part]:
    """The docker engine, and the containerd that it has beside it, where it does not start one of its own."""
    server = sandbox.server
    argv = ("env", LEAST_API, "dockerd") if sandbox.engine == API_FLOOR else ("dockerd",)
    engine = Part("engine", server, argv, lambda: _engine_answers(server))
    if sandbox.engine != CONTAINERD:
        return [engine]
    return [Part("containerd", server, ("containerd",), lambda: _containerd_answers(server)), engine]


def start(sandbox: Sandbox, name: str, wait: bool = True) -> None:
    """Start a part that is not running, and wait until it answers."""
    part = parts(sandbox)[name]
    if not is_running(part):
        # The shell becomes the daemon: the pid file is right from the first moment on.
        script = f"echo $$ >/run/{name}.pid; exec setpriv --reuid={part.user} --regid={part.user} --init-groups "
        script += f"{shlex.join(part.argv)} >>/var/log/{name}.log 2>&1 </dev/null"
        run_on(part.machine, ["setsid", "--fork", "sh", "-c", script])
    if wait:
        wait_until(part.answers, part.seconds, name, part.machine.root / f"var/log/{name}.log")


def stop(sandbox: Sandbox, name: str) -> None:
    """Ask a part to end (SIGTERM), and wait until it has."""
    part = parts(sandbox)[name]
    _end(part, "TERM", _pid(part))


def kill(sandbox: Sandbox, name: str) -> None:
    """End a part at once (SIGKILL), with the processes of its group."""
    part = parts(sandbox)[name]
    _end(part, "KILL", f"-{_pid(part)}")


def is_running(part: Part) -> bool:
    return run_on(part.machine, ["sh", "-c", f"kill -0 $(cat /run/{part.name}.pid)"], check=False).returncode == 0


def running(sandbox: Sandbox) -> dict[str, bool]:
    """Of each part whether it runs, asked for all of a machine at once."""
    every = parts(sandbox)
    script = "for part; do kill -0 $(cat /run/$part.pid) && echo $part; done 2>/dev/null"
    found: set[str] = set()
    for machine in {part.machine: None for part in every.values() if pid_of(part.machine) is not None}:
        names = [name for name, part in every.items() if part.machine == machine]
        found.update(run_on(machine, ["sh", "-c", script, "sh", *names], check=False).stdout.split())
    return {name: name in found for name in every}


def _pid(part: Part) -> str:
    """The number by which the part's own machine knows it; it leads a process group of its own."""
    return run_on(part.machine, ["cat", f"/run/{part.name}.pid"]).stdout.strip()


def _end(part: Part, signal: str, target: str) -> None:
    if is_running(part):
        run_on(part.machine, ["kill", f"-{signal}", "--", target])
    wait_until(lambda: not is_running(part), part.seconds, f"{part.name} (its end)")


def _greets(port: int, greeting: bytes = b"") -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.settimeout(1)
            return connection.recv(len(greeting)) == greeting if greeting else True
    except OSError:
        return False


def _stream_answers(sandbox: Sandbox) -> bool:
    """The listener is there a second before the stream is."""
    variables = read(sandbox.env_file)
    address = StreamAddress("127.0.0.1", sandbox.stream_port, STREAM, variables["RABBITMQ_MONITOR_USER"])
    try:
        bounds(address, variables["RABBITMQ_MONITOR_PASSWORD"])
    except StreamError:
        return False
    return True


def _engine_answers(server: Machine) -> bool:
    return run_on(server, ["docker", "version"], check=False).returncode == 0


def _containerd_answers(server: Machine) -> bool:
    return run_on(server, ["ctr", "version"], check=False).returncode == 0


def _cron_has_read(server: Machine) -> bool:
    """It writes the first file before it reads its tables, and the second, once after each boot, when it has."""
    script = "cmp --quiet /run/crond.pid /run/cron.pid && test -e /run/crond.reboot"
    return run_on(server, ["sh", "-c", script], check=False).returncode == 0
