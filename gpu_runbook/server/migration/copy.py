"""Copies the files of a state from one folder to another, each opened as what an enemy may have put there."""

from __future__ import annotations

import itertools
import os
import re
import stat
from typing import Any, Iterator, List, Mapping, Union

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.forms import RUN
from gpu_runbook.server.system import files

MOST = 4096  # entries of one folder
MIB = 1 << 20
SERVICE = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}"
Content = Mapping[str, Union[int, Mapping[str, Any]]]
# What is copied: by name the most bytes of a file, or what a folder holds.
CONTENT: Content = {
    r"previous-tags\.json(?:\.damaged)?": 4 * MIB,
    r"model\.json": MIB,
    r"(?:paused|stopped)\.json": MIB,
    r"salt": 64,
    r"runs": {rf"{RUN}\.(?:jsonl|decision)": 16 * MIB},
    r"releases": {
        rf"(?:adopted-)?{RUN}": {
            r"failed\.json": MIB,
            SERVICE: {r"(?:config|before|offset|offset-left)\.yaml": MIB},
        }
    },
    r"env": {rf"{SERVICE}\.previous": MIB},
    r"health": {r"state\.json": 8 * MIB, r"history\.jsonl": 24 * MIB},
}
# What is made anew, or is of no use any more.
UNNEEDED = r"\..*|lock|spare|arriving|folder\.json|check\.pyz|settings\.json|state\.spare"


def copied(source: str, target: str) -> List[str]:
    """Copy what CONTENT names; the names of what is there besides. Raises Refusal for what is not what it should be."""
    handle = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return list(_copied(handle, source, target, CONTENT))
    finally:
        os.close(handle)


def _copied(folder: int, source: str, target: str, content: Content) -> Iterator[str]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in itertools.islice(entries, MOST + 1))
    if len(names) > MOST:
        raise Refusal(f"{source} has more than {MOST} entries", "see what a container has written there")
    for name in names:
        kind = next((kind for pattern, kind in content.items() if re.fullmatch(pattern, name)), None)
        if kind is None:
            if not re.fullmatch(UNNEEDED, name):
                yield name
        elif isinstance(kind, int):
            _copy_file(folder, name, os.path.join(source, name), os.path.join(target, name), kind)
        else:
            inner, below = _opened(folder, name, os.path.join(source, name), os.O_DIRECTORY), os.path.join(target, name)
            try:
                os.makedirs(below, 0o700, exist_ok=True)
                yield from (f"{name}/{one}" for one in _copied(inner, os.path.join(source, name), below, kind))
            finally:
                os.close(inner)


def _copy_file(folder: int, name: str, source: str, target: str, most: int) -> None:
    handle = _opened(folder, name, source, 0)
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        data = file.read(most + 1) if stat.S_ISREG(found.st_mode) else b""
    if not stat.S_ISREG(found.st_mode) or len(data) > most:
        what = f"longer than {most} bytes" if len(data) > most else "no plain file"
        raise Refusal(f"{source} is {what}: a container may have put it there", "look at it, and move it away")
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _opened(folder: int, name: str, source: str, more: int) -> int:
    """A descriptor of what has that name in the folder; no link is followed, and no pipe waited for."""
    try:
        return os.open(name, files.UNFOLLOWED | more, dir_fd=folder)
    except OSError as error:
        said = f"{source} is not what it should be ({error.strerror}): a container may have put it there"
        raise Refusal(said, "look at it, and move it away") from error
