"""The directories that hosts.yaml lists: is each there, with its owner and mode, and who may put it right?"""

from __future__ import annotations

import os
import shlex
import stat
from typing import Iterator, List, Optional, Sequence, Tuple

from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, Check
from gpu_runbook.protocol.setup import Directory
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.system.ownership import ids, may_give

MODE = 0o755  # of a directory that is made, where hosts.yaml says none
MAKE, OWN, OPEN = "make", "own", "open"


@dataclass(frozen=True)
class Lack:
    """What is not as it should be. `step` is what puts it right: make, own, open, or nothing but a person.

    `command` does the same for root; `mine` is whether this login may do it. `seen`: device and inode of the directory.
    """

    what: str
    step: str = ""
    command: str = ""
    mine: bool = False
    seen: Optional[Tuple[int, int]] = None


def lacks(folder: Directory) -> Iterator[Lack]:
    """In the order in which they are put right."""
    path, owner = folder.path, ids(folder.owner)
    try:
        found = guarded.found(path)
    except FileNotFoundError:
        may = may_make(path) and (owner is None or may_give(*owner))
        yield Lack(f"{path} is missing", MAKE, _make(folder, may), may)
        return
    except OSError as error:
        yield Lack(f"{path} cannot be seen: {error.strerror}")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield Lack(f"{path} is no directory", command=shlex.join(["mv", path, f"{path}.old"]))
        return
    mine, seen = os.geteuid() in (0, found.st_uid), (found.st_dev, found.st_ino)
    if owner is not None and (found.st_uid, found.st_gid) != owner:
        what = f"{path} belongs to {found.st_uid}:{found.st_gid} instead of {folder.owner}"
        yield Lack(what, OWN, shlex.join(["chown", folder.owner, path]), mine and may_give(*owner), seen)
    mode = stat.S_IMODE(found.st_mode)
    if folder.mode is not None and mode != folder.mode:
        what = f"{path} has mode {mode:04o} instead of {folder.mode:04o}"
        yield Lack(what, OPEN, shlex.join(["chmod", f"{folder.mode:04o}", path]), mine, seen)


def may_make(path: str) -> bool:
    """Whether this login may make it, with the directories above it that are missing."""
    above = os.path.dirname(path)
    try:
        return stat.S_ISDIR(guarded.found(above).st_mode) and os.access(above, os.W_OK | os.X_OK)
    except FileNotFoundError:
        return may_make(above)
    except OSError:
        return False


def check(name: str, folders: Sequence[Directory]) -> Check:
    if not folders:
        return Check(name, SKIPPED, "hosts.yaml has no entry tree")
    found = [lack for folder in folders for lack in lacks(folder)]
    figures = {"directories": len(folders), "lacking": len(found)}
    if not found:
        led = [f"{folder.path}{where}" for folder in folders for where in [guarded.leads(folder.path)] if where]
        said = f"all {len(folders)} directories of hosts.yaml are there as it says"
        return Check(name, OK, "; ".join([said, *led]), figures)
    return Check(name, CRITICAL, "; ".join(lack.what for lack in found), figures, hint(found))


def hint(found: Sequence[Lack]) -> str:
    """What puts it right: `fab setup`, and what is left for root."""
    said = ["fab setup"] if any(lack.mine for lack in found) else []
    commands: List[str] = [lack.command for lack in found if lack.command and not lack.mine]
    return "; ".join(said + ([f"as root: {' && '.join(commands)}"] if commands else []))


def _make(folder: Directory, mine: bool) -> str:
    """What root makes belongs to this login all the same, unless hosts.yaml says whose it is."""
    owner = ids(folder.owner) or (None if mine else (os.geteuid(), os.getegid()))
    given = ["-o", str(owner[0]), "-g", str(owner[1])] if owner else []
    mode = MODE if folder.mode is None else folder.mode
    return shlex.join(["install", "-d", "-m", f"{mode:04o}", *given, folder.path])
