"""What cron starts: one round, in a process that ends in time and never meets another one of its kind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from typing import List, Optional, Tuple

from gpu_runbook.common.clock import stamp
from gpu_runbook.common.failure import failure
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.schedule import Installed
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.schedule import delivery
from gpu_runbook.server.schedule.notify.message import compose
from gpu_runbook.server.schedule.notify.policy import NEW, News
from gpu_runbook.server.schedule.round import make, tell_failure, worst
from gpu_runbook.server.schedule.state import Pending
from gpu_runbook.server.state import jsonfile, lock
from gpu_runbook.server.state.schedule_files import LOCK, SETTINGS, place
from gpu_runbook.server.state.store import Store

EXIT_STATUS = {OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3}  # as monitoring plugins have them
SHARE, MOST = 0.8, 240  # of the time between two rounds, and seconds, after which a round ends, done or not
STUCK = 3  # intervals after which a round that does not end is told
NO_LOCK = -1
OLD = 3600.0  # seconds
NICE = 10  # a training beside it comes first


def main(argv: List[str]) -> None:
    """Never returns: a thread that hangs in the kernel must not keep the process."""
    status = EXIT_STATUS[UNKNOWN]
    try:
        status = _version(argv[0]) if argv[1:] == ["version"] else _round(argv[0])
    except Exception as error:
        failed = failure(error)
        print(failed["message"], failed["hint"], sep="\n")
    finally:
        with contextlib.suppress(OSError):  # nobody reads what cron throws away
            sys.stdout.flush()
        os._exit(status)


def _version(program: str) -> int:
    """Say that this Python can run the program at all."""
    print(f"{os.path.basename(program)} runs on Python {'.'.join(map(str, sys.version_info[:3]))}")
    return 0


def _round(program: str) -> int:
    os.umask(0o077)
    os.nice(NICE)
    installed = _installed(os.path.join(os.path.dirname(os.path.abspath(program)), SETTINGS))
    os.environ.update(installed.environment)
    store = Store(installed.settings.root, os.path.dirname(os.path.dirname(os.path.abspath(program))))
    try:
        return _looked_after(installed, store)
    except Refusal:
        raise  # the check does not belong here
    except Exception as error:
        tell_failure(installed, store, error)
        raise


def _looked_after(installed: Installed, store: Store) -> int:
    guarded.prepare(installed.settings.root, installed.settings.questions.docker_host)
    store.check_owner()
    held, taken = _alone(store)
    if held is None:
        return _overlapping(installed, taken)
    _sweep(os.path.dirname(place(store, LOCK)))
    signal.alarm(int(min(SHARE * installed.settings.every, MOST)))
    _, checks = make(installed, store)
    for check in checks:
        print(f"{check.level:8}  {check.name}: {check.sentence}")
    return EXIT_STATUS[worst(checks)]


def _sweep(folder: str) -> None:
    """What a round that was killed was writing at that moment; what is young may be an install at work."""
    with contextlib.suppress(OSError):  # the next round sweeps what this one cannot
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.startswith(".") and abs(time.time() - os.lstat(path).st_mtime) > OLD:  # or the clock was set back
                os.unlink(path)


def _installed(path: str) -> Installed:
    found, damage = jsonfile.load(Installed, path)
    if found is None:
        raise Refusal(damage or f"{path} is not there", "fab schedule.install", "server")
    return found


def _alone(store: Store) -> Tuple[Optional[int], float]:
    """A descriptor that keeps other rounds away, None when another one is at work; and for how many seconds it is.

    No child inherits the descriptor: one that cannot be ended must not keep later rounds away. On a disk that takes
    nothing the file may only be read, or not be there at all: that has to be told all the same.
    """
    up, handle = lock.up(), NO_LOCK
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with contextlib.suppress(OSError):
            handle = os.open(place(store, LOCK), flags | os.O_CLOEXEC, 0o600)
            break
    if handle == NO_LOCK:
        return NO_LOCK, 0.0
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None, _taken(handle, up)
    except OSError:
        return NO_LOCK, 0.0
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"up": up, "pid": os.getpid()}).encode(), 0)
    except OSError:
        pass  # a full disk: the lock is held all the same, only nobody learns since when
    return handle, 0.0


def _taken(handle: int, up: float) -> float:
    """By the clock that nobody sets; 0 where a round has not said yet, or is one of an older version."""
    try:
        return max(up - float(json.loads(os.pread(handle, 100, 0))["up"]), 0.0)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0.0


def _overlapping(installed: Installed, taken: float) -> int:
    """Another round is at work. One that hangs is told now and then: by whoever comes after it, as it cannot itself."""
    settings, now = installed.settings, time.time()
    missed, since = int(taken // settings.every), now - taken
    again = max(settings.repeat // settings.every, 1)
    if missed == STUCK or (missed > STUCK and missed % again == 0):
        sentence = f"the round that began at {stamp(since)} has not ended: this server is not looked after"
        check = Check("scheduled check", CRITICAL, sentence, hint="see ps on the server; a disk that hangs holds it")
        message = compose(settings.server, stamp(now), [News(NEW, check, stamp(since))], [])
        delivery.deliver(settings, [Pending(name, message, "", stamp(now)) for name in settings.channels.names])
    print("another round is at work")
    return EXIT_STATUS[UNKNOWN]
