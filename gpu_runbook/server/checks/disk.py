"""Is there room where the data and docker's own files live? Asked of `df`, in bytes and in inodes."""

from __future__ import annotations

import re
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from gpu_runbook.common import command, fullness
from gpu_runbook.common.parallel import Question
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import one_line, quoted
from gpu_runbook.protocol.health import DiskLimits
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.docker import disk as docker_disk
from gpu_runbook.server.docker import engine
from gpu_runbook.server.state.store import Store

SECONDS = 5.0
ASKED = 4.0  # seconds for docker: one that hangs hides no other disk
CLEARS = 2.0  # percent below its threshold at which a file system that alarms is well again
_WORSE = (OK, WARNING, CRITICAL)
_COLUMNS = "size,used,avail,pcent,ipcent,target"  # the mount point last: it is the one that may hold blanks


@dataclass(frozen=True)
class Room:
    """One file system. Sizes in bytes, shares in percent as `df` rounds them: up, without root's reserve."""

    path: str
    mounted_on: str
    size: int
    used: int
    available: int
    share: int
    inode_share: Optional[int]  # None on file systems that have no fixed number of inodes


@dataclass(frozen=True)
class Trouble:
    """Why nothing is known of a path."""

    path: str
    level: str
    sentence: str


def check(
    name: str,
    paths: Sequence[str],
    warning: float,
    critical: float,
    docker_host: str,
    raised: Optional[Mapping[str, str]] = None,
) -> Check:
    """`warning` and `critical` in percent; a file system alarms when it is filled beyond them.

    `raised` has the level of each path that alarms already: so that it does not come and go at a threshold, it is well
    again only some percent below.
    """
    docker = _docker_roots(docker_host)
    found = [look(path) for path in dict.fromkeys([*paths, *(docker if isinstance(docker, list) else ())])]
    if isinstance(docker, Trouble):
        found.append(docker)
    return judge(name, found, warning, critical, raised)


def question(
    limits: DiskLimits, store: Store, docker_host: str, raised: Optional[Mapping[str, str]] = None
) -> Question:
    """Whether there is room, also where the state lies. `raised`: as of `check`."""

    def ask(name: str) -> Check:
        return check(name, with_state(limits.paths, store), limits.warning, limits.critical, docker_host, raised)

    return Question("disk space", ask)


def with_state(paths: Sequence[str], store: Store) -> List[str]:
    """The paths, and the folder of the state where it is there: it may be on another file system than the root."""
    return [*paths, *([store.folder] if store.exists else [])]


def look(path: str, run: Callable[[Sequence[str], float], command.Ended] = command.run) -> Union[Room, Trouble]:
    ended = run(["df", f"--output={_COLUMNS}", "-B1", "--", path], SECONDS)
    if ended.status is None:
        return Trouble(path, CRITICAL, f"{path}: df does not answer, as when a network file system hangs")
    if ended.status == command.NOT_RUN:
        return Trouble(path, UNKNOWN, f"df cannot be run ({ended.complaint})")
    if not ended.ok:
        return Trouble(path, CRITICAL, ended.complaint)
    fields = ended.out.splitlines()[-1].split(None, 5) if ended.out.strip() else []
    if len(fields) != 6 or not all(re.fullmatch("[0-9]{1,20}", field) for field in fields[:3]):
        return Trouble(path, UNKNOWN, f"{path}: df gave an answer that cannot be read")
    size, used, available = (int(field) for field in fields[:3])
    share, inode_share = _percent(fields[3]), _percent(fields[4])
    return Room(path, one_line(fields[5]), size, used, available, share or 0, inode_share)


def judge(
    name: str,
    found: Sequence[Union[Room, Trouble]],
    warning: float,
    critical: float,
    raised: Optional[Mapping[str, str]] = None,
) -> Check:
    rooms = list({room.mounted_on: room for room in reversed(found) if isinstance(room, Room)}.values())[::-1]
    findings: List[Tuple[str, str]] = [(one.level, one.sentence) for one in found if isinstance(one, Trouble)]
    levels: Dict[str, str] = {}
    for room in rooms:
        before = (raised or {}).get(room.path, OK)
        for share, what in ((room.share, "full"), (room.inode_share or 0, "out of inodes")):
            level = _level(share, warning, critical, before)
            if level != OK:
                findings.append((level, fullness.scarce(room.path, share, room.available, what)))
            levels[room.path] = max(level, levels.get(room.path, OK), key=_WORSE.index)
    figures = {
        room.path: {
            "mounted_on": room.mounted_on,
            "size": room.size,
            "used": room.used,
            "available": room.available,
            "percent": room.share,
            "inodes_percent": room.inode_share,
            "level": levels[room.path],
        }
        for room in rooms
    }
    level = next((level for level in (CRITICAL, UNKNOWN, WARNING) if level in dict(findings)), OK)
    if level == OK:
        shares = ", ".join(fullness.enough(room.path, room.share, room.available) for room in rooms)
        return Check(name, OK, shares, figures)
    hint = fullness.REMEDY if level != UNKNOWN else "run df there"
    return Check(name, level, "; ".join(dict.fromkeys(sentence for _, sentence in findings)), figures, hint)


def _level(share: int, warning: float, critical: float, before: str) -> str:
    if share > critical - (CLEARS if before == CRITICAL else 0):
        return CRITICAL
    return WARNING if share > warning - (CLEARS if before != OK else 0) else OK


def _docker_roots(docker_host: str) -> Union[List[str], Trouble]:
    try:
        paths = docker_disk.roots(engine.find(docker_host, ASKED), ASKED)
    except Refusal as error:
        return Trouble("docker", UNKNOWN, f"docker's own disk is not known: {error.message}")
    strange = [path for path in paths if one_line(path) != path]
    return (
        Trouble("docker", UNKNOWN, f"docker's own disk is not known: it says {quoted(strange[0])}")
        if strange
        else paths
    )


def _percent(text: str) -> Optional[int]:
    number = text.rstrip("%")
    return int(number) if re.fullmatch("[0-9]{1,3}", number) else None
