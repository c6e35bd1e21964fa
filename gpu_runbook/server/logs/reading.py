"""The logs of one service since its container was started: the files beside docker's log, and what a line means."""

from __future__ import annotations

import os
from collections import deque
from typing import Callable, Deque, List, NamedTuple, Optional, Sequence, Tuple

from gpu_runbook.common.clock import stamp
from gpu_runbook.protocol.foreign_text import one_line, quoted
from gpu_runbook.protocol.forms import minute
from gpu_runbook.protocol.logs import FilePosition, LogRules
from gpu_runbook.server.logs import levels
from gpu_runbook.server.logs.files import AT_ONCE, TAIL, LogFiles

LINES = 20  # of all files that are shown
WIDTH = 200  # characters of a line in a sentence
LONGEST = 1000  # characters of a line that is kept


class Said(NamedTuple):
    """A line of a file, and what it says that means a failure; usually nothing."""

    file: str
    text: str
    failure: str


class Reading:
    """Reads what is new in the files of a service. `cover` hides secrets in a line; `known` is as LogFiles has it."""

    def __init__(
        self,
        rules: LogRules,
        failure_text: Sequence[str],
        cover: Callable[[str], str],
        known: Sequence[FilePosition] = (),
    ) -> None:
        self.begun: Optional[Tuple[FilePosition, ...]] = None  # how far the files went when it began
        self._rules = rules
        self._failure_text = failure_text
        self._cover = cover
        self._files = LogFiles(rules.files, known)
        self._last: Deque[Said] = deque(maxlen=LINES)

    @property
    def unread(self) -> str:
        """Why not everything could be read."""
        return one_line(self._files.unread)

    def begin(self) -> None:
        """What is in the files now is another's."""
        self._files.begin()
        self.begun = self._files.positions() if self._rules.files else None

    def look(self, tail: bool = False) -> str:
        """What the first new line that means a failure says, and where; `tail`: among the last lines of each file."""
        first = ""
        for line in self._files.new(TAIL if tail else AT_ONCE, tail):
            text, file = self._cover(line.text), os.path.basename(line.path)
            said = Said(file, text[:LONGEST], self.failing(text))
            self._last.append(said)
            if said.failure and not first:
                first = f"{quoted(said.failure, WIDTH)} in {one_line(file, WIDTH)}"
        return first

    def failing(self, line: str) -> str:
        """As `levels.failing`, for a line of any log."""
        return levels.failing(line, self._failure_text, self._rules)

    def lines(self, of_docker: Sequence[str]) -> List[str]:
        """The last lines that were read behind those of docker's log, with names of files where there are several."""
        several = len({line.file for line in self._last}) + bool(of_docker) > 1
        return [*of_docker, *(f"{line.file} | {line.text}" if several else line.text for line in self._last)]

    def failures(self, of_docker: Sequence[str]) -> List[str]:
        """Those of them that mean a failure."""
        return [*filter(self.failing, of_docker), *(line.text for line in self._last if line.failure)]

    def remark(self) -> str:
        """That the files are silent, which is no fault: where there are none, or something was written before."""
        if self._last or not self._rules.files:
            return ""
        where = " and ".join(self._rules.files)
        found = [one.modified / 1e9 for one in self._files.found() if one.size]
        if not found:
            return one_line(f"there is nothing in {where} yet")
        return one_line(f"nothing was written to {where} since {minute(stamp(max(found)))} UTC")
