"""Reads the position a consumer has written down for itself, and says how far behind the stream it is."""

from __future__ import annotations

import json
import re
import time
from typing import Any, Callable, List, Optional, Pattern, Tuple

from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.system import files

RETRIES = 3
PAUSE = 0.2  # seconds before each: a writer that truncates and then writes is done by the next one
LIMIT = 1 << 16  # bytes of the file that are read

_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True)
class Position:
    """What the file says. Whether `value` is the next offset or the last one handled, OffsetFile.means tells."""

    value: int
    written_at: float  # seconds since 1970, the file's modification time


class OffsetError(Exception):
    """There is no position to be had. `kind` is gone, unreadable or garbled; `message` names file and key."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def read(file: OffsetFile, sleep: Callable[[float], None] = time.sleep) -> Position:
    """The position in the file, read again a few times while it is empty or half-written. Raises OffsetError."""
    before, (text, written_at) = "", _content(file)
    for _ in range(RETRIES):
        if _is_whole(text, before, file):
            break
        sleep(PAUSE)
        before, (text, written_at) = text, _content(file)
    return Position(_value(text, file), written_at)


def next_offset(file: OffsetFile, value: int) -> int:
    """The first offset that the consumer has yet to handle."""
    return value + 1 if file.means == "last" else value


def position(file: Optional[OffsetFile], kept: str) -> Optional[int]:
    """The next offset to read that a kept copy of an offset file names, None when it names none."""
    try:
        raw = files.read(kept) if file else None
        return next_offset(file, _value(_text(raw), file)) if file and raw is not None else None
    except (OSError, OffsetError):
        return None


def upcoming(file: Optional[OffsetFile]) -> Optional[int]:
    """The next offset to read that the file itself names now, None when it names none."""
    try:
        return next_offset(file, read(file).value) if file else None
    except OffsetError:
        return None


def moved(file: OffsetFile, text: str, upcoming: int) -> str:
    """The file's text with another next offset to read, and nothing else changed. Raises OffsetError."""
    value = upcoming - 1 if file.means == "last" else upcoming
    before = _value(text, file)
    if text.lstrip().startswith("{"):
        return json.dumps({**json.loads(text), file.key: value}) + "\n"
    *_, last = _line(file).finditer(text)
    return text[: last.start(2)] + last[2].replace(str(before), str(value), 1) + text[last.end(2) :]


def backlog(file: OffsetFile, upcoming: int, last: Optional[int]) -> int:
    """How many offsets wait, with the next one to read; `last` is the stream's last one, None when it is empty.

    What a consumer may have handled without having saved it yet (OffsetFile.saved_every) is no backlog. Some offsets
    are the broker's own, so that the figure is an upper bound on messages.
    """
    waiting = 0 if last is None else last + 1 - upcoming
    return waiting if waiting > file.saved_every else 0


def _content(file: OffsetFile) -> Tuple[str, float]:
    try:
        found = guarded.read(file.path, LIMIT)
    except OSError as error:
        raise OffsetError("unreadable", f"{file.path} cannot be read ({error.strerror})") from error
    if found is None:
        raise OffsetError("gone", f"{file.path} does not exist")
    return _text(found[0]), found[1].st_mtime


def _text(raw: bytes) -> str:
    return raw.decode("utf-8-sig", "replace")


def _is_whole(text: str, before: str, file: OffsetFile) -> bool:
    """A number without an end of line may be the first digits of a longer one: it has to stand there twice."""
    try:
        _value(text, file)
    except OffsetError:
        return False
    return text.endswith(("\n", "}")) or text == before


def _value(text: str, file: OffsetFile) -> int:
    """The number behind the key: JSON, or a top-level `key: number` line of YAML; of several the last counts."""
    if not text.strip():
        raise OffsetError("garbled", f"{file.path} is empty")
    if text.lstrip().startswith("{"):
        found = _json_values(text, file)
    else:
        found = [re.sub(r"(^|\s)#.*", "", match[2]).strip() for match in _line(file).finditer(text)]
    if not found:
        raise OffsetError("garbled", f"{file.path} has no entry {file.key!r}")
    if not _NUMBER.fullmatch(found[-1]):
        raise OffsetError("garbled", f"{file.path}: {file.key} is {found[-1][:40]!r}, not a whole number from 0 up")
    return int(found[-1])


def _line(file: OffsetFile) -> Pattern[str]:
    return re.compile(rf"""^(["']?{re.escape(file.key)}["']?[ \t]*:)([^\r\n]*)""", re.MULTILINE)


def _json_values(text: str, file: OffsetFile) -> List[str]:
    """What stands behind the key, as JSON has it; nothing without the key."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise OffsetError("garbled", f"{file.path} is neither YAML lines nor JSON") from None
    return [json.dumps(data[file.key])] if file.key in data else []
