"""Rows about the ground a deploy stands on: the root, the config's and the offset's places, and the login session."""

from __future__ import annotations

import glob
import os
import pwd
import shlex
import stat
from typing import Sequence, Tuple

from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, WARNING, Check
from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.plan import owner
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.docker.containers import occupants
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.docker.ours import MadeByUs
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.queue import offset as offsets
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system.ownership import may_give, shared, unread


def root(name: str, store: Store) -> Check:
    """The root exists, and this login may write there."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    if not os.path.isdir(store.root):
        return Check(name, CRITICAL, f"{store.root} does not exist", hint=f"create it and let {me} own it")
    if not os.access(store.root, os.W_OK | os.X_OK):
        hint = f"let {me} own {store.root}, or see why it is read-only"
        return Check(name, CRITICAL, f"{store.root} is not writable for {me}", hint=hint)
    return Check(name, OK, f"{store.root}{guarded.leads(store.root)} is there and writable")


def config(name: str, entry: Wanted) -> Check:
    """A config of that owner can be put in that place, and what is there now can come back."""
    assert entry.config is not None  # noqa: S101  the caller asked
    path, folder = entry.config.path, os.path.dirname(entry.config.path)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check(name, CRITICAL, f"{folder} is not a folder this login may write to", hint="create it, or chown it")
    wanted = owner(entry.config)
    if wanted is not None and not may_give(*wanted):
        return Check(name, CRITICAL, f"this login cannot give {path} to {entry.config.owner}", hint=shared("config"))
    will_be = wanted or _own(folder)
    try:
        found = guarded.found(path)
        if not may_give(found.st_uid, found.st_gid):
            belongs = f"{path} belongs to {found.st_uid}:{found.st_gid}"
            hint = f"chown it to {will_be[0]}:{will_be[1]}, or set sudo: true for this server"
            return Check(name, CRITICAL, f"{belongs}, and this login could not put it back as it was", hint=hint)
        guarded.read(path)
    except FileNotFoundError:
        pass  # the first deploy puts it there
    except OSError as error:
        return Check(name, CRITICAL, f"{path} cannot be read: {error.strerror}", hint=guarded.hint(error))
    why = unread(entry.service, entry.user, path, entry.config.mode, will_be)
    if why:
        return Check(name, CRITICAL, why, hint=shared("config"))
    return Check(name, OK, f"{path}{guarded.leads(path)} can be replaced{_too_near(entry)}")


def _own(folder: str) -> Tuple[int, int]:
    """Whose a file becomes that this login makes there: the group may be the folder's."""
    found = guarded.found(folder)
    return os.geteuid(), found.st_gid if found.st_mode & stat.S_ISGID else os.getegid()


def _too_near(entry: Wanted) -> str:
    """The remark that a container runs as somebody who can do more than it has to."""
    uid = entry.user.partition(":")[0]
    who = {str(os.geteuid()): f"this login ({uid})", "0": "root"}.get(uid)
    return f"; {entry.service} runs as {who}: a user of its own could do less (docs/first-steps.md)" if who else ""


def offset(name: str, entry: Wanted, engine: Engine, store: Store, listed: Sequence[ListedContainer]) -> Check:
    """A consumer that has run has written down its position; without it, it would begin at the first message."""
    assert entry.offset is not None  # noqa: S101  the caller asked
    try:
        return _compared(name, entry, entry.offset, offsets.read(entry.offset))
    except offsets.OffsetError as error:
        if error.kind != "gone":
            hint = guarded.hint(error, "repair it: the consumer reads it when it starts")
            return Check(name, CRITICAL, error.message, hint=hint)
    if occupants(engine, MadeByUs(store, record.load(store)[0]), entry.service, listed):
        hint = "put the last known position back; without it every message of the stream is handled again"
        return Check(name, CRITICAL, f"{entry.offset.path} is gone though {entry.service} has run", hint=hint)
    return Check(name, SKIPPED, f"{entry.offset.path} is not there yet: {entry.service} has never run here")


def _compared(name: str, entry: Wanted, file: OffsetFile, position: offsets.Position) -> Check:
    """What the file says, compared with what the stream holds where somebody is named who may ask it."""
    value = offsets.next_offset(file, position.value)
    said, figures = f"{file.path}{guarded.leads(file.path)} says {value} is next", {"offset": value}
    if entry.stream is None or not entry.stream.user:
        return Check(name, OK, said, figures)
    from gpu_runbook.server.checks import broker  # these travel only where a stream may be asked
    from gpu_runbook.server.checks import offset as progress
    from gpu_runbook.server.queue import stream

    try:
        bounds = stream.bounds(entry.stream, entry.password, progress.SECONDS)
    except stream.StreamError as error:
        why, todo = broker.told(entry.stream, error)
        return Check(
            name, WARNING, f"{said}; whether the stream goes that far could not be asked: {why}", figures, todo
        )
    return progress.judge_place(name, file, position, bounds) or Check(name, OK, said, figures)


def sessions(name: str) -> Check:
    """Processes outlive the connection that started them, unless logind is told to kill them."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    if not os.path.isdir("/run/systemd/system") or me == "root" or os.path.exists(f"/var/lib/systemd/linger/{me}"):
        return Check(name, OK, "a run goes on when the connection ends")
    if _kills_user_processes():
        hint = f"once, as root: {shlex.join(['loginctl', 'enable-linger', me])}"
        return Check(
            "sessions", CRITICAL, f"logind here kills what {me} leaves behind (KillUserProcesses=yes)", hint=hint
        )
    return Check(name, OK, "a run goes on when the connection ends")


def _kills_user_processes() -> bool:
    """logind's setting: the last one read wins, drop-ins after the file, /etc after /run after /usr/lib."""
    places = ["/usr/lib/systemd/logind.conf", "/run/systemd/logind.conf", "/etc/systemd/logind.conf"]
    drop_ins = {os.path.basename(path): path for place in places for path in sorted(glob.glob(f"{place}.d/*.conf"))}
    kills = False
    for path in [*places, *(drop_ins[name] for name in sorted(drop_ins))]:
        try:
            with open(path, encoding="utf-8") as file:
                for line in file:
                    key, _, value = line.partition("=")
                    if key.strip() == "KillUserProcesses":
                        kills = value.strip().lower() in ("yes", "true", "1", "on")
        except OSError:
            continue
    return kills
