"""The logs of services: asked of a server, and shown line by line as they come."""

from __future__ import annotations

import json
import math
import os
import posixpath
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from gpu_runbook.common import humanize
from gpu_runbook.laptop.answers.contract import SCHEMA
from gpu_runbook.laptop.answers.past import DOCKER, LogLine, UnreadLog
from gpu_runbook.laptop.deploy.run import SILENCE, come_back
from gpu_runbook.laptop.errors import Defect, LostContact
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inputs.secret import DOTS, masked
from gpu_runbook.laptop.inventory.model import Batch, Host, Inventory, Service
from gpu_runbook.laptop.rpc.call import ANSWER, DAY, Deadline, ask, look, only_looked
from gpu_runbook.laptop.rpc.requests import log_rules, marks_of, place
from gpu_runbook.laptop.sanitize import clean
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.spool import Spool
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.foreign_text import NAME, named, one_line, quoted
from gpu_runbook.protocol.forms import ContainerId, ContainerName, Place, ServiceName, Time, fits, has
from gpu_runbook.protocol.logs import FilePosition, LogMark, newer
from gpu_runbook.protocol.requests import LogOf, LogsRequest
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.past import FollowedObject

LEAST = 4  # characters of a secret's end that are recognised where a line may have begun before what is shown
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # of services on a terminal; red is for what is found
FOUND = "\x1b[1;31m"
PLAIN = "\x1b[0m"
SAID = 200  # characters of why a log cannot be read
CUT = " … (cut here: the line is longer than 16 KiB)"
SHAPES: dict[str, dict[str, Any]] = {
    "container": {
        "service": ServiceName,
        "container": ContainerId,
        "name": ContainerName,
        "state": dict,
        "at": Time,
        "whole": bool,
    },
    "lines": {"service": ServiceName, "container": ContainerId, "lines": list},
    "file": {"service": ServiceName, "lines": list, "positions": list},
    "untimed": {"service": ServiceName, "path": Place},
    "none": {"service": ServiceName},
    "unreadable": {"service": ServiceName, "message": str},
    "away": {"message": str},
}
OF_FILE: dict[int, Any] = {0: Place, 1: Time, 2: str, 3: bool}  # path, time, text, whether it was cut
PATH = 4096  # characters of one
STATE: dict[str, Any] = {"Status": str, "ExitCode": int, "StartedAt": Time, "FinishedAt": Time}

Say = Callable[[str], None]


@dataclass(frozen=True)
class LogView:
    """How lines are shown. `grep`: only those with this text, as it stands; `timestamps`: each with its time, UTC.

    `services`: the names of all of hosts.yaml, so that each has its colour whichever are asked for.
    """

    grep: str = ""
    timestamps: bool = False
    services: Sequence[str] = ()


AS_IT_IS = LogView()


@dataclass(frozen=True)
class LogWish:
    """Which logs. `tail`: how many lines of each, 0 for all; `since`: how many seconds back, 0 for all."""

    services: Sequence[Service]
    tail: int
    since: int
    follow: bool

    def request(self, inventory: Inventory, host: Host) -> LogsRequest:
        services = tuple(_of(inventory, service) for service in self.services)
        return LogsRequest(*place(host), services, self.tail, self.since, self.follow)


def of_server(session: Session, inventory: Inventory, resolved: Resolved, wish: LogWish, hear: Hearer) -> None:
    """One exchange, which a wish to follow makes endless. Raises what `call.ask` raises.

    A following whose contact is lost is taken up again behind the last line that was heard; where that cannot be, it is
    lost contact. Before anything was heard, and without a following, it is a server that cannot be reached.
    """
    request = wish.request(inventory, resolved.host)
    if wish.follow:
        _follow(session, request, hear)
        return
    look(session, "logs", request, on_event=hear, endless=True, deadline=Deadline(DAY, ANSWER))


