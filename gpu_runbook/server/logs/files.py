"""The log files of a service, read on from where they were left, however they are rotated meanwhile.

A file is known by device and inode, so that one that was renamed is read to its end, and by the last bytes that were
read, so that one that was cut off, or that has the number of one that is gone, is read from its beginning. A copy that
is made before a file is cut off has those bytes too: of it only what comes behind them is read, and only when the file
was cut off. A date in a pattern is any day: nobody knows whose clock names the next file.

Containers write these files. Each is opened by the opener, none through a link, and all that is read is bounded.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import stat
from itertools import islice
from typing import Dict, Iterator, List, NamedTuple, Optional, Pattern, Sequence, Tuple

from gpu_runbook.protocol.logs import FilePosition
from gpu_runbook.server.exposed import guarded

MOST = 50  # files of a service that are read: those that were written to last
NAMES = 10_000  # of one folder that are gone through
FOLDERS = 50  # that one part of a pattern leads to
AT_ONCE = 4 << 20  # bytes that are read in one look
EACH = 100  # bytes that a line counts beside its own there, as to judge it takes time
TAIL = 1 << 19  # bytes of the end of all files
PIECE = 1 << 18  # bytes that are read at once
LINE = 16 << 10  # bytes of a line that are kept
LAST = 256  # bytes before a position by which it is known again

_WILD = re.compile(r"[*?%]")
_DATE = {"Y": "[0-9]{4}", "j": "[0-9]{3}", **dict.fromkeys("ymdHMS", "[0-9]{2}")}
_ROTATED = r"([.-][\w.-]{1,40})?"  # consumer.log.1, consumer.log-20260328
_PACKED = (".gz", ".xz", ".bz2", ".zst", ".zip")

Key = Tuple[int, int]  # device and inode


class Found(NamedTuple):
    """A file as its folder lists it. `size` in bytes, `modified` in nanoseconds since 1970."""

    folder: str
    name: str
    key: Key
    size: int
    modified: int

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.name)


class FileLine(NamedTuple):
    """A line of a file; `written`: when that was written to last, in seconds since 1970."""

    path: str
    text: str
    cut: bool  # it is longer
    written: float


class _Mark:
    """How far a file was read."""

    def __init__(self, path: str, size: int = 0, last: str = "") -> None:
        self.path = path  # under which it was found first
        self.size = size
        self.last = last  # a digest of the bytes before that
        self.inside = False  # in the middle of a line that is too long
        self.seen = (-1, -1)  # size and time of the file at which there was nothing more to read


class LogFiles:
    """The log files of one service. What is not in `known` is new, and read from its beginning."""

    def __init__(self, patterns: Sequence[str], known: Sequence[FilePosition] = ()) -> None:
        self.patterns = patterns
        self.unread = ""  # why not everything could be read
        self._marks = {(one.device, one.inode): _Mark(one.path, one.size, one.last) for one in known}
        self._copies: Dict[Key, Key] = {}  # each of a file that is still read itself
        self._aside: Dict[Key, int] = {}  # sizes of those that were too many at the beginning
        self._left = NAMES  # that may still be gone through

    def begin(self, before: float = math.inf) -> None:
        """What is in them now counts as read; in those that were last written to before a time, since 1970."""
        found = [one for one in self.found() if one.modified / 1e9 < before]
        self._aside = {one.key: one.size for one in found[:-MOST]}
        for one in found[-MOST:]:
            with self._tried(one.path), _opened(one) as handle:
                self._marks[one.key] = _at(one.path, handle, os.fstat(handle).st_size)

    def positions(self) -> Tuple[FilePosition, ...]:
        """How far they were read; those that are gone as well, which may be seen again."""
        return tuple(FilePosition(mark.path, *key, mark.size, mark.last) for key, mark in self._marks.items())

    def new(self, most: int = AT_ONCE, tail: bool = False, rest: bool = False) -> Iterator[FileLine]:
        """What came since the last look, the file that was written to last at the end; `most` bytes of it.

        `tail`: its last bytes, the others are left out. `rest`: a last line that has no end yet as well.
        """
        self.unread = ""
        found = self.found()[-MOST:]
        changed = [one for one in found if self._is_changed(one, rest)]
        self._mark(changed, {one.key: one for one in found})
        budget = _Budget(most, 0 if tail else EACH)
        for number, one in enumerate(changed):
            mark = self._marks.get(one.key)
            if mark is None:
                continue
            with self._tried(one.path), _opened(one) as handle:
                if tail:
                    _skip(handle, mark, budget.left // (len(changed) - number))
                yield from _read(handle, one, mark, budget, rest)
                if budget.left > 0:
                    mark.seen = one.size, one.modified

    def found(self) -> List[Found]:
        """The files that the patterns name, and what is left of them once rotated, by when they were written to."""
        listed: Dict[Key, Found] = {}
        self._left = NAMES
        for pattern in self.patterns:
            folder, wanted = os.path.dirname(pattern), _compiled(os.path.basename(pattern), _ROTATED)
            for path in self._folders(folder):
                for name, state in self._listed(path, wanted):
                    if stat.S_ISREG(state.st_mode) and not name.endswith(_PACKED):
                        key = state.st_dev, state.st_ino
                        listed.setdefault(key, Found(path, name, key, state.st_size, state.st_mtime_ns))
        return sorted(listed.values(), key=lambda one: (one.modified, -len(one.name)))  # of one moment: rotated first

    def _folders(self, pattern: str) -> List[str]:
        """The folders that a pattern names, those whose names sort last first."""
        paths = [""]
        for part in pattern.strip("/").split("/"):
            if _WILD.search(part):
                known = [(path, name, state) for path in paths for name, state in self._listed(path, _compiled(part))]
                folders = [f"{path}/{name}" for path, name, state in known if stat.S_ISDIR(state.st_mode)]
                paths = sorted(folders, reverse=True)[:FOLDERS]
            else:
                paths = [f"{path}/{part}" for path in paths]
        return paths

    def _listed(self, path: str, wanted: Pattern[str]) -> List[Tuple[str, os.stat_result]]:
        """What is in a folder under a name that is wanted, and can be shown."""
        found = []
        with self._tried(path), guarded.folder(path) as at:
            with os.scandir(at) as entries:
                names = list(islice(entries, self._left + 1))
            if len(names) > self._left:
                self.unread = f"more than {NAMES:,} names would have to be gone through, up to those in {path}"
            for entry in names[: self._left]:
                if wanted.fullmatch(entry.name) and entry.name.isprintable():
                    with contextlib.suppress(FileNotFoundError):
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
            self._left = max(self._left - len(names), 0)
        return found

    @contextlib.contextmanager
    def _tried(self, path: str) -> Iterator[None]:
        """Notes why something could not be read; what is not there is nothing to read."""
        try:
            yield
        except FileNotFoundError:
            pass
        except OSError as error:
            self.unread = f"{path} cannot be read ({error.strerror})"

    def _is_changed(self, one: Found, rest: bool) -> bool:
        mark = self._marks.get(one.key)
        return mark is None or mark.seen != (one.size, one.modified) or (rest and mark.size < one.size)

    def _mark(self, changed: Sequence[Found], found: Dict[Key, Found]) -> None:
        """Give each file a mark, or another one where it was cut off."""
        cut: Dict[Key, _Mark] = {}
        for one in changed:
            mark = self._marks.get(one.key)
            if mark:
                with self._tried(one.path), _opened(one) as handle:
                    if _last(handle, mark.size) != mark.last:
                        cut[one.key] = self._marks.pop(one.key)
        for one in changed:
            if one.key not in self._marks:
                with self._tried(one.path), _opened(one) as handle:
                    mark = self._first(one, handle, cut, found)
                    if mark:
                        self._marks[one.key] = mark
        gone = [key for key in self._marks if key not in found]
        for key in gone[: max(len(self._marks) - 2 * MOST, 0)]:
            del self._marks[key]

    def _first(self, one: Found, handle: int, cut: Dict[Key, _Mark], found: Dict[Key, Found]) -> Optional[_Mark]:
        """The first mark of a file; None for a copy of one that is still read itself."""
        if one.key in self._aside:
            return _at(one.path, handle, self._aside.pop(one.key))
        for key, mark in [*cut.items(), *self._marks.items()]:
            known, rotated = self._copies.get(one.key) == key, _is_rotated(one, mark)
            if not known and not (rotated and _last(handle, mark.size) == mark.last):
                if rotated and key not in cut and key in found and _begins_alike(handle, found[key]):
                    return None  # it is being copied, or will soon differ
                continue
            if key in cut:
                self._copies.pop(one.key, None)
                return _at(one.path, handle, mark.size)
            self._copies[one.key] = key
            return None
        return _Mark(one.path)


class _Budget:
    """How many bytes may still be read, and how many a line counts beside its own."""

    def __init__(self, left: int, each: int) -> None:
        self.left = left
        self.each = each


def _read(handle: int, one: Found, mark: _Mark, budget: _Budget, rest: bool) -> Iterator[FileLine]:
    """The lines behind the mark, which goes with them."""
    written = one.modified / 1e9
    with contextlib.suppress(OSError):  # a writer that does not append leaves a hole where its file was cut off
        mark.size = os.lseek(handle, mark.size, os.SEEK_DATA)
    try:
        while budget.left > 0:
            data = os.pread(handle, PIECE, mark.size)
            *lines, last = data.split(b"\n")
            for raw in lines:
                mark.size += len(raw) + 1
                budget.left -= len(raw) + 1 + budget.each
                if not mark.inside:
                    yield _line(one, raw, written)
                mark.inside = False
                if budget.left <= 0:
                    return
            if not lines and (len(data) > LINE or (rest and data)):  # the rest of that line is left out
                mark.size += len(data)
                budget.left -= len(data)
                if not mark.inside:
                    yield _line(one, last, written)
                mark.inside = True
            elif len(data) < PIECE and not (rest and lines and last):
                return
    finally:
        mark.last = _last(handle, mark.size)


def _line(one: Found, raw: bytes, written: float) -> FileLine:
    text = raw[:LINE].lstrip(b"\0").rstrip(b"\r").decode("utf-8", "replace")  # NULs, where a hole was
    return FileLine(one.path, text, len(raw) > LINE, written)


def _skip(handle: int, mark: _Mark, most: int) -> None:
    """Leave out what lies before the last bytes of a file."""
    start = os.fstat(handle).st_size - most
    if start > mark.size:
        mark.size, mark.inside = start, os.pread(handle, 1, start - 1) != b"\n"


def _at(path: str, handle: int, size: int) -> _Mark:
    return _Mark(path, size, _last(handle, size))


def _last(handle: int, size: int) -> str:
    """A digest of the last bytes before a position; of one beyond the file's end none."""
    length = min(size, LAST)
    data = os.pread(handle, length, size - length) if size else b""
    return hashlib.sha256(data).hexdigest()[:16] if data and len(data) == length else ""


