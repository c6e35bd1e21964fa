"""Makes the folder of the state where there is none yet, on ground on which it lasts."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re

from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.state.store import Marker, Store, elsewhere, machine, unmade
from gpu_runbook.server.system import files

# Without locks that hold, or gone with the power.
UNFIT = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "tmpfs", "ramfs"),
    *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "gfs", "gfs2", "ocfs2", "orangefs"),
)


def make(store: Store, arriving: bool = False) -> None:
    """The folder and what is in it from the first moment on. `arriving`: its content is yet to be copied here.

    Raises Refusal when it cannot be made there, and on a file system whose locks or content do not last.
    """
    if store.is_in_root:
        store.create()
        return
    new = not store.exists
    try:
        os.makedirs(os.path.dirname(store.folder), 0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(store.folder, 0o700)
        if new:
            _fits(store)
        if arriving:  # before anything else: what is not whole must not be in force
            files.write(store.arriving, b"")
    except OSError as error:
        raise unmade(store.folder, error) from error
    store.create()
    if not os.path.exists(store.marker):
        files.write(store.marker, json.dumps(encode(Marker(machine()))).encode())


def _fits(store: Store) -> None:
    """Raises Refusal where nothing of ours may lie; the folder was made a moment ago, and goes again."""
    kind = file_system(store.folder)
    why = f"is on a file system of kind {kind}" if unfit(kind) else "" if _locks(store.folder) else "takes no locks"
    if why:
        with contextlib.suppress(OSError):
            os.rmdir(store.folder)
        raise Refusal(f"{store.folder} {why}: what is written there does not hold", elsewhere(), "server")


def unfit(kind: str) -> bool:
    """Whether nothing of ours may lie on a file system of that kind."""
    return kind in UNFIT or kind.startswith("fuse")


def file_system(path: str) -> str:
    """The kind of file system that a path is on, as the kernel calls it; empty where that cannot be told."""
    real, kind, longest = os.path.realpath(path), "", -1
    with contextlib.suppress(OSError, LookupError), open("/proc/self/mountinfo", "rb") as file:
        for raw in file:
            before, _, after = raw.partition(b" - ")
            spelt = os.fsdecode(before.split()[4])
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), spelt)
            if os.path.commonpath([point, real]) == point and len(point) >= longest:
                kind, longest = os.fsdecode(after.split()[0]), len(point)
    return kind


def _locks(folder: str) -> bool:
    """Whether a file there can be locked."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
