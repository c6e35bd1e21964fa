"""What a round does by itself: it ends a run that was cut off, and starts a consumer again. Never a batch container.

Both hold the lock of the server and never wait for it: whoever works there comes first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

from gpu_runbook.common import humanize
from gpu_runbook.common.clock import now
from gpu_runbook.common.remedies import ways_out
from gpu_runbook.protocol.check import CRITICAL, Check
from gpu_runbook.protocol.errors import Malformed, Refusal
from gpu_runbook.protocol.journal import (
    Begin,
    BeginOfPlan,
    End,
    Restarted,
    Restarting,
    Stopping,
    Swapping,
    Unfinished,
    told,
)
from gpu_runbook.protocol.plan import ConsumerStep, Occupant, Plan, Watch
from gpu_runbook.protocol.schedule import Installed, RestartRule
from gpu_runbook.server.docker import disk
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.commands import Docker, Final, StepFailed
from gpu_runbook.server.docker.containers import fault, occupants, outage
from gpu_runbook.server.docker.inspected import Container
from gpu_runbook.server.docker.ours import MadeByUs
from gpu_runbook.server.retention import after_run
from gpu_runbook.server.run import recovery, stop_start, unfinished
from gpu_runbook.server.run.outcome import DONE, NEEDS_PERSON
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import lock, pause, record, stopped
from gpu_runbook.server.state.new_run import new_id
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.state.unwritten import Unkept, begun
from gpu_runbook.server.system import files

WHO = "the scheduled check"
LONGEST = 1 << 16  # bytes of a journal's line
MOST_RUNS = 20  # journals of its own that are kept: those of deploys must not be crowded out by a bad night
CUT_OFF = "run that was cut off"
APART = 1200.0  # seconds between two starts of a consumer of which nothing is remembered: three an hour, as otherwise

DEAD, STUCK = "dead", "stuck"


def recover(installed: Installed, store: Store) -> List[str]:
    """Finish or undo the runs that were cut off, as the next deploy would; a sentence for each.

    None while somebody else is at work. Raises Refusal when it cannot be done now, as without docker, and while what
    was tried often enough within the hour is let be. An engine that cannot act is no try.
    """
    waiting = _cut_off(store)
    if not waiting:
        return []
    with _lock(store, "recover") as held:
        if held is None:
            return []
        settings = installed.settings
        engine = engines.find(settings.questions.docker_host)
        lines = journals.read(store.journal(waiting[0]))
        if len(unfinished.recently(lines, time.time())) >= unfinished.MOST:
            (last,) = told(lines[-1:], Unfinished)
            why = f"{last.why} (tried {last.tries} times)"
            raise Refusal(f"run {waiting[0]}: {why}", ways_out(waiting[0]), "person")
        if not engine.acts():
            raise unfinished.cannot_act()
        sentences = recovery.cut_off_runs(store, engine, held, settings.batches)
        with contextlib.suppress(Refusal, OSError):  # they have ended; the next one sweeps
            after_run.sweep(store)
        return sentences


def _cut_off(store: Store) -> List[str]:
    """The runs without an end or a process that writes it, oldest first; quick, as an end is a journal's last line."""
    unended = (run for run in journals.runs(store) if not _has_ended(store.journal(run)))
    return [run for run in unended if journals.state(store, run).state == "cut-off"]


def _has_ended(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - LONGEST, 0))
            last = (file.read().splitlines() or [b""])[-1]
    except FileNotFoundError:
        return True  # and was tidied away meanwhile
    line = journals.parse(last)
    return line is not None and line.word == End.word


def row(refusal: Refusal) -> Check:
    """The row for a run that is still cut off."""
    sentence = f"a run was cut off, and is not brought to its end yet: {refusal.message}"
    return Check(CUT_OFF, CRITICAL, sentence, hint=refusal.hint)


