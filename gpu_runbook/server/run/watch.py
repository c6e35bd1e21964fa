"""Watches the new releases of a run until each has proven itself, failed, or run out of time."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Dict, Optional, Sequence, Tuple

from gpu_runbook.common.clock import moment
from gpu_runbook.common.container import KILLED
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.journal import Judged, Observation, Seen, Watching
from gpu_runbook.protocol.logs import FilePosition
from gpu_runbook.protocol.plan import FAILED, ConsumerStep
from gpu_runbook.server.docker.commands import Docker, StepFailed
from gpu_runbook.server.docker.containers import stopped_by_engine
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.docker.inspected import Container
from gpu_runbook.server.queue import offset, stream
from gpu_runbook.server.run.stage import Site
from gpu_runbook.server.run.verdict import Verdict, WatchState, observe, verdict
from gpu_runbook.server.state.journal import Journal

if TYPE_CHECKING:
    from gpu_runbook.server.logs.reading import Reading

PAUSE = 0.5  # seconds between two observations
ASK_BROKER = 3.0  # seconds between two questions to the broker
LONGEST = 1000  # characters of a line of a log that is kept
SAY = 5.0  # seconds between two lines of progress


@dataclass
class Watched:
    """One service under watch, and when its broker was last asked."""

    step: ConsumerStep
    container: str
    password: str
    watch_state: WatchState
    asked: float = -ASK_BROKER
    first: int = 0
    backlog: Optional[int] = None
    broker: str = ""
    log_since: float = 0.0
    log_stamp: str = ""  # of the last line that was read
    said: float = 0.0
    stopped_by_engine: float = 0.0  # when the engine has stopped it last, and we have started it again
    logs: Optional[Reading] = None  # where there is more to read than docker's log, or levels

    def failing(self, line: str) -> str:
        """What a line of its log says that means a failure; usually nothing."""
        if self.logs:
            return self.logs.failing(line)
        return line if any(text in line for text in self.step.watch.failure_text) else ""


def reader(site: Site, step: ConsumerStep) -> Callable[[], object]:
    """What is to be called before a container is started: what is in the log files of its service then is another's.

    It was called once, so that between stop and start nothing is compiled and no link is asked about.
    """
    rules = step.watch.log
    if not (rules.files or rules.level):
        return str
    from gpu_runbook.server.logs.reading import Reading  # it travels only where hosts.yaml has either

    logs = site.logs[step.service] = Reading(rules, step.watch.failure_text, site.docker.engine.covered)
    logs.begin()
    return logs.begin


def begun(site: Site, step: ConsumerStep) -> Optional[Tuple[FilePosition, ...]]:
    """How far its log files went then."""
    logs = site.logs.get(step.service)
    return logs.begun if logs else None


def has_failed(engine: Engine, step: ConsumerStep, new: Container, files: Optional[Sequence[FilePosition]]) -> bool:
    """Whether the log of a container says so; one that cannot be read does not.

    `files`: how far its log files went before it, None where nobody knows.
    """
    rules, logs = step.watch.log, None
    if rules.level or (rules.files and files is not None):
        from gpu_runbook.server.logs.reading import Reading

        known = rules if files is not None else dataclasses.replace(rules, files=())
        logs = Reading(known, step.watch.failure_text, engine.covered, files or ())
    try:
        return bool(_failure(engine, watched(step, new.id, "", None, new.started, logs))[0])
    except EngineError:
        return False


def watched(
    step: ConsumerStep,
    container: str,
    password: str,
    position: Optional[int],
    started: float,
    logs: Optional[Reading] = None,
) -> Watched:
    """A service whose watch begins now. `position`: the next offset to read at its swap; `started`: since 1970."""
    now = time.monotonic()
    watch_state = WatchState(step.watch, now, now, position, step.offset is not None)
    return Watched(step, container, password, watch_state, log_since=started, logs=logs)


def watch(docker: Docker, entries: Sequence[Watched]) -> Dict[str, Verdict]:
    """The verdict for each service. Ends at the first failure: the others then have none.

    A service that the engine itself has stopped, when it came back from its own death, is started again.
    """
    journal = docker.journal
    verdicts: Dict[str, Verdict] = {}
    for entry in entries:
        journal.write(Watching(entry.step.service, entry.step.watch.settle, entry.step.watch.window))
    while len(verdicts) < len(entries):
        for entry in entries:
            if entry.step.service in verdicts:
                continue
            seen = look(docker, entry)
            found = verdict(entry.watch_state, seen)
            entry.watch_state = observe(entry.watch_state, seen)
            _say(journal, entry, seen)
            if found:
                verdicts[entry.step.service] = found
                journal.write(_judged(docker.engine, entry, found, seen))
                if found.outcome == FAILED:
                    return verdicts
        time.sleep(PAUSE)
    return verdicts


def _judged(engine: Engine, entry: Watched, found: Verdict, seen: Observation) -> Judged:
    """What stands at the end of a watch: what was seen last, the offset at the swap, and the end of the log."""
    log, logs = tail(engine, entry.container), entry.logs
    bad = logs.failures(log or ()) if logs else [line for line in log or () if entry.failing(line)]
    log = _with_files(log, logs)
    said = entry.step.service, found.outcome, found.reason
    silence = logs.remark() if logs else ""
    return Judged(*said, seen, entry.watch_state.position, None if log is None else len(log), tuple(bad[-1:]), silence)


def look(docker: Docker, entry: Watched) -> Observation:
    """One observation. A log that cannot be read is one source less, and no engine that is away."""
    now, engine = time.monotonic(), docker.engine
    try:
        found = engine.container(entry.container)
        if found and _started_again(docker, entry, found):
            return Observation(now, engine=False)
        failure, unread = _failure(engine, entry) if found else ("", "")
    except EngineError:
        return Observation(now, engine=False)
    if found is None:
        return Observation(now, failure="the container was removed")
    position = offset.upcoming(entry.step.offset)
    restarted = found.restarts > entry.watch_state.restarts
    exit_code, lack = _ending(engine, found) if restarted or not found.running else (None, "")
    troubled = failure or found.sick or found.restarting or not found.running or restarted
    if troubled or now - entry.asked >= ASK_BROKER:
        entry.asked = now
        _ask_broker(entry, position)
    return Observation(
        at=now,
        running=found.running,
        restarting=found.restarting,
        started_at=found.started_at,
        restarts=found.restarts,
        exit_code=exit_code,
        failure=failure,
        position=position,
        first=entry.first,
        backlog=entry.backlog,
        broker=entry.broker,
        unread=unread,
        lack=lack,
        health=found.health,
        sick=found.sick,
    )


def _ending(engine: Engine, found: Container) -> Tuple[Optional[int], str]:
    """How it ended last: its exit status if that is known, and whose memory ran out if it was killed for that."""
    code: Optional[int] = found.exit_code
    lacking = found.out_of_memory
    if found.running and not found.restarting:  # it says nothing any more of its last end
        code = None
        with contextlib.suppress(EngineError):
            code, lacking = engine.last_end(found.id)
    return code, found.lack if lacking and code == KILLED else ""  # else it was a child, perhaps long ago


def _started_again(docker: Docker, entry: Watched, found: Container) -> bool:
    """Start it again if its engine has stopped it; once for each time, so that what cannot be started is judged."""
    ended, grace = found.finished, entry.step.stop_grace
    if ended == entry.stopped_by_engine or not stopped_by_engine(found, docker.engine.address, grace):
        return False
    entry.stopped_by_engine = ended
    with contextlib.suppress(StepFailed):
        docker.ensure_started(entry.container)
    return True


def _failure(engine: Engine, entry: Watched) -> Tuple[str, str]:
    """The first new line of the log that has one of the failure texts, and why the log cannot be read."""
    failure, now = "", time.time()
    if now < entry.log_since:  # the clock was set back: what comes now has earlier stamps than what was read
        entry.log_since, entry.log_stamp = now - PAUSE, ""
    lines, why = engine.stamped_logs(entry.container, since=entry.log_since)
    for stamp, line in lines:
        if stamp <= entry.log_stamp or moment(stamp) > now + 1:  # read before: the engine counts `since` in
            continue
        entry.log_stamp, entry.log_since = stamp, moment(stamp) - 1e-6
        said = "" if failure else entry.failing(line)
        if said:
            failure = quoted(said, 200)
    if entry.logs:
        of_file = entry.logs.look()
        failure = failure or of_file
        why = why or entry.logs.unread
    return failure, why


def _ask_broker(entry: Watched, position: Optional[int]) -> None:
    """Learn where the stream begins and how many messages wait, or why that cannot be said."""
    address, file = entry.step.stream, entry.step.offset
    entry.backlog, entry.broker = None, ""
    if address is None or file is None:
        return
    try:
        if not address.user:
            stream.greet(address)
            return
        bounds = stream.bounds(address, entry.password)
    except stream.StreamError as error:
        entry.broker = error.message
        return
    entry.first = bounds.first or 0
    entry.backlog = offset.backlog(file, entry.first if position is None else position, bounds.last)


def _say(journal: Journal, entry: Watched, seen: Observation) -> None:
    if seen.at - entry.said < SAY:
        return
    entry.said = seen.at
    said = seen.running, seen.restarts, seen.position, seen.backlog, seen.broker, seen.engine
    journal.write(Seen(entry.step.service, *said), sync=False)


def tail(engine: Engine, container: str, lines: int = 20) -> Optional[Tuple[str, ...]]:
    """The last lines of a container's log, each cut where it is long; None when it cannot be had."""
    try:
        return tuple(line[:LONGEST] for line in engine.logs(container, tail=lines).splitlines()[-lines:])
    except EngineError:
        return None


def last_words(site: Site, service: str, container: str) -> Tuple[str, ...]:
    """The same with those of its log files, as far as they were read."""
    return _with_files(tail(site.docker.engine, container), site.logs.get(service)) or ()


def _with_files(log: Optional[Tuple[str, ...]], logs: Optional[Reading]) -> Optional[Tuple[str, ...]]:
    return (tuple(logs.lines(log or ())) or log) if logs else log
