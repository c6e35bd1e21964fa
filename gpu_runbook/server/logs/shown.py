"""Says the lines of a service's log files as events: the newest ones that were wished for, and then what is new.

A line is of the time that it says, of that of the line before it where it says none, and of that of its file where no
line does. A time without a zone is read as that zone's by which the last line of a file and the file itself agree.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.logs import FilePosition, LogRules
from gpu_runbook.protocol.requests import LogsRequest
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.logs import levels
from gpu_runbook.server.logs.files import TAIL, FileLine, LogFiles

AT_ONCE = 1 << 17  # bytes of one event
USUAL = 300  # bytes of a line, where the ends of files are asked for by lines
MOST = 4 << 20  # bytes of all ends
QUARTER = 900  # seconds: zones differ by quarters of an hour
DAY = 86400  # seconds
AGREE = 60.0  # seconds: a file was written to when its last line was

Emit = Callable[[Dict[str, Any]], None]


def of(asked: LogsRequest, emit: Emit) -> Dict[str, FileLogs]:
    """By service, what says its log files."""
    guarded.prepare(asked.root, asked.docker_host)
    since = time.time() - asked.since if asked.since else 0.0
    return {
        one.service: FileLogs(emit, one.service, one.log, asked.tail, since, asked.files.get(one.service))
        for one in asked.services
        if one.log.files
    }


class Dated(NamedTuple):
    """A line and its time, in seconds since 1970."""

    at: float
    line: FileLine


class FileLogs:
    """The log files of one service. `tail`: lines, 0 for all; `since`: seconds since 1970, 0 for all.

    `known`: where a following that was cut off goes on; None for a first look.
    """

    def __init__(
        self,
        emit: Emit,
        service: str,
        rules: LogRules,
        tail: int = 0,
        since: float = 0.0,
        known: Optional[Sequence[FilePosition]] = None,
    ) -> None:
        self._emit = emit
        self._service = service
        self._rules = rules
        self._tail = tail
        self._since = since
        self._files = LogFiles(rules.files, known or ())
        self._begun = known is not None
        self._zones: Dict[str, float] = {}  # by path: seconds by which its times without a zone are ahead
        self._zone = 0.0  # the last of them
        self._times: Dict[str, Optional[float]] = {}  # by path: the last one that it said, None where it says none
        self._unread = ""
        self._told: Dict[Any, int] = {}  # positions that were told, by device and inode

    def say(self, follow: bool) -> bool:
        """Say what was wished for, and from then on what is new; whether that was anything."""
        if self._begun:
            return self._all(rest=not follow)
        self._begun = True
        self._learn(LogFiles(self._rules.files).new(TAIL, tail=True, rest=True))
        if self._since:
            self._files.begin(self._since)
        said = self._newest(rest=not follow) if self._tail else self._all(rest=not follow)
        if follow:
            self._event([], self._files.positions())
        return said

    def _newest(self, rest: bool) -> bool:
        """The wished number of lines, by their times."""
        most = min(max(self._tail * USUAL, TAIL), MOST)
        ends: Dict[str, Deque[FileLine]] = {}
        for line in self._files.new(most, tail=True, rest=rest):
            ends.setdefault(line.path, deque(maxlen=self._tail)).append(line)
        dated = sorted((one for lines in ends.values() for one in self._dated(lines)), key=lambda one: one.at)
        self._say(dated[-self._tail :])
        return bool(dated)

    def _all(self, rest: bool) -> bool:
        said = False
        while True:
            lines = list(self._files.new(AT_ONCE, rest=rest))
            self._say(self._dated(lines))
            if not lines:
                return said
            said = True

    def _learn(self, lines: Iterable[FileLine]) -> None:
        """Of which zone the times in each file are."""
        last: Dict[str, float] = {}
        for line in lines:
            said = levels.written(line.text, self._rules)
            if said and not said[1]:
                last[line.path] = said[0] - line.written
        for path, apart in last.items():
            ahead = round(apart / QUARTER) * QUARTER
            if abs(ahead) < DAY and abs(apart - ahead) < AGREE:
                self._zone = self._zones[path] = ahead

    def _dated(self, lines: Iterable[FileLine]) -> Iterator[Dated]:
        """With their times, those of the wished time."""
        for line in lines:
            said = levels.written(line.text, self._rules)
            if said:
                ahead = 0.0 if said[1] else self._zones.get(line.path, self._zone)
                self._times[line.path] = said[0] - ahead
            elif line.path not in self._times:
                self._times[line.path] = None
                if self._since:
                    self._emit({"event": "untimed", "service": self._service, "path": line.path})
            at = self._times[line.path]
            at = line.written if at is None else at
            if at >= self._since:
                yield Dated(at, line)

    def _say(self, lines: Iterable[Dated]) -> None:
        """Lines and positions in one event each: whoever heard it knows where to go on."""
        batch: List[Any] = []
        size = 0
        for one in lines:
            batch.append((one.line.path, _stamp(one.at), one.line.text, one.line.cut))
            size += len(one.line.text)
            if size > AT_ONCE:
                self._event(batch, [])
                batch, size = [], 0
        moved = [one for one in self._files.positions() if self._told.get((one.device, one.inode)) != one.size]
        self._told.update(((one.device, one.inode), one.size) for one in moved)
        if batch or moved:
            self._event(batch, moved)
        if self._files.unread not in ("", self._unread):
            self._emit({"event": "unreadable", "service": self._service, "message": self._files.unread})
        self._unread = self._files.unread

    def _event(self, lines: Sequence[Any], moved: Sequence[FilePosition]) -> None:
        positions = [encode(one) for one in moved]
        self._emit({"event": "file", "service": self._service, "lines": lines, "positions": positions})


def _stamp(at: float) -> str:
    """RFC 3339 with milliseconds, UTC."""
    whole = int(max(at, 0.0))
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((max(at, 0.0) - whole) * 1000):03}Z"
