"""A file system of its own for the server's root and state, small enough to be filled, and what fills it."""

from __future__ import annotations

import subprocess

from sandbox import Sandbox, run_inside
from sandbox.machine import inside
from tests.real import ROOT

IMAGE, TOP = "/var/faults-disk", "/var/faults-disk-top"
HOME = "/home/deploy/.local"
SIZE = "32M"
FILLER = f"{ROOT}/models/filler"

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


def mount(sandbox: Sandbox) -> None:
    """Give root and state an ext4 of their own, as on a server with one disk; `unmount` brings back what was there."""
    script = f"""
        truncate --size={SIZE} {IMAGE}
        mkfs.ext4 -q -F -m 0 -b 1024 {IMAGE}
        mkdir -p {TOP} {HOME}
        mount -o loop {IMAGE} {TOP}
        mkdir {TOP}/root {TOP}/home
        for name in annotations models checkpoints; do mkdir {TOP}/root/$name; done
        chown -R deploy:deploy {TOP}/root {TOP}/home {HOME}
        mount --bind {TOP}/root {ROOT}
        mount --bind {TOP}/home {HOME}
    """
    run_inside(sandbox, ["sh", "-ec", script])


def unmount(sandbox: Sandbox) -> None:
    """The containers that have it mounted must be gone."""
    run_inside(sandbox, ["sh", "-ec", f"umount {ROOT} {HOME} {TOP}; rm {IMAGE}"])


def is_mounted(sandbox: Sandbox) -> bool:
    return run_inside(sandbox, ["mountpoint", "-q", ROOT], check=False).returncode == 0


def fill(sandbox: Sandbox, greedy: bool) -> subprocess.Popen[str]:
    """Fill the root to the last byte; a greedy filler goes on until `make_room`."""
    words = ["/usr/bin/python3", "-IS", "-c", _FILL, FILLER, "greedy" if greedy else "once"]
    process = subprocess.Popen(inside(sandbox.server, words), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "full\n", "the disk could not be filled"
    return process


def make_room(sandbox: Sandbox, filler: subprocess.Popen[str]) -> None:
    """Take away what the filler wrote, at which it ends."""
    run_inside(sandbox, ["rm", "-f", FILLER])
    filler.communicate()