def _follow(session: Session, request: LogsRequest, hear: Hearer) -> None:
    lost: list[LostContact] = []

    def listen(at: Session) -> dict[str, Any]:
        calls, after = hear.calls, hear.marks() if hear.calls else None
        try:
            again = replace(request, after=after, files=hear.positions())
            return ask(at, "logs", again, hear, SILENCE, True, Deadline(math.inf))
        except LostContact as error:
            if hear.calls > calls:
                lost.append(error)
                hear.lost(error)
            raise

    try:
        listen(session)
    except LostContact as error:
        if not hear.calls:
            raise only_looked(error) from error
        come_back(session, listen, lambda: hear.calls)
        raise LostContact(lost[-1].message, "what runs there goes on; fab logs --follow takes it up again") from error


class Hearer:
    """Reads the server's events, strictly, covers what is secret, and hands lines and words about them on."""

    def __init__(self, server: str, hidden: Sequence[str], show: Show) -> None:
        self._server = server
        self._hidden = tuple(dict.fromkeys(form for secret in hidden for form in (secret, clean(secret))))
        self._margin = max(map(len, self._hidden), default=0)
        self._show = show
        self._begun: set[tuple[str, str]] = set()  # container and stream of which a line was shown
        self._lives: set[tuple[str, str]] = set()  # container and start of which it was said that it comes now
        self._marks: dict[str, LogMark] = {}  # by container, up to which its log was shown
        self._files: dict[str, dict[tuple[int, int], FilePosition]] = {}  # by service, device and inode: the same
        self.calls = 0  # how many events came

    def marks(self) -> dict[str, LogMark]:
        """Up to where the log of each container was shown."""
        return dict(self._marks)

    def positions(self) -> dict[str, tuple[FilePosition, ...]]:
        """By service, up to where its log files were shown; nothing of one that was not read yet."""
        return {service: tuple(files.values()) for service, files in self._files.items()}

    def lost(self, error: LostContact) -> None:
        """Say that contact was lost."""
        self._show.say(f"{error.message.removeprefix(f'{self._server}: ')}; trying to come back to the last line")

    def __call__(self, event: dict[str, Any]) -> None:
        self.calls += 1
        kind = event.get("event")
        if not _is(event, SHAPES.get(str(kind))):
            raise Defect(f"{self._server}: what it says of a log is not what it should be ({kind})")
        if kind == "lines":
            self._show.lines([self._line(event, entry) for entry in event["lines"]])
        elif kind == "file":
            self._file(event)
        elif kind == "untimed":
            why = "its lines say no time, and count as of when it was written to last"
            self._show.say(f"{event['service']}: {named(event['path'])}: {why}")
        elif kind == "container":
            self._container(event)
        elif kind == "none":
            self._show.none(event["service"])
        elif kind == "unreadable":
            self._show.unread(UnreadLog(event["service"], one_line(event["message"], SAID)))
        else:
            self._show.say(f"{one_line(event['message'])}: waiting for it")

    def _line(self, event: dict[str, Any], entry: Any) -> LogLine:
        if not isinstance(entry, list) or list(map(type, entry)) != [str, str, str, bool]:
            raise Defect(f"{self._server}: a line of a log is not what it should be")
        at, stream, text, cut = entry
        text = masked(text, self._hidden).replace("\n", "\N{REPLACEMENT CHARACTER}")
        if (event["container"], stream) not in self._begun:  # the engine counts its pieces of a long line as lines
            self._begun.add((event["container"], stream))
            text = without_end(text, self._hidden)
        if cut:  # the end goes too: it may be the first half of a secret
            text = text[: max(len(text) - self._margin, 0)] + CUT
        self._marks[event["container"]] = newer(self._marks.get(event["container"]), at)
        return LogLine(one_line(event["service"], NAME), event["container"], stream, at, text, DOCKER)

    def _file(self, event: dict[str, Any]) -> None:
        """Lines of log files, and how far they were read with them."""
        known = self._files.setdefault(event["service"], {})
        try:
            positions = [decode(FilePosition, one, "position") for one in event["positions"]]
        except Malformed as error:
            raise Defect(f"{self._server}: what it says of a log file is not what it should be ({error})") from error
        known.update(((one.device, one.inode), one) for one in positions)
        self._show.lines([self._of_file(event["service"], entry) for entry in event["lines"]])

    def _of_file(self, service: str, entry: Any) -> LogLine:
        if not isinstance(entry, list) or not fits(OF_FILE, dict(enumerate(entry))) or len(entry) != len(OF_FILE):
            raise Defect(f"{self._server}: a line of a log file is not what it should be")
        path, at, text, cut = entry
        text = masked(text, self._hidden).replace("\n", "\N{REPLACEMENT CHARACTER}")
        if cut:
            text = text[: max(len(text) - self._margin, 0)] + CUT
        return LogLine(one_line(service, NAME), "", "file", at, text, one_line(path, PATH))

    def _container(self, event: dict[str, Any]) -> None:
        """Say whose log comes now, once for each of its starts."""
        container, about = self._about(event)
        if not event["whole"]:  # should it say nothing, what comes from now on is new
            self._marks.setdefault(container, LogMark(f"{event['at'][:19]}.000000000Z"))
        life = container, event["state"]["StartedAt"]
        if life not in self._lives:
            self._lives.add(life)
            self._show.container(event["service"], container, about)

    def _about(self, event: dict[str, Any]) -> tuple[str, str]:
        """The container's id, and how it is."""
        state = event["state"]
        if not _is(state, STATE):
            raise Defect(f"{self._server}: what it says of a container is not what it should be")
        called = "" if event["name"] == event["service"] else f" ({quoted(event['name'])})"
        how = _how(state, event["at"])
        return event["container"], f"{called} {how}"


