"""Verb: moves the state to the folder where it belongs, out of the root or out of another folder, in one act.

What lies below the root is taken for an enemy's: containers can write there. Only files of known names are copied, each
read from one descriptor that no link was followed to, none longer than such a file ever is; the scheduled check is not
copied at all, but laid down anew by the laptop. As long as the copy is not whole the old folder is in force, and one
rename makes the new one so. A move that is cut off after that is brought to its end as every run is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import time
from functools import partial
from typing import Any, Callable, Dict, Optional, Tuple

from gpu_runbook.common.clock import now
from gpu_runbook.protocol.check import CRITICAL
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import BeginOfMove, End
from gpu_runbook.protocol.requests import StateMoveRequest
from gpu_runbook.protocol.schedule import Installed
from gpu_runbook.protocol.state_move import Moved
from gpu_runbook.server.checks import state as states
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.migration.copy import copied
from gpu_runbook.server.migration.finish import ACTION, aside, finish, is_aside, leave_word
from gpu_runbook.server.rpc.detach import Say, detached
from gpu_runbook.server.schedule import installation
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import jsonfile, lock, record
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.new_run import new_id
from gpu_runbook.server.state.schedule_files import PROGRAM, SETTINGS, keep_rounds_away, place
from gpu_runbook.server.state.store import Store, identity, in_root, is_old, machine
from gpu_runbook.server.state.store import place as folder_for
from gpu_runbook.server.system import crontab, files

PATIENCE = 300.0  # seconds for a round of the old check: it ends itself after 240
HERE, EXCHANGE = -100, 2  # of renameat2: paths are as they stand, and both have to be there


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a StateMoveRequest.

    The answer is a Moved. Raises Refusal with everything as it was, and of kind person when only the crontab is
    left.
    """
    return moved(decode(StateMoveRequest, request, "request"))


def moved(asked: StateMoveRequest) -> Dict[str, Any]:
    """What the verb answers. Raises Refusal as it does."""
    new = Store(asked.root, folder_for(asked.root, asked.state))
    engine = engines.find(asked.docker_host)
    if asked.what == "forget":
        return forget(new, engine)
    old = in_root(new.root) if asked.what == "root" else _named(new, engine)
    if asked.what == "root" and not is_old(old.folder):
        return encode(Moved(new.folder))
    if old.folder == new.folder:
        _mark(new)
        return encode(Moved(new.folder, new.folder))
    row = states.check("state", old if old.is_in_root else new, asked.state, engine, engine.containers())
    if row.level == CRITICAL and (old.is_in_root or not row.figures.get("astray")):
        raise Refusal(f"{row.sentence}; nothing was moved", row.hint)
    return detached(partial(_live, old, new, asked))


def forget(new: Store, engine: engines.Engine) -> Dict[str, Any]:
    """Give up the folders that containers name and hosts.yaml does not lead to, or the one of another machine."""
    if new.marked().machine not in ("", machine()):
        aside = f"{new.folder}.of-another-machine-{int(time.time())}"
        os.rename(new.folder, aside)
        make(new)
        return encode(Moved(new.folder, aside))
    lost = sorted({one.folder for one in states.astray(new, engine, engine.containers())})
    if lost:
        make(new)
        marked = new.marked()
        _write(new, dataclasses.replace(marked, forgotten=tuple(sorted({*marked.forgotten, *lost}))))
    return encode(Moved(new.folder, " and ".join(lost)))


def _named(new: Store, engine: engines.Engine) -> Store:
    """The folder that the containers name."""
    if new.marked().machine not in ("", machine()):
        return new
    places = sorted({one.folder for one in states.astray(new, engine, engine.containers())})
    if len(places) != 1 or places[0] == new.folder:
        raise Refusal(
            f"no container names another folder than {new.folder}; nothing was moved"
            if not places
            else f"{' and '.join(places)} cannot be moved to {new.folder}; nothing was moved",
            states.FORGET + " gives it up" if places else "",
        )
    return Store(new.root, places[0])


def _live(old: Store, new: Store, asked: StateMoveRequest, say: Say) -> None:
    """The whole move, under the lock of the old folder to its end."""
    holder = {"action": ACTION, "who": asked.who, "laptop": asked.laptop, "since": now(), "pid": os.getpid()}
    _readable(old, new)
    lock.acquire(old, holder)
    _at_rest(old)
    before = crontab.read(needed=False)
    block = crontab.found(before, old.root) or ""
    if (block or os.path.lexists(place(old, PROGRAM))) and not asked.install:
        hint = "fab schedule.remove takes it away; fab schedule.install leaves it in the new place"
        raise Refusal(f"the scheduled check is in {old.folder}, and was not laid down anew; nothing was moved", hint)
    _make_way(old, new)
    run = new_id(old)
    try:
        try:
            journal, begin, settings = _prepare(old, new, asked, {**holder, "run": run}, before if block else "")
            _commit(old, new, run)
        except Exception:  # whatever it was, it is told below
            _take_back(new, block)
            raise
    except Refusal as error:
        said = error.message.replace("; nothing was changed", "")
        raise Refusal(f"{said}; nothing was moved", error.hint) from error
    except OSError as error:
        said = f"{error.filename or old.folder}: {error.strerror}"
        raise Refusal(f"the state could not be moved ({said}); nothing was moved", "see df there") from error
    try:
        sentence, wanted = finish(new, begin)
    except Refusal as error:  # without an end it is finished by the next command
        raise Refusal(f"the state is in {new.folder} now, but {error.message}", error.hint, "person") from error
    journal.write(End("done", sentence))
    say(encode(Moved(new.folder, old.folder, run, begin.left, wanted if settings else "")))