def start_again(
    installed: Installed, store: Store, restart: RestartRule, why: str, remember: Callable[[], bool]
) -> str:
    """Start a consumer that is dead, or stop and start one that is stuck; what was done, as a sentence.

    `remember` writes down that it was, and is called before; where it cannot, the engine has to know when it was
    started last. Empty when it is as it is on purpose, or is no longer as it was seen, and while a run has not come to
    its end: it may be what that run is to undo. Raises Refusal when it could not be done.
    """
    with _lock(store, "restart") as held:
        if held is None or _cut_off(store) or pause.current(store, time.time()):
            return ""
        if restart.service in stopped.load(store)[0]:
            return ""
        settings, engine = installed.settings, engines.find(installed.settings.questions.docker_host)
        known = MadeByUs(store, record.load(store)[0])
        found = occupants(engine, known, restart.service, engine.containers(), settings.batches)
        container = engine.container(found[0].container) if len(found) == 1 else None
        if container is None:
            return ""
        if not _is(why, container, engine.address, restart.stop_grace) and not _ended_late(store, why, container):
            return ""
        if found[0].batch:
            raise Refusal(f"the container {found[0].name} is {found[0].batch}: it is left alone", "fab status")
        if not found[0].ours:
            raise Refusal(f"{restart.service} was not made by this tool and is left alone", "fab deploy --adopt")
        trouble = disk.trouble(engine) if why == STUCK else ""
        if trouble:
            raise Refusal(f"it is not stopped: it could not be started again, as {trouble}", disk.REMEDY)
        if not remember():
            _refuse_unremembered(restart, why, container)
        sentence = _execute(installed, store, engine, held, _step(store, restart, found[0], why))
        with contextlib.suppress(Refusal, OSError):  # it runs; the next one forgets more
            _forget_old_runs(store)
        return sentence


def _refuse_unremembered(restart: RestartRule, why: str, container: Container) -> None:
    """Nobody knows how often it was started again but the engine, which knows the last time: Raises Refusal too soon.

    A clock that was set so that it lies ahead of now holds nothing back.
    """
    ago = abs(time.time() - container.started)
    if why == STUCK:
        raise Refusal(f"{restart.service} was left alone: nothing can be remembered")
    if ago < APART:
        again = f"nothing can be remembered, so that it is tried again after {humanize.span(APART)} only"
        raise Refusal(f"it was started {humanize.span(ago)} before; {again}")


@contextlib.contextmanager
def _lock(store: Store, action: str) -> Iterator[Optional[int]]:
    """The lock of the server, None when somebody has it. What is done under it is not ended by the round's deadline.

    Raises Refusal where it cannot be had at all.
    """
    try:
        held = lock.acquire(store, _holder(action), patience=0.0)
    except lock.Held:
        yield None
        return
    left = signal.alarm(0)
    try:
        yield held
    finally:
        signal.alarm(left)
        os.close(held)


def _is(why: str, container: Container, address: str, grace: int) -> bool:
    """Whether a container is what it was seen to be."""
    if why == STUCK:
        return container.running and not container.restarting
    if container.state not in ("exited", "created"):
        return False
    return bool(fault(container, address, grace))


def _ended_late(store: Store, why: str, container: Container) -> bool:
    """Whether a container was told to stop by the newest run about it, which had given up by the time that it did.

    Nobody has wanted it to be stopped since, with whatever it has ended.
    """
    if why != DEAD or container.state != "exited":
        return False
    for run in reversed(journals.runs(store)):
        lines = journals.read(store.journal(run))
        if any(line.word in (Swapping.word, Restarting.word, Stopping.word) for line in lines):
            try:
                return container.id in unfinished.unobeyed(lines, unfinished.swaps(lines, run))
            except Malformed:
                return False
    return False


