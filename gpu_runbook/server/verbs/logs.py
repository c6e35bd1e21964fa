"""Verb: the logs of services, line by line, once or for as long as somebody listens. Nothing is changed.

What is read is handed on at once, and read no faster than it is taken: neither a long log nor a slow laptop makes this
process grow.
"""

from __future__ import annotations

import calendar
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple

from gpu_runbook.common import clock
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.logs import LogMark, newer
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.protocol.requests import LogsRequest
from gpu_runbook.server.checks import log_tail
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.batch_containers import is_listed_run
from gpu_runbook.server.docker.containers import AT_WORK
from gpu_runbook.server.docker.engine import ITS_OWN, Engine, EngineError, Unreadable
from gpu_runbook.server.docker.inspected import Container, ListedContainer
from gpu_runbook.server.docker.ours import MadeByUs
from gpu_runbook.server.docker.unix_http import Answer, Broken
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store, find_store

if TYPE_CHECKING:
    from gpu_runbook.server.logs.shown import FileLogs

LONGEST = 16 << 10  # bytes of a line that are read
BATCH = 64 << 10  # characters that are gathered while more is there to be read
SILENCE = 600.0  # seconds after which a silent log is asked for anew
PAUSE = 1.0  # seconds between two looks at who holds the places
PATIENCE = 90.0  # seconds an engine that went away is waited for
STREAMS = ("stdin", "stdout", "stderr")

Emit = Callable[[Dict[str, Any]], None]
Piece = Tuple[str, bytes, bool]  # stream, bytes, and whether the engine's stamp stands in front of them
Line = Tuple[str, str, bytes]  # stamp, stream, text
Services = Dict[str, Optional[BatchMarks]]  # by name; a consumer has no marks


