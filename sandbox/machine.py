"""Machines within the machine: boot, end, and run programs inside one."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gpu_runbook.laptop.errors import Defect, Refused
from sandbox.place import LOGIN_USER, Machine, Sandbox

BOOT = Path(__file__).with_name("boot.sh")
NAMESPACES = ("--mount", "--pid", "--uts", "--ipc")
INIT = b"/usr/bin/python3\0-IS\0-c\0"  # as boot.sh ends
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.1  # seconds between two questions
PATH = "/usr/local/bin:/usr/bin:/bin"
ROOT_PATH = f"/usr/local/sbin:/usr/sbin:/sbin:{PATH}"

_found: dict[Path, int | None] = {}  # of each machine, proved at each use; to look through all takes long


def as_root(argv: Sequence[str]) -> list[str]:
    return list(argv) if os.geteuid() == 0 else ["sudo", "-n", *argv]


def wait_until(condition: Callable[[], bool], seconds: float, what: str, log: Path | None = None) -> None:
    """Ask after 50 ms, and ever less often; `Defect` with the end of `log` when the time is over."""
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while not condition():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace").splitlines()[-3:] if log and log.exists() else []
            raise Defect(f"the sandbox's {what} did not come within {seconds:.0f} s {' | '.join(tail)}".strip())
        time.sleep(pause)
        pause = min(pause * 1.25, LONGEST_PAUSE)  # asking costs more than the waiting


def require_namespaces() -> None:
    """Raises Refused where the kernel, or the container this runs in, allows no machine within the machine."""
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        raise Refused(
            f"this machine allows no namespaces of its own to the sandbox: {tried.stderr.strip()}",
            "a container has to be a privileged one, a chroot a mount point of its own (mount --bind DIR DIR)",
        )
    if not Path("/sys/fs/cgroup").is_mount():
        raise Refused("this machine has no control groups at /sys/fs/cgroup", "mount them; containers need them")


def can_be_root() -> bool:
    """Whether this user is root, or sudo makes it root without a password."""
    if os.geteuid() == 0:
        return True
    sudo = shutil.which("sudo")
    return sudo is not None and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0


def boot(machine: Machine) -> None:
    """Start process 1 of a machine whose root has been built."""
    command = ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", str(BOOT), str(machine.directory)]
    # Forked away, so that it belongs to nobody who could wait for it.
    subprocess.run(
        as_root(["setsid", "--fork", *command, machine.hostname, str(machine.base), str(machine.control_groups)]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=True,
    )
    wait_until(lambda: pid_of(machine) is not None, 10, f"machine {machine.hostname}", machine.directory / "boot.log")


def pid_of(machine: Machine) -> int | None:
    """The number of a machine's process 1 in the real machine, or None where it is not up.

    It is found by its argument list, so that it can be ended even when its directory was deleted under it.
    """
    found = _found.get(machine.directory)
    if found is None or not _is_init(found, machine):
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        found = next((pid for pid in pids if _is_init(pid, machine)), None)
        _found[machine.directory] = found
    return found


def _is_init(pid: int, machine: Machine) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended while we looked
        return False
    return command.startswith(INIT) and command.endswith(b"\0" + os.fsencode(machine.directory) + b"\0")


def end(machine: Machine) -> None:
    """Pull the plug: whatever runs in the machine ends with its process 1."""
    pid = pid_of(machine)
    if pid is None:
        return
    subprocess.run(as_root(["kill", "-KILL", str(pid)]), check=True)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20, f"machine {machine.hostname} (its end)")


def inside(machine: Machine, argv: Sequence[str], user: str = "root") -> list[str]:
    """The argument list that runs `argv` in a machine, with the environment of a fresh login."""
    pid = pid_of(machine)
    if pid is None:
        raise Refused(f"the sandbox's machine {machine.hostname} is not up", "fab sandbox.up")
    home, path = ("/root", ROOT_PATH) if user == "root" else (f"/home/{user}", PATH)
    become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
    clean = ["env", "-i", f"PATH={path}", f"HOME={home}", f"USER={user}", "LANG=C.UTF-8"]
    return as_root(["nsenter", f"--target={pid}", *NAMESPACES, "--root", "--wd", *clean, *become, *argv])


def run_on(
    machine: Machine, argv: Sequence[str], user: str = "root", input: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program in a machine and wait for it. `Defect` when it fails and `check` is true."""
    done = subprocess.run(inside(machine, argv, user), input=input, capture_output=True, text=True, check=False)
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]  # docker ends with advice
        raise Defect(f"`{' '.join(argv[:3])}` on the sandbox's {machine.hostname} failed: {' '.join(said)}")
    return done


def run_inside(
    sandbox: Sandbox, argv: Sequence[str], user: str = "root", input: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program on the server, as root or as the login user."""
    if user not in ("root", LOGIN_USER):
        raise ValueError(f"the server has no user {user}")
    return run_on(sandbox.server, argv, user, input, check)
