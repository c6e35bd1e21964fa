"""Which containers reach a folder on the server: by what is mounted into them, or because they are as good as root.

Paths are compared as the kernel sees them: by file system and by place in it, so that neither links nor bind mounts of
the host hide what a container has. Nothing is asked of a file system that may hang.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.docker.inspected import ListedContainer

MOUNTS = "/proc/self/mountinfo"
LINKS = 40  # as many as the kernel follows
# Each of them is enough to become root on the host.
CAPABILITIES = {"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "SYS_BOOT"}
MEMORY = ("/dev/mem", "/dev/kmem", "/dev/port")

Place = Tuple[str, str]  # a file system, and a path from its own top


@dataclass(frozen=True)
class MountLine:
    """One line of mountinfo: where it is mounted, which file system, and which directory of it."""

    point: str
    device: str  # major:minor
    top: str


@dataclass(frozen=True)
class Reach:
    """What one container has of a folder: `how` is write, read or root; `by` says what gives it that."""

    container: str  # its name
    how: str
    by: str


WRITE, READ, ROOT = "write", "read", "root"


def of_containers(engine: Engine, listed: Sequence[ListedContainer], folder: str) -> List[Reach]:
    """Every container that reaches the folder or one above it, running or not; what could replace it counts, too."""
    mounts = read_mounts()
    leading = [place for path in directories(folder) for place in [placed(path, mounts)]]
    socket = [placed(os.path.realpath(engine.address[len("unix://") :]), mounts)]
    found: List[Reach] = []
    for entry in listed:
        spec = engine.full_spec(entry.id)
        if spec is None:  # it was removed meanwhile
            continue
        name = str(spec["Name"]).lstrip("/")  # the list may begin with what others call it
        why = powers(spec["HostConfig"])
        if why:
            found.append(Reach(name, ROOT, why))
        for source, may_write in sources(engine, spec):
            if _shows(source, socket, mounts):
                found.append(Reach(name, ROOT, f"docker's socket ({source})"))
            if _shows(source, leading, mounts):
                found.append(Reach(name, WRITE if may_write else READ, source))
    return found


def sources(engine: Engine, spec: Dict[str, Any]) -> Iterator[Tuple[str, bool]]:
    """The directories of the host that a container sees, by its `Engine.full_spec`, and whether it may write there."""
    for mount in spec.get("Mounts") or ():
        may_write = mount.get("RW") is not False
        if isinstance(mount.get("Source"), str) and mount["Source"].startswith("/"):
            yield mount["Source"], may_write
        if mount.get("Type") == "volume" and isinstance(mount.get("Name"), str):
            device = _device(engine, mount["Name"])
            if device.startswith("/"):
                yield device, may_write


def _device(engine: Engine, volume: str) -> str:
    """The directory that a volume is a bind mount of, empty for every other volume."""
    if not re.fullmatch(r"[\w.-]{1,255}", volume, re.ASCII):
        return ""
    try:
        options = engine.get(f"/volumes/{volume}", shape={"Name": str}).get("Options") or {}
    except EngineError:
        return ""
    return str(options.get("device", "")) if "bind" in str(options.get("o", "")) else ""


def powers(host: Dict[str, Any]) -> str:
    """What makes a container as good as root, by its HostConfig; empty for most."""
    if host.get("Privileged"):
        return "it is privileged"
    added = {str(name).upper().replace("CAP_", "", 1) for name in host.get("CapAdd") or ()}
    if added & CAPABILITIES:
        return f"it has the capability {sorted(added & CAPABILITIES)[0]}"
    for device in host.get("Devices") or ():
        path = str(device.get("PathOnHost", "")) if isinstance(device, dict) else ""
        if path in MEMORY or _is_disk(path):
            return f"it has the device {path}"
    return ""


def _is_disk(path: str) -> bool:
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False


def directories(path: str) -> List[str]:
    """Every directory that leads to a path, the path itself included; behind links those that they lead through."""
    found, at, left, links = ["/"], "/", path.split("/"), 0
    while left:
        part = left.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            at = os.path.dirname(at)
            continue
        below = os.path.join(at, part)
        try:
            target = os.readlink(below) if links < LINKS else ""
        except OSError:
            target = ""
        if target:
            links, left = links + 1, target.split("/") + left
            at = "/" if target.startswith("/") else at
        else:
            at = below
            found.append(at)
    return found


def read_mounts(path: str = MOUNTS) -> List[MountLine]:
    """What is mounted where, in its order: a later one hides an earlier one at the same place."""
    found = []
    with open(path, "rb") as file:
        for raw in file:
            fields = raw.split()
            if len(fields) > 4 and fields[3].startswith(b"/"):
                found.append(MountLine(_spelt(fields[4]), os.fsdecode(fields[2]), _spelt(fields[3])))
    return found


def placed(path: str, mounts: Sequence[MountLine]) -> Place:
    """Where a path without links is, as the kernel sees it."""
    mount = MountLine("/", "", "/")
    for one in mounts:
        if _is_in(path, one.point) and len(one.point) >= len(mount.point):
            mount = one
    return mount.device, _joined(mount.top, os.path.relpath(path, mount.point))


def _shows(source: str, wanted: Sequence[Place], mounts: Sequence[MountLine]) -> bool:
    """Whether a directory that is mounted into a container holds one of the places, or lies in the last of them.

    What is mounted below a directory comes along.
    """
    real = os.path.realpath(source)
    shown = [placed(real, mounts), *((one.device, one.top) for one in mounts if _is_in(one.point, real))]
    inside = [place for place in shown if place[0] == wanted[-1][0] and _is_in(place[1], wanted[-1][1])]
    return bool(inside) or any(device == one and _is_in(path, top) for device, path in wanted for one, top in shown)


def _is_in(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _joined(top: str, rest: str) -> str:
    return os.path.normpath(os.path.join(top, rest))


def _spelt(raw: bytes) -> str:
    """A path as mountinfo spells it: blanks and their like are octal numbers."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), raw))