def _is_rotated(one: Found, mark: _Mark) -> bool:
    """Whether a file may by its name have been made of another one."""
    folder, name = os.path.split(mark.path)
    return (
        mark.size > 0
        and one.folder == folder
        and one.name.startswith(name.partition(".")[0])
        and len(one.name) > len(name)
    )


def _begins_alike(handle: int, other: Found) -> bool:
    """Whether a file is shorter than another one and begins as that does, as far as it goes."""
    data = os.pread(handle, LAST, 0)
    if not data or os.fstat(handle).st_size >= other.size:
        return False
    with contextlib.suppress(OSError), _opened(other) as origin:
        return os.pread(origin, len(data), 0) == data
    return False


@contextlib.contextmanager
def _opened(one: Found) -> Iterator[int]:
    """A descriptor of a file, if it is still the one that was listed. Raises OSError."""
    with guarded.folder(one.folder) as at, guarded.inside(at, one.name) as file:
        state = os.fstat(file.fileno())
        if (state.st_dev, state.st_ino) != one.key:
            raise FileNotFoundError
        yield file.fileno()


def _compiled(name: str, more: str = "") -> Pattern[str]:
    """A regular expression of one part of a pattern, in which no `*` is tried twice, whatever a file is called."""
    first, *others = (_fixed(part) for part in re.split(r"\*+", name))
    middle = "".join(f"(?=(?P<g{at}>.*?{part}))(?P=g{at})" for at, part in enumerate(others[:-1]))
    return re.compile(first + middle + (f".*{others[-1]}" if others else "") + more)


def _fixed(text: str) -> str:
    """The same of a text without `*`."""
    return "".join(
        _DATE[part[1]] if part[:1] == "%" else "." if part == "?" else re.escape(part)
        for part in re.split(r"(\?|%[a-zA-Z])", text)
    )
