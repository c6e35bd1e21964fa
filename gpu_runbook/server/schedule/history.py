"""The rounds that were: one line each, bounded in age and size; a line that is broken costs no other."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from datetime import datetime, timedelta, timezone
from typing import Any, BinaryIO, Dict, Iterator, Optional, Tuple

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.rounds import Round, slim
from gpu_runbook.server.system import files

MOST = 20 << 20  # bytes, however little time that is
LONGEST = 1 << 16  # bytes of a line
DOUBTED = 12  # rounds after which even a clock that jumped is believed
SLACK = 1.1  # the file is written anew when it holds this many times of what it is to hold


def append(path: str, found: Round, keep: float, every: float) -> str:
    """Add a line, and drop what is older than `keep` seconds now and then; why that failed, usually nothing.

    `every`: seconds between two rounds. As many as make `keep` stay, however old a clock that was set makes them.
    """
    line = json.dumps(slim(encode(found)), ensure_ascii=False, separators=(",", ":")) + "\n"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(handle).st_size
            before = os.pread(handle, LONGEST, max(size - LONGEST, 0))
            torn = before[-1:] not in (b"", b"\n")  # by a power cut, or a disk that was full
            data = (b"\n" if torn else b"") + line.encode("utf-8", "backslashreplace")
            if os.write(handle, data) < len(data):
                return f"{path} cannot be written: the disk is full"
        finally:
            os.close(handle)
        # By the rounds before, too: a clock that is far ahead for a while must not make a month too old.
        earlier = filter(None, map(_moment, before.splitlines()[-DOUBTED:]))
        _trim(path, min(found.at, *earlier), keep, keep / every)
    except OSError as error:
        return f"{path} cannot be written: {error.strerror}"
    return ""


def read(path: str, since: str) -> Iterator[Tuple[Optional[Round], Dict[str, Any]]]:
    """Each round from a moment on (RFC 3339), oldest first, as a value and as it stands; None for a broken line."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for raw in file:
            line = _parsed(raw)
            if line is None:
                if raw.strip():
                    yield None, {}
            elif line[0].at >= since:
                yield line


def _parsed(raw: bytes) -> Optional[Tuple[Round, Dict[str, Any]]]:
    try:
        line = json.loads(raw)
        return decode(Round, line, "line"), line
    except (ValueError, RecursionError):  # Malformed is one, too
        return None


def _trim(path: str, at: str, keep: float, least: float) -> None:
    """Write the file anew without what is too old or too much, once that is worth it. `least`: lines that stay."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        first = _moment(file.readline(LONGEST))
        if size <= MOST and first >= _before(at, keep * SLACK):
            return
        file.seek(0)
        left = sum(1 for _ in file)
        if size <= MOST and first and left <= least * SLACK:
            return
        since, offset = _before(at, keep), 0
        file.seek(0)
        for raw in file:
            moment = _moment(raw)
            if moment and (left <= least or moment >= since) and (size - offset) * SLACK <= MOST:
                break
            offset, left = offset + len(raw), left - 1
        file.seek(offset)
        _write_anew(path, file)


def _write_anew(path: str, rest: BinaryIO) -> None:
    """Copied piece by piece: a round must not need the memory that a month of them takes."""
    staged = files.staged_name(path, "new")
    try:
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(rest, file)
            file.flush()
            os.fsync(handle)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise
    files.place(staged, path)
    files.sync_folder(os.path.dirname(path))


def _moment(raw: bytes) -> str:
    """When a line's round was, empty for a broken one; lines begin with it."""
    try:
        return str(json.loads(raw)["at"]) if raw.startswith(b'{"at":"') else ""
    except (ValueError, KeyError, RecursionError):
        return ""


def _before(at: str, seconds: float) -> str:
    """The moment so many seconds earlier, as the lines spell it."""
    try:
        moment = datetime.strptime(at[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        return (moment - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return ""
