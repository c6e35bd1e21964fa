"""Trained models on disk: which dated directories there are, and whether the file in each of them is whole.

A model is never unpickled: loading one runs whatever code is in it. What PyTorch saves is a ZIP archive, which tells by
itself whether all of it is there; a checksum tells the rest.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import time
import zipfile
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import IO, Callable, List, Optional, Set, Tuple

ARCHIVES = (".pt", ".pth", ".zip", ".npz", ".keras")  # of any other file only size and checksum are judged
BLOCK = 1 << 20  # bytes read at a time
FRESH = 300.0  # seconds for which a file that is not whole may still be on its way
SIDECAR_LIMIT = 4096  # bytes

WHOLE, CHANGED, DAMAGED, WRITING, MISSING, OUTSIDE = "whole", "changed", "damaged", "writing", "missing", "outside"

_LOCAL = struct.Struct("<4s22xHH")  # a member's header in its place: signature, length of its name and of what follows
_END = b"PK\x05\x06"
_END_SIZE = 22

Identity = Tuple[int, int]  # device and inode
Reading = Callable[[int], None]  # hears of every so many bytes that were read


@dataclass(frozen=True)
class ModelFile:
    """What is known of one model. `sha256` is empty as long as nobody has read all of it."""

    date: str  # the name of its directory; empty for one that lies elsewhere
    path: str
    state: str  # one of the six above
    sentence: str
    size: int = 0
    mtime: int = 0  # nanoseconds since 1970
    modified: str = ""  # the same as RFC 3339
    sha256: str = ""
    promised: Optional[str] = None  # what a file beside it says, as sha256sum writes them; empty when it says nothing
    verified: str = ""  # when these bytes were found to be right, by size and time of the file; RFC 3339


def is_dated(name: str) -> bool:
    """Whether a directory is named for a day, `2026-04-20`, perhaps with something behind it, `2026-04-20-b`."""
    match = re.fullmatch(r"(\d{4}-\d{2}-\d{2})([-_.][\w.-]{1,60})?", name, re.ASCII)
    try:
        return bool(match and datetime.strptime(match[1], "%Y-%m-%d"))
    except ValueError:
        return False


def directories(folder: str) -> Tuple[List[str], List[str]]:
    """The names in a folder of models: the dated ones, oldest first, and the others. Raises OSError."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    return [name for name in names if is_dated(name)], [name for name in names if not is_dated(name)]


def seen(folder: str, date: str, file: str, writers: Set[Identity]) -> ModelFile:
    """The model of one dated directory, judged by what is cheap to see; it may not be a link out of the folder."""
    path = os.path.join(folder, date, file)
    inside = os.path.realpath(folder)
    if os.path.commonpath([os.path.realpath(path), inside]) != inside:
        return ModelFile(date, path, OUTSIDE, f"it is a link that leads out of {folder}")
    return looked_at(path, date, writers)


def looked_at(path: str, date: str, writers: Set[Identity]) -> ModelFile:
    """A model judged by its size, its structure, and whether somebody is at it. `writers`: as of `open_for_writing`."""
    try:
        with _opened(path) as file:
            found = os.fstat(file.fileno())
            trouble = _trouble(path, file, found)
    except FileNotFoundError:
        return ModelFile(date, path, MISSING, f"there is no {os.path.basename(path)}")
    except OSError as error:
        return ModelFile(date, path, DAMAGED, f"it cannot be read: {error.strerror}")
    is_fresh = bool(trouble) and stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime < FRESH
    is_open = (found.st_dev, found.st_ino) in writers
    state = WRITING if is_open or is_fresh else DAMAGED if trouble else WHOLE
    sentence = {WHOLE: "whole", WRITING: "it is being written now"}.get(state, trouble)
    modified = datetime.fromtimestamp(int(found.st_mtime), timezone.utc).isoformat().replace("+00:00", "Z")
    return ModelFile(date, path, state, sentence, found.st_size, found.st_mtime_ns, modified, promised=_promised(path))