class Show:
    """Lines of logs for people: on `out`; what is said about them goes to `say`, so that a pipe has lines alone."""

    def __init__(
        self,
        say: Say,
        services: Sequence[Service],
        follow: bool,
        out: TextIO | None = None,
        view: LogView = AS_IT_IS,
    ) -> None:
        self.say = say
        self.heard = self.matched = 0  # lines, and those of them with the text that is looked for
        self._out = out or sys.stdout
        self._view = view
        self._coloured = colours_on(self._out)
        self._names = self._prefixes([service.name for service in services])
        self._logging = {service.name for service in services if service.log_files}
        self._follow = follow
        self._known: set[str] = set()

    def _prefixes(self, names: Sequence[str]) -> dict[str, str]:
        """What stands in front of a line of each service; nothing for one alone."""
        if len(names) == 1:
            return {}
        width = max(map(len, names))
        order = [*self._view.services, *names]
        found = {name: f"{name:{width}} |" for name in names}
        if not self._coloured:
            return found
        colours = {name: COLOURS[order.index(name) % len(COLOURS)] for name in names}
        return {name: f"\x1b[{colours[name]}m{text}{PLAIN}" for name, text in found.items()}

    def container(self, service: str, container: str, about: str) -> None:
        """Say whose log comes now: at first how the container is, and when following which one came after it."""
        if self._follow and service in self._known:
            self.say(f"— {service}: container {container[:12]} —")
        else:
            self.say(f"{service}{about}, container {container[:12]}")
        self._known.add(service)

    def none(self, service: str) -> None:
        """Say that a service has no container."""
        self.say(f"{service}: no container, and so {'nothing but log files' if service in self._logging else 'no log'}")

    def unread(self, log: UnreadLog) -> None:
        self.say(f"{log.service}: its log cannot be read ({quoted(log.why, SAID)})")

    def lines(self, lines: Sequence[LogLine]) -> None:
        """Show those of the lines that are looked for."""
        chosen = [line for line in lines if self._view.grep in line.text]
        self.heard += len(lines)
        self.matched += len(chosen)
        if chosen:
            self._tell(chosen)

    def _tell(self, lines: Sequence[LogLine]) -> None:
        self._write("".join(f"{self._prefix(line)}{self._marked(line.text)}\n" for line in lines))

    def _prefix(self, line: LogLine) -> str:
        parts = [self._names.get(line.service, ""), to_milliseconds(line.at) if self._view.timestamps else ""]
        if line.source != DOCKER:
            parts.append(f"{posixpath.basename(line.source)} |")
        return "".join(f"{part} " for part in parts if part)

    def _marked(self, text: str) -> str:
        """On a terminal with a colour on what was looked for."""
        sought = self._view.grep
        return text.replace(sought, f"{FOUND}{sought}{PLAIN}") if sought and self._coloured else text

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class ShowJson(Show):
    """The same for scripts: a JSON object per line when following, else gathered in `found` and `untold`."""

    def __init__(
        self,
        say: Say,
        services: Sequence[Service],
        follow: bool,
        out: TextIO | None = None,
        view: LogView = AS_IT_IS,
    ) -> None:
        super().__init__(say, services, follow, out, view)
        self.found = Spool()
        self.untold: list[dict[str, Any]] = []

    def unread(self, log: UnreadLog) -> None:
        super().unread(log)
        self.untold.append(vars(log))

    def _tell(self, lines: Sequence[LogLine]) -> None:
        if self._follow:
            self._write("".join(json.dumps(_numbered(line), ensure_ascii=False) + "\n" for line in lines))
        else:
            for line in lines:
                self.found.add(vars(line))


