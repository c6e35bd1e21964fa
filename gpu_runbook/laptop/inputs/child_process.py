"""Runs functions over what others wrote in a child process that is bounded in time and memory and can open nothing.

The child is a fork: the modules are loaded already, secrets get there through memory alone, and it takes milliseconds.
A fork copies no thread but its own, so that the first connection must not be open yet. What runs for too long is
interrupted where it stands, so that it can be said where that is; what does not even hear of that is killed. Memory is
bounded where the system can do so (Linux); elsewhere time alone bounds it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import NoReturn

from gpu_runbook.laptop.errors import BadInput

INTERRUPTED_AFTER = 5.0  # seconds of one function
KILLED_AFTER = 8.0  # seconds without an answer
MEMORY = 256 << 20  # bytes beyond what this process has
LONGEST = 16 << 20  # bytes of one answer

Task = Callable[[], str]


class TooLong(BaseException):
    """Raised in a function that takes too long; no Exception, so that nothing it calls takes it for its own."""


def each(tasks: Sequence[Task]) -> list[str | BadInput | None]:
    """What each function gives, or the BadInput it raises. None is the last for one that gives no answer within bounds.

    What a function raises beside BadInput is no answer. What it needs has to be imported before: it can open nothing.
    """
    reading, writing = os.pipe()
    child = 0
    try:
        with _unpressed():
            try:
                child = _forked()
                if not child:
                    _serve(tasks, writing)
            finally:
                os.close(writing)
        return [*_answers(reading, len(tasks))]
    finally:
        os.close(reading)
        if child:
            os.kill(child, signal.SIGKILL)  # it is a zombie at most, since nobody else waits for it
            os.waitpid(child, 0)


@contextlib.contextmanager
def _unpressed() -> Iterator[None]:
    """Ctrl-C waits until the end. A mask would be this thread's alone, and Python hears of what another one takes."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no other is ever interrupted
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _forked() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of other threads, such as those of a test runner; the child takes none of their locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _answers(reading: int, count: int) -> Iterator[str | BadInput | None]:
    pending = b""
    for _ in range(count):
        until = time.monotonic() + KILLED_AFTER
        while b"\n" not in pending:
            ready, _, _ = select.select([reading], [], [], max(until - time.monotonic(), 0))
            block = os.read(reading, 1 << 20) if ready else b""
            if not block or len(pending) > LONGEST:
                yield None
                return
            pending += block
        line, _, pending = pending.partition(b"\n")
        answer = _understood(line)
        yield answer
        if answer is None:
            return


def _understood(line: bytes) -> str | BadInput | None:
    """An answer; None for what is none, since who gets out of a template may write there what he likes."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(answer, list) and [*map(type, answer)] == [str, str]:
        return BadInput(*answer)
    return answer if isinstance(answer, str) else None


def _serve(tasks: Sequence[Task], writing: int) -> NoReturn:
    """The child's whole life."""
    gc.freeze()  # what came with the fork is not looked through again and again, which would copy it
    try:
        _confine(writing)
        for task in tasks:
            signal.setitimer(signal.ITIMER_REAL, INTERRUPTED_AFTER, 1.0)
            try:
                answer: object = task()
            except BadInput as error:
                answer = (error.message, error.hint)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            line = json.dumps(answer).encode() + b"\n"
            while line:
                line = line[os.write(writing, line) :]
    finally:
        os._exit(0)  # whatever it was: the answers that are there count


def _confine(writing: int) -> None:
    """Without files, and within bounds; whoever gets out of a template finds a process that can do nothing."""
    signal.signal(signal.SIGALRM, _interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends this by way of its parent
    os.closerange(0, writing)
    os.closerange(writing + 1, 1 << 10)
    seconds = int(INTERRUPTED_AFTER * 20)  # for all answers, should nobody be there to kill it
    bounds = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_NPROC: 0, resource.RLIMIT_CPU: seconds}
    size = _address_space()
    if size:
        bounds[resource.RLIMIT_AS] = size + MEMORY
    for what, bound in {**bounds, resource.RLIMIT_NOFILE: 0}.items():
        with contextlib.suppress(OSError, ValueError):  # of a bound that this system does not know, or that is lower
            resource.setrlimit(what, (bound, bound))


def _address_space() -> int:
    """What this process has mapped, in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise TooLong