def read(model: ModelFile, reading: Reading) -> ModelFile:
    """The same model after every byte of it was read: with its sha256, and damaged if a checksum says so."""
    digest = hashlib.sha256()
    try:
        with _opened(model.path) as file:
            for block in iter(lambda: file.read(BLOCK), b""):
                digest.update(block)
                reading(len(block))
            trouble = _broken_member(file, reading) if model.path.endswith(ARCHIVES) else ""
            after = os.fstat(file.fileno())
    except OSError as error:
        return replace(model, state=DAMAGED, sentence=f"it cannot be read: {error.strerror}")
    read_through = replace(model, sha256=digest.hexdigest())
    if (after.st_size, after.st_mtime_ns) != (model.size, model.mtime):
        return replace(read_through, state=WRITING, sentence="it was written to while it was read")
    if trouble:
        return replace(read_through, state=DAMAGED, sentence=trouble)
    if model.promised is not None and model.promised != read_through.sha256:
        said = "is not that of" if model.promised else "cannot be compared, there is none in"
        sentence = f"its sha256 {said} {os.path.basename(model.path)}.sha256"
        return replace(read_through, state=DAMAGED, sentence=sentence)
    return read_through


def open_for_writing(name: str) -> Set[Identity]:
    """The files of that name that processes have open for writing; of other users' processes root alone sees them."""
    found = set()
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            for handle in os.listdir(f"/proc/{process}/fd"):
                if os.readlink(f"/proc/{process}/fd/{handle}").endswith(f"/{name}"):
                    with open(f"/proc/{process}/fdinfo/{handle}", encoding="ascii") as file:
                        flags = re.search(r"^flags:\s*([0-7]+)", file.read(), re.MULTILINE)
                    if flags and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                        entry = os.stat(f"/proc/{process}/fd/{handle}")
                        found.add((entry.st_dev, entry.st_ino))
        except OSError:  # it has ended, or it is not ours to look into
            continue
    return found


def _opened(path: str) -> IO[bytes]:
    """A pipe of that name is not waited for."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _trouble(path: str, file: IO[bytes], found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "it is not a file"
    if found.st_size == 0:
        return "it is empty"
    return _broken_archive(file, found.st_size) if path.endswith(ARCHIVES) else ""


def _broken_archive(file: IO[bytes], size: int) -> str:
    """What is missing of a ZIP archive by its structure, empty when all its parts are where they should be."""
    if file.read(4) != b"PK\x03\x04":
        return "it is no model: no ZIP archive, as PyTorch has saved since 1.6"
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
        begins = [member.header_offset for member in members]
        for member in members:
            file.seek(member.header_offset)
            signature, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
            end = member.header_offset + _LOCAL.size + name + extra + member.compress_size
            if signature != b"PK\x03\x04" or end > archive.start_dir:
                return "it is not whole: a part of it is not where it should be"
        file.seek(size - _END_SIZE - len(archive.comment))
        if min(begins, default=1) != 0 or file.read(4) != _END:
            return "it is not whole: there is more or less in it than it should be"
    except Exception:  # the bytes may be anything, and each kind of damage has an exception of its own
        return "it is not whole: its end is missing or damaged"
    return ""


def _broken_member(file: IO[bytes], reading: Reading) -> str:
    """Whether the checksum of each part is right; nothing is extracted."""
    try:
        file.seek(0)
        archive = zipfile.ZipFile(file)
        for member in archive.infolist():
            with archive.open(member) as content:
                for block in iter(lambda: content.read(BLOCK), b""):
                    reading(len(block))
    except OSError:
        raise
    except Exception:  # as above
        return "it is damaged: the checksum of a part of it is wrong"
    return ""


def _promised(path: str) -> Optional[str]:
    """The checksum in the file beside it, None without one."""
    try:
        with _opened(f"{path}.sha256") as file:
            text = file.read(SIDECAR_LIMIT).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError:
        return ""
    match = re.match(r"([0-9a-fA-F]{64})(?:\s|$)", text)
    return match[1].lower() if match else ""
