"""Who could have made a link: nobody but root and the login, or somebody else, a container first of all.

The rule. A link is followed where no container can write to the folder it stands in or to one above it, where these
folders belong to root or the login and none is open to everybody, and where the link itself belongs to one of the two.

A folder is in a container's reach if the engine's list has a mount of it, or of a folder above it, that may be written
to, whoever the container runs as: root in it is root here, and a setuid program in its image makes root of anybody.
Stopped containers count. Where the engine does not answer, everything below the data's root is in reach: modes and
owners prove nothing there, as root in a container is not to be told from root here.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Iterator, List, Sequence, Tuple

from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.docker.inspected import ListedContainer

Folder = Tuple[str, int, int]  # path without links, uid of its owner, mode


@dataclass(frozen=True)
class WritableFolder:
    """A folder that containers can write to, and in words which."""

    folder: str
    whose: str


def maker(folders: Sequence[Folder], owner: int, login: int, mounts: Sequence[WritableFolder], table: str) -> str:
    """Who but root and the login could have made a link, in words; empty where nobody could.

    `folders`: those above the link, the one that it stands in last. `owner` is the uid of the link, `login` our own,
    `table` the text of mountinfo.
    """
    points = _points(table)
    inner = _places(points, folders[-1][0])[0]
    for mount in mounts:
        if any(inner.startswith(place) for place in _places(points, mount.folder)):
            return mount.whose
    for path, uid, mode in folders:
        if uid not in (0, login):
            return f"user {uid}, who owns {path},"
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"anybody, as {path} is open to all,"
    return "" if owner in (0, login) else f"user {owner}"


def writable(listed: Sequence[ListedContainer]) -> Iterator[WritableFolder]:
    """What the engine's list says that containers can write to, under the name it was given and the one it leads to."""
    for entry in listed:
        for mount in entry.mounts:
            if mount.writable and mount.source.startswith("/"):
                for folder in sorted({mount.source, os.path.realpath(mount.source)}):
                    yield WritableFolder(folder, f"container {entry.name}")


def _points(table: str) -> List[Tuple[str, str]]:
    """(mount point, where that lies: the file system and a path in it) of each line; paths end in a slash."""
    rows = (line.split(" ") for line in table.splitlines())
    return [(_plain(row[4]), f"{row[2]}:{_plain(row[3])}") for row in rows]


def _places(points: Sequence[Tuple[str, str]], path: str) -> List[str]:
    """Where a path without links lies, and what is mounted below it. What has two paths, by a bind mount, lies once."""
    path = path.rstrip("/") + "/"
    # Of two that are mounted on one path, the later one hides the other.
    around = [one for one in reversed(points) if path.startswith(one[0])]
    point, place = max(around, key=lambda one: len(one[0]), default=("/", "/"))
    return [place + path[len(point) :], *(place for point, place in points if point.startswith(path))]


def _plain(text: str) -> str:
    """A path as mountinfo writes it, blanks as three octal digits, with a slash at its end."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text).rstrip("/") + "/"