def answer(request: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """`request`: a LogsRequest. Of a container that is not in its `after`, all is read.

    Events: `container` before the lines of one, and whether they are the whole log; `lines` with stamp, stream, text
    and whether it was cut; `none` for a service without a container; `unreadable`, and `away` when following; those
    of log files are in `logs.shown`. Secrets are for the laptop to cover: it knows them all. Raises Refusal when no
    service has a container or log files, or when no log could be read to its end.
    """
    asked = decode(LogsRequest, request, "request")
    engine, store = engines.find(asked.docker_host), find_store(asked.root, asked.state, emit)
    store.check_owner()
    heard = asked.after
    reader = Reader(engine, emit, asked.tail, asked.since, heard or {})
    services = {one.service: one.marks for one in asked.services}
    files = _files(asked, emit)
    held = holders(engine, store, services)
    if heard is not None:
        Following(reader, store, services, files, first=False).go_on()
    if not any(held.values()) and not files:
        names = " and ".join(held)
        hint = "fab deploy makes a consumer's container; a training run is started by a person: fab training.command"
        raise Refusal(f"there is no container of {names}, and so no log", hint)
    for service in (service for service, found in held.items() if not found):
        emit({"event": "none", "service": service})
    if asked.follow:
        Following(reader, store, services, files).go_on()
        return {}
    read = 0
    for service, found in held.items():
        for container in found:
            reader.announce(service, container)
            try:
                reader.read(service, container, reader.query(container.id, False))
                read += 1
            except Unreadable as error:
                reader.cannot_read(service, error)
        if service in files:
            read += files[service].say(follow=False)
    if not read:
        raise Refusal("no log could be read to its end", log_tail.HINT)
    return {}


def _files(asked: LogsRequest, emit: Emit) -> Dict[str, FileLogs]:
    """By service, what says its log files."""
    if not any(one.log.files for one in asked.services):
        return {}
    from gpu_runbook.server.logs import shown  # it travels only where one of them has any

    return shown.of(asked, emit)


def holders(engine: Engine, store: Store, services: Services) -> Dict[str, List[Container]]:
    """By service, its containers: those at work, else the one whose log is its last."""
    listed, known = engine.containers(), MadeByUs(store, record.load(store)[0])
    found = {}
    for service, marks in services.items():
        name = marks.container if marks else service
        named = [one for one in listed if name in one.names]
        alike = [one for one in listed if one in named or _belongs(engine, known, service, marks, one)]
        at_work = [one for one in alike if one.state in AT_WORK]
        chosen = at_work or named or sorted(alike, key=lambda one: one.created)[-1:]
        inspected = [engine.container(one.id) for one in chosen]
        found[service] = [container for container in inspected if container]
    return found


def _belongs(
    engine: Engine, known: MadeByUs, service: str, marks: Optional[BatchMarks], entry: ListedContainer
) -> bool:
    """Whether a listed container is a run of a batch service, or stands in record or journals for a consumer."""
    return is_listed_run(engine, [marks], entry) if marks else known.names(entry, service)


class Reader:
    """Reads logs from where they were left, and says them: whole lines, of bounded length."""

    def __init__(self, engine: Engine, emit: Emit, tail: int, since: float, heard: Dict[str, LogMark]) -> None:
        self.engine = engine
        self.emit = emit
        self._first = {"tail": str(tail) if tail else "all"}
        if since:
            self._first["since"] = f"{time.time() - since:.9f}"
        self._marks = dict(heard)  # by container

    def announce(self, service: str, found: Container, whole: bool = False) -> None:
        times = {"StartedAt": found.started_at, "FinishedAt": found.finished_at}
        state = {"Status": found.state, "ExitCode": found.exit_code, **times}
        about = {"container": found.id, "name": found.name, "state": state}
        now = clock.stamp(time.time())
        self.emit(dict(about, event="container", service=service, at=now, whole=whole))

    def mark(self, container: str) -> Optional[LogMark]:
        """Up to where its log was said."""
        return self._marks.get(container)

    def query(self, container: str, follow: bool, whole: bool = False) -> Dict[str, str]:
        """What the engine is asked for: what came since the last reading, or as was wished, or the `whole` log."""
        asked = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": str(int(follow))}
        mark = self._marks.get(container)
        if mark and _seconds(mark.at) > time.time() + 1:  # the clock was set back: what comes now has earlier stamps
            return dict(asked, tail="0")
        if mark:
            return dict(asked, since=f"{_seconds(mark.at)}.{mark.at[20:29]}")
        return asked if whole else dict(asked, **self._first)

    def read(self, service: str, found: Container, query: Dict[str, str]) -> None:
        """Say what comes until the log ends, or until nothing came for a long time.

        Raises Unreadable where there is none to be had, and EngineError.
        """
        container = found.id
        with closing(self._opened(container, query)) as answer:
            pieces = terminal(answer) if found.terminal else frames(answer)
            batch: List[Tuple[str, str, str, bool]] = []
            size = 0
            try:
                for stamp, stream, raw in self._new(container, lines(pieces)):
                    text = raw[:LONGEST].decode("utf-8", "replace").rstrip("\r")
                    batch.append((stamp, stream, text, len(raw) > LONGEST))
                    size += len(text)
                    if size > BATCH or not answer.has_more:
                        self._say(service, container, batch)
                        batch, size = [], 0
            except OSError as error:
                raise EngineError(0, f"the log of {service} broke off: {error}") from error
            finally:
                self._say(service, container, batch)

    def _opened(self, container: str, query: Dict[str, str]) -> Answer:
        try:
            return self.engine.send("GET", f"/containers/{container}/logs", query, {}, SILENCE, endless=True)
        except EngineError as error:
            if error.refuses:
                raise Unreadable(error.status, error.message) from error
            raise

    def cannot_read(self, service: str, error: Unreadable) -> None:
        self.emit({"event": "unreadable", "service": service, "message": error.message})

    def _new(self, container: str, found: Iterator[Line]) -> Iterator[Line]:
        """The lines that were not said yet: the engine gives those of the newest stamp again."""
        before = self._marks.get(container, LogMark(""))
        said = before.count
        for stamp, stream, raw in found:
            if stamp == before.at and said:
                said -= 1
                continue
            self._marks[container] = newer(self._marks.get(container), stamp)
            yield stamp, stream, raw

    def _say(self, service: str, container: str, batch: List[Tuple[str, str, str, bool]]) -> None:
        if batch:
            self.emit({"event": "lines", "service": service, "container": container, "lines": batch})


class Following:
    """Hears every container that holds one of the places, whichever does, until nobody listens any more."""

    def __init__(
        self, reader: Reader, store: Store, services: Services, files: Mapping[str, FileLogs], first: bool = True
    ) -> None:
        self._reader = reader
        self._files = files
        self._store = store
        self._services = services
        self._threads: Dict[str, threading.Thread] = {}
        self._said: Set[Tuple[str, str]] = set()  # container and start that were announced
        self._ended: Set[Tuple[str, str]] = set()  # those that have nothing more to say
        self._failure: Optional[Exception] = None
        self._first = first  # whether nobody has heard anything yet

    def go_on(self) -> None:
        """Ends with `server.Gone`, or with what an engine that stays away is called."""
        away = 0.0
        while True:
            try:
                for service, found in holders(self._reader.engine, self._store, self._services).items():
                    for container in found:
                        self._hear(service, container)
                away, self._first = 0.0, False
            except EngineError as error:
                if not away:
                    self._reader.emit({"event": "away", "message": error.message})
                away = away or time.monotonic()
                if time.monotonic() > away + PATIENCE:
                    raise
            for one in self._files.values():
                one.say(follow=True)
            time.sleep(PAUSE)
            if self._failure:
                raise self._failure

    def _hear(self, service: str, found: Container) -> None:
        life = (found.id, found.started_at)
        heard = self._threads.get(found.id)
        if life in self._ended or (heard and heard.is_alive()):
            return
        if life not in self._said:
            self._said.add(life)
            self._reader.announce(service, found, whole=not self._first)
        query = self._reader.query(found.id, True, whole=not self._first)
        self._threads[found.id] = thread = threading.Thread(
            target=self._listen, args=(service, found, life, query), daemon=True
        )
        thread.start()

    def _listen(self, service: str, found: Container, life: Tuple[str, str], query: Dict[str, str]) -> None:
        before = self._reader.mark(found.id)
        try:
            self._reader.read(service, found, query)
            if not found.running and not found.restarting:
                self._ended.add(life)
        except Unreadable as error:
            if self._reader.mark(found.id) == before:  # else what comes behind it may be had
                self._ended.add(life)
                self._reader.cannot_read(service, error)
        except EngineError:
            pass  # the engine went away, or the container: what comes after it is heard
        except Exception as error:
            self._failure = error


def frames(answer: Answer) -> Iterator[Piece]:
    """The pieces of a log of two streams: each frame is a stream, three zero bytes, a length, and the text.

    Raises Unreadable where the engine itself says why it cannot go on.
    """
    while True:
        head = answer.take(8)
        if not head:
            return
        if len(head) < 8 or head[0] > ITS_OWN or head[1:4] != b"\0\0\0":
            raise Broken("what it says is no log")
        if head[0] == ITS_OWN:
            raise Unreadable(200, answer.take(min(int.from_bytes(head[4:], "big"), BATCH)).decode("utf-8", "replace"))
        left, stamped = int.from_bytes(head[4:], "big"), True
        while left:
            piece = answer.take(min(left, BATCH))
            if not piece:
                raise Broken("its log was cut short")
            yield STREAMS[head[0]], piece, stamped
            left, stamped = left - len(piece), False


def terminal(answer: Answer) -> Iterator[Piece]:
    """The pieces of the log of a container that has a terminal: one stream, without frames."""
    stamped = True
    for piece in iter(lambda: answer.line(BATCH), b""):
        yield "stdout", piece, stamped
        stamped = piece.endswith(b"\n")


def lines(pieces: Iterator[Piece]) -> Iterator[Line]:
    """(stamp, stream, line) of each line, put together from its pieces; of one that is too long, a byte too many."""
    begun: Dict[str, Tuple[str, bytes]] = {}
    for stream, piece, stamped in pieces:
        stamp, _, text = piece.partition(b" ") if stamped else (b"", b"", piece)
        at, before = begun.pop(stream, (stamp.decode("ascii", "replace"), b""))
        *whole, rest = text.split(b"\n")
        for part in whole:
            yield at, stream, (before + part)[: LONGEST + 1]
            before = b""
        if before or rest:
            begun[stream] = (at, (before + rest)[: LONGEST + 1])
    for stream, (at, before) in begun.items():
        yield at, stream, before


def _seconds(stamp: str) -> int:
    """Whole seconds since 1970 of an engine's stamp, which is UTC."""
    fields = (stamp[:4], stamp[5:7], stamp[8:10], stamp[11:13], stamp[14:16], stamp[17:19])
    return calendar.timegm(tuple(map(int, fields)))
