"""Trained models on disk: which dated directories there are, and whether the file in each of them is whole.

A model is never unpickled: loading one runs whatever code is in it. What PyTorch saves is a ZIP archive, which tells by
itself whether all of it is there; a checksum tells the rest. What it saved before 1.6 is known by how it begins, and
ONNX by the lengths of its parts.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import stat
import struct
import time
import zipfile
from dataclasses import replace
from datetime import datetime, timezone
from typing import IO, Any, Callable, ContextManager, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from gpu_runbook.protocol.models import DAMAGED, DATE, MISSING, OUTSIDE, WHOLE, WRITING, ModelFile, is_dated
from gpu_runbook.server.exposed import beside, guarded

ARCHIVES = (".pt", ".pth", ".zip", ".npz", ".keras")  # of any other file only size and checksum are judged
BLOCK = 1 << 20  # bytes read at a time
CHECKPOINTS = (".pt", ".pth")  # those of them that PyTorch may have saved before 1.6 as well
FRESH, AHEAD = 300.0, 86400.0  # seconds: so long a file that is not whole may be on its way; so far a clock may differ
STILL = 0.5  # seconds in which a file that was just written to must not change
SIDECAR_LIMIT = 4096  # bytes
# What no model has, and would take all memory or all day.
MOST = 10_000  # directories; open files of one process
LARGEST, UNPACKED = 1 << 42, 100  # bytes of a file; times of them in what it unpacks to
LIST = 4 << 20  # bytes of the list of an archive's parts
PARTS = 10_000  # of an ONNX file, at its outermost level
_LOCAL = struct.Struct("<4s22xHH")  # a member's header in its place: signature, length of its name and of what follows
_END = b"PK\x05\x06"
_END_SIZE = 22

# How PyTorch began a file before 1.6: a number of its own and the version of that format, each pickled by itself.
_OLDER = re.compile(
    rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.\x80[\x02-\x05](?:\x95.{8})?M\xe9\x03\.",
    re.DOTALL,
)
_GRAPH, _FIELDS = 7, 50  # the field of an ONNX model that is its network; none has a number that high

NICE = 10  # a training is not to feel that gigabytes are read or written beside it
PAUSE = 0.2  # seconds between two words of progress

Identity = Tuple[int, int]  # device and inode
Reading = Callable[[int], None]  # hears of every so many bytes that were read
Emit = Callable[[Dict[str, Any]], None]


class Progress:
    """Tells now and then how far the reading or copying of files has come. `total`: bytes, of all of them."""

    def __init__(self, emit: Emit, event: str, total: int) -> None:
        self._emit, self._event, self._total = emit, event, total
        self._done, self._said = 0, 0.0
        self.path = ""  # of the file that is read or made now

    def __call__(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._said > PAUSE:
            self._said = time.monotonic()
            self._emit({"event": self._event, "path": self.path, "done": self._done, "total": self._total})


def stand_back() -> None:
    """Before much is read or written."""
    if os.nice(0) < NICE:
        os.nice(NICE)


def directories(folder: str, pattern: str = DATE) -> Tuple[List[str], List[str]]:
    """The names in a folder of models: the dated ones, oldest first, and the others. Raises OSError.

    `pattern`: what a dated one is called, as in `is_dated`.
    """
    with guarded.folder(folder) as at, os.scandir(at) as entries:
        listed = list(itertools.islice(entries, MOST + 1))
        if len(listed) > MOST:
            raise guarded.Unfit(f"there are more than {MOST} entries in it")
        shown = [one for one in listed if not one.name.startswith(".")]
        names = sorted(one.name for one in shown if _is_directory(folder, one, pattern))
    return [name for name in names if is_dated(name, pattern)], [name for name in names if not is_dated(name, pattern)]


def _is_directory(folder: str, entry: os.DirEntry[str], pattern: str) -> bool:  # novm: nobody evaluates that
    """Whether it is one, or a link to one in the folder; a dated link that leads out of it is told as a model."""
    if not entry.is_symlink():
        return entry.is_dir(follow_symlinks=False)
    try:
        return stat.S_ISDIR(guarded.found(folder, entry.name).st_mode)
    except guarded.Outside:
        return is_dated(entry.name, pattern)
    except OSError:
        return False


def opened(path: str, date: str, folder: str = "") -> ContextManager[IO[bytes]]:
    """The file of a model. Below the folder of its dated directory links may lead about, and not out of it.

    `folder`: that of a file in no dated directory, if it is below one.
    """
    folder = folder or (path.rpartition(f"/{date}/")[0] if date else "")
    below = folder and path.startswith(f"{folder}/")
    return guarded.opened(folder, path[len(folder) + 1 :]) if below else guarded.opened(path)


def seen(folder: str, date: str, files: Sequence[str], writers: Set[Identity]) -> ModelFile:
    """The model of one dated directory, judged by what is cheap to see; it may not be a link out of the folder.

    `files`: where it may be in that; the first that is there counts.
    """
    for file in files:
        found = looked_at(os.path.join(folder, date, file), date, writers)
        if found.state != MISSING:
            return found
    return replace(found, sentence=f"there is no {' and no '.join(files)}")


def looked_at(path: str, date: str, writers: Set[Identity], folder: str = "") -> ModelFile:
    """A model judged by its size, its structure, and whether somebody is at it.

    `writers`: as of `open_for_writing`; `folder`: as in `opened`.
    """
    try:
        with opened(path, date, folder) as file:
            found = os.fstat(file.fileno())
            trouble = _trouble(path, file, found)
    except FileNotFoundError:
        return ModelFile(date, path, MISSING, f"there is no {os.path.basename(path)}")
    except guarded.Outside as error:
        return ModelFile(date, path, OUTSIDE, str(error))
    except OSError as error:
        said = str(error) if isinstance(error, guarded.Unfit) else f"it cannot be read: {error.strerror}"
        return ModelFile(date, path, DAMAGED, said)
    is_fresh = bool(trouble) and -AHEAD < time.time() - found.st_mtime < FRESH
    is_open = (found.st_dev, found.st_ino) in writers
    state = WRITING if is_open or is_fresh else DAMAGED if trouble else WHOLE
    sentence = {WHOLE: "whole", WRITING: "it is being written now"}.get(state, trouble)
    promised = _promised(path, date)
    return ModelFile(
        date, path, state, sentence, found.st_size, found.st_mtime_ns, _stamp(found.st_mtime), promised=promised
    )


def _stamp(seconds: float) -> str:
    """Empty for a time beyond the year 9999, which a file may have as well."""
    try:
        return datetime.fromtimestamp(int(seconds), timezone.utc).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def still(models: Sequence[ModelFile], writers: Set[Identity]) -> List[ModelFile]:
    """The same models a moment later, where one was just written to: one that changed meanwhile is being written."""
    fresh = [model for model in models if model.state == WHOLE and -AHEAD < time.time() - model.mtime / 1e9 < FRESH]
    if fresh:
        time.sleep(STILL)
    later = {model.path: looked_at(model.path, model.date, writers) for model in fresh}
    return [_unless_changed(model, later.get(model.path, model)) for model in models]


def _unless_changed(model: ModelFile, later: ModelFile) -> ModelFile:
    if (later.size, later.mtime) == (model.size, model.mtime):
        return model
    return replace(model, state=WRITING, sentence="it is being written now")


def blocks(file: IO[bytes], size: int, reading: Reading) -> Iterator[bytes]:
    """The content of an open file: of one that grows, no more than was seen."""
    while size > 0:
        block = file.read(min(BLOCK, size))
        if not block:
            return
        size -= len(block)
        reading(len(block))
        yield block


def read(model: ModelFile, reading: Reading, folder: str = "") -> ModelFile:
    """The same model after every byte of it was read: with its sha256, and damaged if a checksum says so.

    `folder`: as in `opened`.
    """
    digest = hashlib.sha256()
    try:
        with opened(model.path, model.date, folder) as file:
            for block in blocks(file, model.size, reading):
                digest.update(block)
            trouble = _broken_member(file, reading) if model.path.endswith(ARCHIVES) else ""
            after = os.fstat(file.fileno())
            beside.forget(file)
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


def open_for_writing(paths: Sequence[str]) -> Set[Identity]:
    """The files with the names of these that processes have open for writing; of other users' root alone sees them."""
    found, names = set(), tuple(f"/{os.path.basename(path)}" for path in paths)
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            for handle in itertools.islice(os.listdir(f"/proc/{process}/fd"), MOST):
                if os.readlink(f"/proc/{process}/fd/{handle}").endswith(names):
                    with open(f"/proc/{process}/fdinfo/{handle}", encoding="ascii") as file:
                        flags = re.search(r"^flags:\s*([0-7]+)", file.read(), re.MULTILINE)
                    if flags and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                        entry = os.stat(f"/proc/{process}/fd/{handle}")
                        found.add((entry.st_dev, entry.st_ino))
        except OSError:  # it has ended, or it is not ours to look into
            continue
    return found


