"""File systems of their own for the server's root and state or for its engine, and what fills or damages them."""

from __future__ import annotations

import subprocess

from sandbox import Sandbox, reboot, run_inside, start, stop
from sandbox.gpu_server import TREE
from sandbox.machine import inside
from tests.real import ROOT

PLAIN, OWN, ENGINES = (
    "plain",
    "own",
    "engine's",
)  # what a server stands on: which part of it has a file system of its own

IMAGE, TOP = "/var/faults-disk", "/var/faults-disk-top"
ENGINES_IMAGE = "/var/faults-disk-engine"
HOME = "/home/deploy/.local"
ENGINE = "/var/lib/docker"
SIZE, ENGINES_SIZE = "32M", "1G"
FILLER, ENGINES_FILLER = f"{ROOT}/models/filler", f"{ENGINE}/filler"
_MOUNT = f"mount -o loop,errors=remount-ro {IMAGE} {TOP}"
_BIND = f"mount --bind {TOP}/root {ROOT}; mount --bind {TOP}/home {HOME}"

# Writes until nothing goes in any more; a greedy one takes whatever anybody else frees, until its file is removed.
_FILL = r"""
import os, sys, time
handle = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
greedy = sys.argv[2] == "greedy"
block = 1 << 16
while block:
    try:
        os.write(handle, bytes(block))
    except OSError:
        block //= 2
os.fsync(handle)
print("full", flush=True)
while greedy and os.fstat(handle).st_nlink:
    try:
        os.write(handle, bytes(1024))
    except OSError:
        time.sleep(0.005)
"""

# Makes empty files until there is no inode left for one more.
_TAKE_INODES = r"""
import itertools, os, sys
os.mkdir(sys.argv[1])
try:
    for number in itertools.count():
        os.mknod(f"{sys.argv[1]}/{number}")
except OSError:
    pass
"""


def mount(sandbox: Sandbox) -> None:
    """Give root and state an ext4 of their own, as on a server with one disk; `unmount` brings back what was there."""
    script = f"""
        truncate --size={SIZE} {IMAGE}
        mkfs.ext4 -q -F -m 0 -b 1024 {IMAGE}
        mkdir -p {TOP} {HOME}
        {_MOUNT}
        mkdir {TOP}/root {TOP}/home
        for name in {" ".join(TREE)}; do mkdir {TOP}/root/$name; done
        chown -R deploy:azaion {TOP}/root
        chmod 2770 {TOP}/root {TOP}/root/*
        chown -R deploy:deploy {TOP}/home {HOME}
        {_BIND}
    """
    run_inside(sandbox, ["sh", "-ec", script])


def unmount(sandbox: Sandbox) -> None:
    """The containers that have it mounted must be gone."""
    run_inside(sandbox, ["sh", "-ec", f"umount {ROOT} {HOME} {TOP}; rm {IMAGE}"])


def is_mounted(sandbox: Sandbox) -> bool:
    return run_inside(sandbox, ["mountpoint", "-q", ROOT], check=False).returncode == 0


def mount_engines(sandbox: Sandbox) -> None:
    """Give the engine's own files an ext4; it has no image and no container then."""
    stop(sandbox, "engine")
    script = f"""
        truncate --size={ENGINES_SIZE} {ENGINES_IMAGE}
        mkfs.ext4 -q -F -m 0 {ENGINES_IMAGE}
        mount -o loop {ENGINES_IMAGE} {ENGINE}
    """
    run_inside(sandbox, ["sh", "-ec", script])
    start(sandbox, "engine")


def unmount_engines(sandbox: Sandbox) -> None:
    """Everything that the engine had before it got the file system is there again. Its containers must be gone."""
    stop(sandbox, "engine")
    run_inside(sandbox, ["sh", "-ec", f"umount --recursive {ENGINE}; rm {ENGINES_IMAGE}"])
    start(sandbox, "engine")


def is_engines_mounted(sandbox: Sandbox) -> bool:
    return run_inside(sandbox, ["test", "-e", ENGINES_IMAGE], check=False).returncode == 0


def fill(sandbox: Sandbox, greedy: bool, filler: str = FILLER) -> subprocess.Popen[str]:
    """Fill a file system to the last byte by the file `filler`; a greedy one goes on until `make_room`."""
    words = ["/usr/bin/python3", "-IS", "-c", _FILL, filler, "greedy" if greedy else "once"]
    process = subprocess.Popen(inside(sandbox.server, words), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "full\n", "the disk could not be filled"
    return process


def make_room(sandbox: Sandbox, process: subprocess.Popen[str], filler: str = FILLER) -> None:
    """Take away what was written, at which the process that did it ends."""
    run_inside(sandbox, ["rm", "-f", filler])
    process.communicate()


def take_inodes(sandbox: Sandbox) -> None:
    """Leave no inode for a new file below root and state; there are bytes enough."""
    run_inside(sandbox, ["/usr/bin/python3", "-IS", "-c", _TAKE_INODES, FILLER])


def give_inodes_back(sandbox: Sandbox) -> None:
    run_inside(sandbox, ["rm", "-rf", FILLER])


def break_down(sandbox: Sandbox) -> None:
    """Let the kernel find a fault in root and state, at which it takes no write any more, from whomever."""
    script = f"echo 1 >/sys/fs/ext4/$(basename $(findmnt --noheadings --output SOURCE {TOP}))/trigger_fs_error"
    run_inside(sandbox, ["sh", "-ec", script])


def repair(sandbox: Sandbox) -> None:
    """What whoever comes to a server with such a root does: check the file system, while the server boots."""

    def check() -> None:
        run_inside(sandbox, ["sh", "-c", f"e2fsck -f -y {IMAGE} >/var/log/e2fsck.log; [ $? -le 1 ]"])
        run_inside(sandbox, ["sh", "-ec", f"{_MOUNT}; {_BIND}"])

    reboot(sandbox, lambda text: None, check)
