"""Verb: makes the directories that a server has to have, and logs its docker in to the registry. Removes nothing."""

from __future__ import annotations

import base64
import json
import os
import platform
import re
import shlex
import sys
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from gpu_runbook.common import command
from gpu_runbook.common.parallel import DEADLINE, Question, ask_all
from gpu_runbook.protocol.check import COMMAND, CRITICAL, DRIVER, GPU_SUPPORT, OK, UNKNOWN, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import named, quoted
from gpu_runbook.protocol.requests import EngineLogin, SetupRequest
from gpu_runbook.protocol.setup import Directory, Done, NotDone
from gpu_runbook.server.checks import directories, docker_command, gpu_support, preflight, state
from gpu_runbook.server.checks.directories import Lack
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker import registry
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.migration import finish
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system.ownership import ids

LOGIN_SECONDS = 40.0  # the engine itself gives up after 30
# docker says it in words alone, and each registry in its own.
DENIED = re.compile(r"status: 40[13]|unauthorized|incorrect username|^denied", re.IGNORECASE)


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a SetupRequest.

    The answer is a Done. Raises Refusal with nothing changed when the registry refuses the login.
    """
    asked = decode(SetupRequest, request, "request")
    guarded.prepare(asked.root, asked.docker_host)
    store, dry_run = find_store(asked.root, asked.state), asked.dry_run
    store.check_owner()
    os.umask(0o022)  # for the directories above one that is made
    engine, row = _engine(asked.docker_host)
    acts = docker_command.check(COMMAND, engine) if engine else docker_command.untried(COMMAND, row.sentence)
    done: List[str] = []
    left: List[NotDone] = []
    if asked.login and engine and acts.level == OK:
        _log_in(engine, asked.login, dry_run, done, left)
    roots = [] if any(one.path == store.root for one in asked.tree) else [Directory(store.root)]
    for folder in (*roots, *asked.tree):
        _put_right(folder, dry_run, done, left)
    rows = [row, acts, _python(), *_rows(asked, store, engine)]
    _make_ours(store, rows, dry_run, done)
    left += [one for row in rows for one in _unfit(row, store)]
    return encode(Done(tuple(done), tuple(left), tuple(rows), _unfinished(store)))


def _unfinished(store: Store) -> str:
    last = journals.last(store)
    return last.id if last and last.state == "cut-off" and last.action == finish.ACTION else ""


def _engine(docker_host: str) -> Tuple[Optional[Engine], Check]:
    """A server without docker gets its directories all the same."""
    try:
        engine = engines.find(docker_host)
        version = engine.get("/version", shape={"Version": str})["Version"]
        return engine, Check("docker", OK, f"version {named(version)} at {engine.address}")
    except Refusal as refusal:
        return None, Check("docker", CRITICAL, refusal.message, hint=refusal.hint)


def _python() -> Check:
    return Check("python", OK, f"version {platform.python_version()} at {sys.executable}")


def _rows(asked: SetupRequest, store: Store, engine: Optional[Engine]) -> List[Check]:
    gpus, driver = asked.gpus, gpu_support.Driver()
    questions = [
        Question("root", partial(preflight.root, store=store)),
        Question("sessions", preflight.sessions),
        Question("tree", partial(directories.check, folders=asked.tree)),
        Question(DRIVER, partial(gpu_support.driver, gpus=gpus, asked=driver), 3 * DEADLINE, slow=True),
    ]
    if engine:
        listed_now = engine.containers()
        where = partial(state.check, store=store, state=asked.state, engine=engine, listed=listed_now)
        able = partial(gpu_support.by_docker, gpus=gpus, wanted=asked.wanted_gpus, engine=engine)
        questions.append(Question(GPU_SUPPORT, able))
        questions.insert(1, Question("state", where))
    return ask_all(questions)


def _put_right(folder: Directory, dry_run: bool, done: List[str], left: List[NotDone]) -> None:
    for lack in directories.lacks(folder):
        if not lack.mine:
            left.append(NotDone(lack.what, lack.command, bool(lack.command)))
            continue
        try:
            if not dry_run:
                _apply(folder, lack)
        except OSError as error:
            left.append(NotDone(f"{lack.what} ({error.strerror})", lack.command, bool(lack.command)))
        else:
            done.append(lack.command)


def _apply(folder: Directory, lack: Lack) -> None:
    """What is in a directory is never touched, and nothing is removed. Owner and mode go to what was made or seen."""
    owner = ids(folder.owner)
    if lack.step == directories.MAKE:
        _make(folder.path, directories.MODE if folder.mode is None else folder.mode, owner)
        return
    with guarded.held(folder.path) as at:
        found = os.fstat(at)
        if (found.st_dev, found.st_ino) != lack.seen:
            raise guarded.Unfit("somebody has put another in its place")
        held = f"/proc/self/fd/{at}"  # of a directory that this login may not read, there is no other descriptor
        if owner and lack.step == directories.OWN:
            os.chown(held, *owner)
        if folder.mode is not None and lack.step == directories.OPEN:
            os.chmod(held, folder.mode)


def _make(path: str, mode: Optional[int] = None, owner: Optional[Tuple[int, int]] = None) -> None:
    """Make a directory, and those above it that are missing. Raises OSError."""
    above, name = os.path.split(path)
    try:
        guarded.found(above)
    except FileNotFoundError:
        _make(above)
    with guarded.folder(above) as at:
        os.mkdir(name, directories.MODE if mode is None else 0o700, dir_fd=at)
        with guarded.inner(at, name) as made:
            if os.fstat(made).st_uid != os.geteuid() or os.listdir(made):
                raise guarded.Unfit("somebody has put another in its place")
            if owner:
                os.fchown(made, *owner)
            if mode is not None:
                os.fchmod(made, mode)


def _make_ours(store: Store, rows: List[Check], dry_run: bool, done: List[str]) -> None:
    """The folder of the state, unless its row says that it must not be there."""
    if store.exists or any(row.name == "state" and row.level in (CRITICAL, UNKNOWN) for row in rows):
        return
    if not dry_run:
        make(store)
    done.append(shlex.join(["install", "-d", "-m", "0700", store.folder]))


def _unfit(row: Check, store: Store) -> Iterator[NotDone]:
    """What a row has to say that is not among the directories."""
    if row.level not in (CRITICAL, UNKNOWN) or row.name == "tree":
        return
    if row.name != "root":
        yield NotDone(f"{row.name}: {row.sentence}", row.hint, False)
    elif os.path.isdir(store.root):
        yield NotDone(row.sentence, shlex.join(["chown", f"{os.geteuid()}:{os.getegid()}", store.root]), True)


def _log_in(engine: Engine, login: EngineLogin, dry_run: bool, done: List[str], left: List[NotDone]) -> None:
    """`docker login` with the password on standard input; docker keeps it in its own config.json."""
    server, user = login.serveraddress, login.username
    argv = ["docker", "login", "--username", user, "--password-stdin", server]
    known = _known(login)
    if dry_run:
        done += [] if known else [shlex.join(argv)]
        return
    reader, writer = os.pipe()
    os.write(writer, login.password.encode())
    os.close(writer)
    try:
        ended = command.run(argv, LOGIN_SECONDS, env=engine.environment, stdin=reader)
    finally:
        os.close(reader)
    if ended.ok:
        done += [] if known else [shlex.join(argv)]
    elif DENIED.search(ended.complaint):
        hint = "check registry.username in hosts.yaml and REGISTRY_PASSWORD in .env"
        raise Refusal(f"the registry {server} refused the login of {user}; nothing was changed", hint)
    else:
        hint = registry.remedy(ended.complaint, server)
        left.append(NotDone(f"the login to {server} failed: {quoted(ended.complaint, 200)}", hint, False))


def _known(login: EngineLogin) -> bool:
    """Whether docker keeps this very login already."""
    home = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    wanted = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    try:
        with open(os.path.join(home, "config.json"), encoding="utf-8") as file:
            return bool(json.load(file)["auths"][login.serveraddress]["auth"] == wanted)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False