class _Packed:
    """An archive's file, of which nobody takes much at a time, whatever stands in it of the length of its parts."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.seekable, self._read = file.seek, file.tell, file.seekable, file.read

    def read(self, size: int = -1) -> bytes:
        if size > LIST:
            raise _Unlikely("it is no model: the list of its parts is too long")
        return self._read(LIST if size < 0 else size)


class _Unlikely(Exception):
    """An archive is whole, perhaps, but no model looks like that; the text says why."""


def _members(file: IO[bytes]) -> Tuple[zipfile.ZipFile, List[zipfile.ZipInfo]]:
    archive = zipfile.ZipFile(_Packed(file))
    members = archive.infolist()
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise _Unlikely("it is no model: a part of it is packed in a way that none is")
    return archive, members


def _trouble(path: str, file: IO[bytes], found: os.stat_result) -> str:
    if found.st_size == 0:
        return "it is empty"
    if found.st_size > LARGEST:
        return f"it is no model: it is longer than {LARGEST >> 40} TiB"
    if path.endswith(".onnx"):
        return _broken_onnx(file, found.st_size)
    if path.endswith(CHECKPOINTS) and _is_older(file):
        return ""
    return _broken_archive(file, found.st_size) if path.endswith(ARCHIVES) else ""


def _is_older(file: IO[bytes]) -> bool:
    """Whether it is what PyTorch saved before 1.6, which does not tell where it should end."""
    file.seek(0)
    begin = file.read(64)
    file.seek(0)
    return bool(_OLDER.match(begin))


def _broken_onnx(file: IO[bytes], size: int) -> str:
    """What is wrong with the outermost parts of an ONNX file: each tells its number, its kind and its length."""
    numbers, at = set(), 0
    for _ in range(PARTS):
        if at >= size:
            break
        file.seek(at)
        head = file.read(20)
        key, used = _varint(head)
        number, kind = key >> 3, key & 7
        value, more = _varint(head[used:]) if kind in (0, 2) else (0, {1: 8, 5: 4}.get(kind, 0))
        if not used or not more or not 0 < number < _FIELDS:
            return "it is no model: no ONNX file"
        numbers.add(number)
        at += used + more + (value if kind == 2 else 0)
    if at < size:
        return f"it is no model: there are more than {PARTS} parts in it"
    if at > size:
        return "it is not whole: its end is missing"
    return "" if _GRAPH in numbers else "it is no model: an ONNX file without a graph"


def _varint(data: bytes) -> Tuple[int, int]:
    """A number as protobuf writes it, and how many bytes it takes: none where there is none."""
    value = 0
    for count, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, count + 1
    return 0, 0


def _broken_archive(file: IO[bytes], size: int) -> str:
    """What is missing of a ZIP archive by its structure, empty when all its parts are where they should be."""
    if file.read(4) != b"PK\x03\x04":
        return "it is no model: no ZIP archive, as PyTorch has saved since 1.6"
    try:
        archive, members = _members(file)
        begins = sorted(member.header_offset for member in members)
        for member, following in zip(sorted(members, key=_begin), [*begins[1:], archive.start_dir]):
            file.seek(member.header_offset)
            signature, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
            end = member.header_offset + _LOCAL.size + name + extra + member.compress_size
            if signature != b"PK\x03\x04" or end > following:
                return "it is not whole: a part of it is not where it should be"
        file.seek(size - _END_SIZE - len(archive.comment))
        if min(begins, default=1) != 0 or file.read(4) != _END:
            return "it is not whole: there is more or less in it than it should be"
        if sum(member.file_size for member in members) > UNPACKED * size:
            return f"it is no model: it unpacks to more than {UNPACKED} times its size"
    except _Unlikely as unlikely:
        return str(unlikely)
    except Exception:  # the bytes may be anything, and each kind of damage has an exception of its own
        return "it is not whole: its end is missing or damaged"
    return ""


def _broken_member(file: IO[bytes], reading: Reading) -> str:
    """Whether the checksum of each part is right; nothing is extracted. What PyTorch saved before 1.6 has none."""
    if _is_older(file):
        return ""
    try:
        archive, members = _members(file)
        for member in members:
            with archive.open(member) as content:
                for block in iter(lambda: content.read(BLOCK), b""):
                    reading(len(block))
    except OSError:
        raise
    except Exception:  # as above
        return "it is damaged: the checksum of a part of it is wrong"
    return ""


def _begin(member: zipfile.ZipInfo) -> int:
    return member.header_offset


def _promised(path: str, date: str) -> Optional[str]:
    """The checksum in the file beside it, None without one."""
    try:
        with opened(f"{path}.sha256", date) as file:
            text = file.read(SIDECAR_LIMIT).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError:
        return ""
    match = re.match(r"([0-9a-fA-F]{64})(?:\s|$)", text)
    return match[1].lower() if match else ""
