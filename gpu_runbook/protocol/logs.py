"""How far a log was heard, where a service logs to files, and which of its lines mean that it failed."""

from __future__ import annotations

from typing import Optional, Tuple

from gpu_runbook.protocol.forms import Annotated, Count, Path, Place, Time, maybe, text
from gpu_runbook.protocol.values import dataclass

LEVELS = ("warning", "error", "critical")  # from the mildest on; what is below them is no failure for anybody

LogLevel = Annotated[str, maybe(text("a level of a log", "|".join(LEVELS)))]
LogKey = Annotated[str, maybe(text("a key of a JSON line", r"@?[A-Za-z_][\w.@-]{0,58}"))]
Digest16 = Annotated[str, maybe(text("the beginning of a digest", "[0-9a-f]{16}"))]


@dataclass(frozen=True)
class LogMark:
    """The newest line of a container's log that was said: the engine's stamp, and how many lines have that one."""

    at: Time
    count: Count = 0


@dataclass(frozen=True)
class LogRules:
    """Which files a service logs to beside docker's log, and how a line of either says how grave it is.

    The keys are those of JSON lines; empty for the usual ones.
    """

    files: Tuple[Path, ...] = ()  # of files on the server, with `*`, `?` and the digits of a date as `%Y-%m-%d`
    level: LogLevel = ""  # from which on a line means that it failed; empty where no line is judged by its level
    level_key: LogKey = ""  # the key of its level
    message_key: LogKey = ""  # the key of its message
    time_key: LogKey = ""  # the key of its time


@dataclass(frozen=True)
class FilePosition:
    """How far a file of a log was read; renamed, it is still known by device and inode."""

    path: Place  # as it was found
    device: Count  # of its file system
    inode: Count  # its number there
    size: Count  # bytes that were read, all of them whole lines but where it ended in the middle of one
    last: Digest16 = ""  # of the last bytes before that: another file of the same number has others


def newer(known: Optional[LogMark], stamp: str) -> LogMark:
    """The mark after one more line."""
    if known is None or stamp > known.at:
        return LogMark(stamp, 1)
    return LogMark(known.at, known.count + 1) if stamp == known.at else known
