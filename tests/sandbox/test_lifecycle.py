"""Bringing a sandbox up harms nothing, and taking it down leaves nothing."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput, RunbookError
from sandbox import Sandbox, down, found, is_up, set_gpu, up
from sandbox.machine import as_root, inside, pid_of
from sandbox.place import Machine
from sandbox.say import Say, plain
from tests import real

pytestmark = pytest.mark.real


@pytest.fixture
def another(sandbox: Sandbox, tmp_path: Path) -> Iterator[Sandbox]:
    """A place for one more sandbox beside the one that all tests share."""
    place = Sandbox(tmp_path / "sandbox", sandbox.port_base + 100)
    yield place
    down(place, plain)


def machine_outside() -> dict[str, object]:
    """What a sandbox could leave on the real machine, apart from its own directory."""
    places = ("/", "/run", "/etc", "/etc/ssh", "/var/lib", "/var/log", "/usr/local/bin", "/sys/class/net")
    return {
        "mounts": Path("/proc/self/mountinfo").read_text(),
        # /run/sshd is of another test's sshd, which may come up at the same time.
        "names": {place: sorted(set(Path(place).iterdir()) - {Path("/run/sshd")}) for place in places},
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
    }


def processes_of(sandbox: Sandbox) -> list[str]:
    """The command lines of all processes that know the sandbox's directory, this test's own ones apart."""
    told = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.parent.name != str(os.getpid())]
    return [line.replace(b"\0", b" ").decode() for line in told if str(sandbox.directory).encode() in line]


@contextmanager
def kept_namespace(machine: Machine) -> Iterator[str]:
    """The machine's PID namespace, as `/proc/<pid>/ns/pid` names it.

    It is held open meanwhile: the kernel gives a freed number to the next namespace, which may be of a sandbox
    that comes up beside this one.
    """
    holding = f"exec 3< /proc/{pid_of(machine)}/ns/pid; readlink /proc/{pid_of(machine)}/ns/pid; cat"
    with subprocess.Popen(
        as_root(["sh", "-c", holding]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as held:
        assert held.stdout is not None
        yield held.stdout.readline().strip()


def namespaces_of_processes() -> set[str]:
    listed = subprocess.run(
        as_root(["find", "/proc", "-maxdepth", "3", "-path", "*/ns/pid", "-printf", "%l\n"]),
        capture_output=True,
        text=True,
    )
    return set(listed.stdout.split())


def test_down_leaves_no_process_mount_control_group_port_or_file(another: Sandbox) -> None:
    before = machine_outside()
    up(another, plain)
    real.docker(another, "pause", real.started_training(another))
    set_gpu(another, hang="unkillable")
    with subprocess.Popen(inside(another.server, ["nvidia-smi"]), stderr=subprocess.DEVNULL):
        assert processes_of(another)
        with kept_namespace(another.server) as server, kept_namespace(another.services) as services:
            assert {server, services} <= namespaces_of_processes()
            down(another, plain)
            assert not {server, services} & namespaces_of_processes()

    assert processes_of(another) == []
    assert not list(Path("/sys/fs/cgroup").rglob(another.cgroup))
    assert not another.directory.exists()
    for port in another.ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert machine_outside() == before
    down(another, plain)  # a second time is harmless


def test_up_on_a_sandbox_that_is_up_changes_nothing(server: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    container = real.started_consumer(server, "1.0")
    pids = pid_of(server.server), pid_of(server.services)
    up(server, plain)
    assert capsys.readouterr().out == "the sandbox is up already\n"
    assert (pid_of(server.server), pid_of(server.services)) == pids
    assert real.inspected(server, container)["State"]["Running"]
    assert is_up(found(server.directory))


def test_a_busy_port_is_named_and_nothing_is_begun(another: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", another.registry_port)), pytest.raises(RunbookError) as raised:
        up(another, plain)
    assert raised.value.exit_code == 12
    assert raised.value.message == f"already in use on 127.0.0.1: port {another.registry_port} (registry)"
    assert not another.directory.exists()


@pytest.mark.parametrize("verb", [up, down])
def test_a_directory_of_somebody_else_is_neither_written_into_nor_removed(
    sandbox: Sandbox, tmp_path: Path, verb: Callable[[Sandbox, Say], None]
) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(RunbookError) as raised:
        verb(Sandbox(tmp_path, sandbox.port_base + 100), plain)
    assert raised.value.exit_code == BadInput.exit_code
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