def _step(store: Store, restart: RestartRule, old: Occupant, why: str) -> ConsumerStep:
    told, _ = record.load(store)
    release = told.find(told.current)
    placed = release.services.get(restart.service) if release else None
    on_record = placed.restart if placed and placed.container == old.container else ""
    return ConsumerStep(
        service=restart.service,
        change="restart",
        tag=placed.tag if placed else "",
        watch=Watch(),
        old=old,
        container=old.container,
        restart=on_record or restart.policy,
        stop_grace=restart.stop_grace,
        reason="it was dead" if why == DEAD else "it did not get on with its stream",
    )


def _execute(installed: Installed, store: Store, engine: engines.Engine, held: int, step: ConsumerStep) -> str:
    """A run as every other, with a journal: one that is cut off is led to its end by the next command or round.

    Where no journal can be written, what runs is left alone: cut off after its stop it would stay down, and nobody
    would know why. One that is down can only gain: its policy is set first, then it is started, and a round that is cut
    off between the two leaves what the next one finds, a consumer that is down.
    """
    run, holder, settings = new_id(store), _holder("restart"), installed.settings
    told, _ = record.load(store)
    plan = Plan(
        id=run,
        action="restart",
        server=settings.server,
        root=settings.root,
        state=settings.state,
        release=told.current,
        who=WHO,
        laptop=socket.gethostname(),
        version=installed.version,
        consumers=(step,),
        docker_host=settings.questions.docker_host,
    )
    begin = BeginOfPlan(**holder, run=run, laptop=plan.laptop, plan=plan, variables={})
    journal = begun(store.journal(run), begin)
    docker, unkept = Docker(engine, journal, held, settings.batches), isinstance(journal, Unkept)
    if unkept and step.old and step.old.running:
        raise Refusal(f"{step.service} was left alone: {journal.why}", files.SEE)
    try:
        end = _exchange(docker, step, first_policy=unkept)
        journal.write(end)
    except StepFailed as error:  # it was not seen how the consumer is: the next round goes on
        why = f"{step.service} could not be started again: {error}"
        journal.write(Unfinished(why))
        raise Refusal(why, "the next round tries again; see fab status") from error
    finally:
        journal.close()
    if end.outcome != DONE:
        raise Refusal(end.sentence, end.hint)
    return f"{end.sentence}; fab history does not tell of it: {journal.why}" if unkept else end.sentence


def _exchange(docker: Docker, step: ConsumerStep, first_policy: bool) -> End:
    """Raises StepFailed when it was not seen how the consumer is."""
    running = bool(step.old and step.old.running)
    docker.journal.write(Restarting(step.service, step.container, step.stop_grace * running))
    try:
        if first_policy:
            docker.ensure_restart(step.container, step.restart)
        docker.ensure_stopped(step.container, step.stop_grace, sync=False)
        before = docker.inspect(step.container)
        stop_start.start(docker, step)
        after = docker.inspect(step.container)
    except Final as error:
        return End(NEEDS_PERSON, f"{step.service} could not be started again: {error}", "see fab logs and fab status")
    ended: Optional[int] = before.exit_code if before else None
    restarted = Restarted(step.service, step.container)
    if running and before and after:
        restarted = dataclasses.replace(restarted, outage=outage(before, after, docker.journal.age), old_exit=ended)
    docker.journal.write(restarted)
    how = "stopped and started again" if running else f"started again (it had ended with {ended})"
    return End(DONE, f"{step.service} was {how}: {step.reason}")


def _holder(action: str) -> Dict[str, Any]:
    return {"action": action, "who": WHO, "since": now(), "pid": os.getpid()}


def _forget_old_runs(store: Store) -> None:
    own = [run for run in journals.runs(store) if _is_own(store.journal(run))]
    for run in own[:-MOST_RUNS]:
        files.remove(store.journal(run))


def _is_own(path: str) -> bool:
    """Whether a round began that run, and it has come to its end."""
    try:
        with open(path, "rb") as file:
            first = journals.parse(file.readline(LONGEST))
    except OSError:
        return False
    return any(begin.who == WHO for begin in told([first] if first else [], Begin)) and not journals.alive(path)