def _readable(old: Store, new: Store) -> None:
    try:
        os.listdir(old.folder)
    except OSError as error:
        mine, above = f"{os.geteuid()}:{os.getegid()}", os.path.dirname(new.folder)
        steps = (["mkdir", "-p", above], ["cp", "-aT", old.folder, new.folder], ["chown", "-R", mine, above])
        hint = f"as root: {' && '.join(map(shlex.join, steps))}; then {states.FORGET} gives up {old.folder}"
        raise Refusal(f"{old.folder} cannot be read: {error.strerror}; nothing was moved", hint) from error


def _at_rest(old: Store) -> None:
    for run in journals.runs(old):
        found = journals.state(old, run)
        if found.state != "ended":
            raise Refusal(f"run {run} has not ended ({found.state}); nothing was moved", "fab status says more")


def _make_way(old: Store, new: Store) -> None:
    """The new place is empty: what a cut has left there, and a folder in which nothing was done yet, go."""
    if not os.access(old.root, os.W_OK | os.X_OK) and old.is_in_root:
        hint = f"as root: {shlex.join(['chown', f'{os.geteuid()}:{os.getegid()}', old.root])}"
        raise Refusal(f"{old.root} is not writable for this login; nothing was moved", hint)
    if new.exists:
        worked = os.path.exists(new.record) or os.listdir(new.runs) if os.path.isdir(new.runs) else False
        if worked and not os.path.exists(new.arriving):
            hint = f"{states.FORGET} gives up {old.folder}; move {new.folder} away to take {old.folder} over"
            raise Refusal(f"{old.folder} and {new.folder} both hold a state; nothing was moved", hint)
        shutil.rmtree(new.folder)
    for name in os.listdir(old.root) if old.is_in_root else ():
        if is_aside(name):
            with contextlib.suppress(OSError):  # a container may have put it there
                os.unlink(os.path.join(old.root, name))


def _prepare(
    old: Store, new: Store, asked: StateMoveRequest, line: Dict[str, Any], before: str
) -> Tuple[Journal, BeginOfMove, Optional[Installed]]:
    """Make the new folder whole, while nothing else is at work in the old one: neither a run nor a round."""
    make(new, arriving=True)
    lock.acquire(new, line)
    if before:
        crontab.write(crontab.with_block(before, old.root, ""))
    keep_rounds_away(old, PATIENCE)
    left = copied(old.folder, new.folder)
    _, damage = record.load(new)
    if len(damage) > len(record.load(old)[1]):
        raise Refusal(f"{old.record} changed while it was copied", "run it again")
    if any(journals.state(new, run).state != "ended" for run in journals.runs(new)):
        raise Refusal(f"{old.runs} changed while it was copied", "run it again")
    before_it = () if old.is_in_root else old.marked().was
    _write(new, dataclasses.replace(new.marked(), machine=machine(), was=(*before_it, old.folder)))
    installed = None
    if asked.install:
        installation.lay_down(new, asked.install)
        installed, _ = jsonfile.load(Installed, place(new, SETTINGS))
    begin = BeginOfMove(**line, root=old.root, was=old.folder, left=tuple(left))
    journal = Journal(new.journal(begin.run))
    journal.begin(begin)
    for folder, _, _ in os.walk(new.folder):
        files.sync_folder(folder)
    files.write(new.arriving, identity(old.folder))
    return journal, begin, installed


def _commit(old: Store, new: Store, run: str) -> None:
    """One change of places, or one rename, after which the new folder is in force."""
    if not old.is_in_root:
        os.unlink(new.arriving)
        return
    going = aside(old.root, run)
    leave_word(going, new.folder)
    if not _exchanged(old.folder, going):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(going)
        os.rename(old.folder, going)


def _exchanged(one: str, other: str) -> bool:
    """Let two take each other's place, at no moment of which either is missing; False where the system cannot."""
    try:
        import ctypes  # some systems' smallest Python has none

        renameat2 = ctypes.CDLL(None).renameat2
    except (ImportError, OSError, AttributeError):
        return False
    return bool(renameat2(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0)


def _take_back(new: Store, block: str) -> None:
    """Nothing was moved: the block of the old check stands in the crontab again."""
    shutil.rmtree(new.folder, ignore_errors=True)
    if block:
        with contextlib.suppress(Refusal, OSError):
            now_there = crontab.read()
            if crontab.found(now_there, new.root) is None:
                crontab.write(crontab.with_block(now_there, new.root, block))


def _mark(new: Store) -> None:
    """Take the folder over for this machine."""
    _write(new, dataclasses.replace(new.marked(), machine=machine()))


def _write(store: Store, marker: Any) -> None:
    files.write(store.marker, json.dumps(encode(marker), indent=2).encode())
