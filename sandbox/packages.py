"""The programs a sandbox is made of, and the Debian packages they come from."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gpu_runbook.laptop.errors import Refused

# What the machine has under /usr/local stays out of the sandbox, so it is not looked for there either.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
POLICY = Path("/usr/sbin/policy-rc.d")
# Who installs holds this directory's flock, which leaves no file behind; nobody else takes it.
TURN = Path("/var/lib")
APT_SECONDS = 120  # to wait for an apt of somebody else's
APT_WAITS = ("-o", f"DPkg::Lock::Timeout={APT_SECONDS}")
# For these it does not wait, whatever it is told: update takes the first, install the second.
APT_LOCKS = (Path("/var/lib/apt/lists/lock"), Path("/var/cache/apt/archives/lock"))


@dataclass(frozen=True)
class Program:
    """A program, the packages that may bring it (the first that exists is taken), why, and the units they enable."""

    binary: str
    packages: tuple[str, ...]
    why: str
    units: tuple[str, ...] = ()


PROGRAMS = (
    Program(
        "dockerd",
        ("docker.io",),
        "the server's container engine",
        ("docker.service", "docker.socket", "containerd.service"),
    ),
    Program("docker", ("docker-cli", "docker.io"), "the engine's command line"),
    Program("sshd", ("openssh-server",), "how people get in", ("ssh.service", "ssh.socket")),
    Program("docker-registry", ("docker-registry",), "where images are fetched from", ("docker-registry.service",)),
    Program(
        "rabbitmq-server", ("rabbitmq-server",), "the broker of the stream", ("rabbitmq-server.service", "epmd.socket")
    ),
    Program("busybox", ("busybox-static",), "the shell inside the images"),
    Program("python3", ("python3",), "what runs a plan on the server"),
    Program("ps", ("procps",), "what `docker top` asks"),
    Program("pivot_root", ("util-linux-extra", "util-linux"), "what gives the sandbox's machines roots of their own"),
    Program("cron", ("cron",), "what runs the server's scheduled checks", ("cron.service",)),
)


def missing() -> tuple[Program, ...]:
    return tuple(program for program in PROGRAMS if shutil.which(program.binary, path=SYSTEM_PATH) is None)


def install_missing(say: Callable[[str], None]) -> None:
    """Install what is missing, and leave no service of it running or enabled; one at a time on the whole machine."""
    with _own_turn():  # before the look: a program is there a while before its package is set up
        if programs := missing():
            _install(programs, say)


def _install(programs: tuple[Program, ...], say: Callable[[str], None]) -> None:
    if shutil.which("apt-get") is None:
        names = ", ".join(program.binary for program in programs)
        raise Refused(f"this machine lacks {names}, and has no apt-get to install them with", "use Debian or Ubuntu")
    _apt("update")
    wanted: dict[str, Program] = {}
    for program in programs:
        package = next((name for name in program.packages if _is_known(name)), program.packages[0])
        if package not in wanted:
            say(f"installing {package}: {program.why} ({program.binary} is missing)")
            wanted[package] = program
    units = [unit for program in wanted.values() for unit in program.units if not _unit(unit).exists()]
    with _no_service_starts():
        _apt("install", "--yes", "--no-install-recommends", "--no-remove", *wanted)
    came = [unit for unit in units if _unit(unit).exists()]
    if came and shutil.which("systemctl"):
        # They would start with the machine's next boot; the sandbox is all they were installed for.
        subprocess.run(["systemctl", "disable", "--quiet", *came], check=True, capture_output=True)


def _unit(name: str) -> Path:
    return Path("/lib/systemd/system") / name


def _is_known(package: str) -> bool:
    answer = subprocess.run(["apt-cache", "policy", package], check=True, capture_output=True, text=True).stdout
    return "Candidate:" in answer and "Candidate: (none)" not in answer


def _apt(*words: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "--quiet", *APT_WAITS, *words]
    deadline = time.monotonic() + APT_SECONDS
    while True:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if not (done.returncode and any(map(_is_held, APT_LOCKS))) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Refused(f"apt-get {words[0]} failed: {' '.join(reason)}", f"run `apt-get {' '.join(words)}` to see why")


def _is_held(lock: Path) -> bool:
    """Whether a process holds apt's lock; asking does not take it, not even for a moment."""
    if not lock.exists():
        return False
    question = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)  # struct flock of fcntl(2)
    with lock.open("rb") as file:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, question)
    kind: int = struct.unpack_from("h", answer)[0]
    return kind != fcntl.F_UNLCK


@contextmanager
def _own_turn() -> Iterator[None]:
    descriptor = os.open(TURN, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Packages start their services when installed, unless this policy says no."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