def _numbered(line: LogLine) -> FollowedObject:
    """Each may be read alone, and so each says which contract it keeps."""
    return {"schema": SCHEMA, **vars(line)}


def counted(shown: Show, wish: LogWish) -> str:
    """How many of the lines that were looked through were shown, and how to look through more."""
    further = "; --tail and --since reach further back" if wish.tail else ""
    return f"{shown.matched} of {humanize.several(shown.heard, 'line')} with that text{further}"


def colours_on(out: TextIO) -> bool:
    """Whether it is a terminal that wants colours (https://no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def to_milliseconds(at: str) -> str:
    """A time of the same width, whoever wrote it: the engine with nanoseconds, a file with fewer digits or none.

    What is no time is a `?`.
    """
    if not has(Time, at):
        return f"{'?':24}"
    return f"{at[:19]}.{at[20:-1][:3]:0<3}Z"


def without_end(text: str, hidden: Sequence[str]) -> str:
    """The text without the end of a secret that it begins with: the secret's beginning was in what is not shown."""
    begin = text.lstrip("\N{REPLACEMENT CHARACTER}")
    ends = (form[at:] for form in hidden for at in range(1, len(form) - LEAST + 1))
    longest = max((len(end) for end in ends if begin.startswith(end)), default=0)
    return DOTS + begin[longest:] if longest else text


def _of(inventory: Inventory, service: Service) -> LogOf:
    """How the server recognises the containers of a service."""
    marks = marks_of(inventory, service) if isinstance(service, Batch) else None
    return LogOf(service.name, marks, log_rules(service))


def _is(value: dict[str, Any], shape: dict[str, Any] | None) -> bool:
    """Whether the entries are those of the shape, of a type or a form each, beside the event's own name."""
    given = {name: entry for name, entry in value.items() if name != "event"}
    return shape is not None and shape.keys() == given.keys() and all(fits(shape[name], given[name]) for name in shape)


def _how(state: dict[str, Any], at: str) -> str:
    """`runs for 3 h`, or since when it does not. Times are the server's."""
    status = state["Status"]
    if status == "created":
        return "was never started"
    if status == "running":
        return f"runs for {_since(state['StartedAt'], at)}"
    if status in ("restarting", "paused"):
        return f"is {status}"
    ended = f"it ended {_since(state['FinishedAt'], at)} ago with exit status {state['ExitCode']}"
    return f"does not run ({ended}); its last log"


def _since(begin: str, end: str) -> str:
    try:
        passed = datetime.fromisoformat(end[:19]) - datetime.fromisoformat(begin[:19])
    except ValueError:
        return "an unknown time"
    return humanize.span(passed.total_seconds())
