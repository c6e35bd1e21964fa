"""The folder on the server in which everything of ours lies: where it is, whose it is, and what it is made of.

It lies outside everything that a container mounts. Version 0.1.0 kept it as `.deploy` below the root, where containers
can write; until `server.verbs.state_move` has moved it, commands work on there.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import pwd
import re
import stat
from typing import Any, Callable, Dict, Optional, Tuple

from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed, Refusal
from gpu_runbook.protocol.forms import Place
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.system import files

SPARE, ROOM = "spare", 1 << 20  # bytes
HOME = ".local/state/gpu-runbook"  # below the home of the login user
IN_ROOT = ".deploy"
MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_PATH = re.compile(r"(/[\w.@+,-]+)+", re.ASCII)

Emit = Callable[[Dict[str, Any]], None]


@dataclass(frozen=True)
class Marker:
    """`folder.json`: which machine the folder was made on, where its content lay before, which folders are given up."""

    machine: str = ""  # the machine-id, empty where there is none
    was: Tuple[Place, ...] = ()
    forgotten: Tuple[Place, ...] = ()


@dataclass(frozen=True)
class Store:
    """Paths in the folder; nothing is touched until `create`."""

    root: str
    folder: str

    @property
    def lock(self) -> str:
        return os.path.join(self.folder, "lock")

    @property
    def spare(self) -> str:
        """Room kept aside: a run lets go of it on a full disk, so that it can go back, and write down what it does."""
        return os.path.join(self.folder, SPARE)

    @property
    def record(self) -> str:
        return os.path.join(self.folder, "previous-tags.json")

    @property
    def model(self) -> str:
        """Which model was chosen, and which were before it; there is none as long as nobody has chosen."""
        return os.path.join(self.folder, "model.json")

    @property
    def pause(self) -> str:
        """Until when nothing is to be deployed; there is none as long as nobody has said so."""
        return os.path.join(self.folder, "paused.json")

    @property
    def stopped(self) -> str:
        """Which consumers were stopped on purpose."""
        return os.path.join(self.folder, "stopped.json")

    @property
    def runs(self) -> str:
        return os.path.join(self.folder, "runs")

    @property
    def releases(self) -> str:
        return os.path.join(self.folder, "releases")

    @property
    def marker(self) -> str:
        return os.path.join(self.folder, "folder.json")

    @property
    def arriving(self) -> str:
        """There until the move is over. It is empty while the content is copied, and then names the old folder."""
        return os.path.join(self.folder, "arriving")

    @property
    def salt(self) -> str:
        return os.path.join(self.folder, "salt")

    def journal(self, run: str) -> str:
        return os.path.join(self.runs, f"{run}.jsonl")

    def decision(self, run: str) -> str:
        """Whoever creates this file first decides whether a run swaps or is cancelled."""
        return os.path.join(self.runs, f"{run}.decision")

    def release(self, release: str, service: str = "") -> str:
        return os.path.join(self.releases, release, service) if service else os.path.join(self.releases, release)

    @property
    def exists(self) -> bool:
        return os.path.isdir(self.folder)

    @property
    def is_in_root(self) -> bool:
        """Whether it is the folder of version 0.1.0, in which a container may have written."""
        return self.folder == os.path.join(self.root, IN_ROOT)

    def marked(self) -> Marker:
        """What `folder.json` says; nothing where there is none, or none that can be understood."""
        try:
            return decode(Marker, json.loads(files.read(self.marker) or b"{}"), "marker")
        except (OSError, ValueError, RecursionError, Malformed):
            return Marker()

    def check_owner(self) -> None:
        """Refuse by name when another login user deploys to this server, or the folder came from another machine."""
        try:
            found = os.lstat(self.folder)
        except FileNotFoundError:
            return
        if found.st_uid != os.geteuid():
            raise Refusal(
                f"{self.folder} belongs to {_user(found.st_uid)}, and this login is {_user(os.geteuid())}",
                f"deploy to this server as {_user(found.st_uid)} (user: in hosts.yaml), one login user per server",
            )
        if self.is_in_root:
            _are_folders(self.folder, self.runs, self.releases)
            return
        made_on = self.marked().machine
        if made_on not in ("", machine()):
            raise Refusal(
                f"{self.folder} was made on another machine, as in a copy of its disk",
                "fab setup --move-state takes it over for this one, fab setup --forget-state begins anew",
            )

    def create(self) -> None:
        """Make what is missing in the folder, which is there (see `state.make`), and let nobody else into it.

        Raises Refusal.
        """
        self.check_owner()
        try:
            for folder in (self.runs, self.releases):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, 0o700)
            for folder in (self.folder, self.runs, self.releases):
                if stat.S_IMODE(os.stat(folder).st_mode) != 0o700:  # somebody opened it, or a backup was put back
                    os.chmod(folder, 0o700)
            if files.read(self.salt) is None:
                files.write(self.salt, os.urandom(32))
        except OSError as error:
            raise unmade(self.folder, error) from error
        if not os.path.exists(self.spare) and files.room(self.folder) > 2 * ROOM:
            files.reserve(self.spare, ROOM)

    def keyed_hash(self, text: str) -> str:
        """Sixteen hex digits that tell equal secrets from different ones, on this server only; empty without a salt."""
        salt = files.read(self.salt)
        return hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()[:16] if salt else ""


def find_store(root: str, state: str, emit: Optional[Emit] = None) -> Store:
    """The folder for a root: below `state`, as hosts.yaml says it, or below the login user's home where that is empty.

    As long as nothing was moved, the one in the root that version 0.1.0 has left; `emit` then hears of it.
    """
    new, old = Store(root, place(root, state)), in_root(root)
    if not is_old(old.folder) or (os.path.exists(new.marker) and _is_whole(new, old)):
        return new
    if emit:
        text = f"its state still lies in {old.folder}, where containers can write; it belongs in {new.folder}: "
        emit({"event": "notice", "text": text + "fab deploy, fab setup and fab schedule.install move it there"})
    return old


def _is_whole(new: Store, old: Store) -> bool:
    """Whether the content has come here: the folder that it was copied from is no longer there, whatever else is."""
    copied = files.read(new.arriving)
    return copied is None or copied not in (b"", identity(old.folder))


def identity(folder: str) -> bytes:
    """Which folder it is, by what nobody can give to another as long as it is there. Raises OSError."""
    found = os.lstat(folder)
    return b"%d:%d" % (found.st_dev, found.st_ino)


def in_root(root: str) -> Store:
    """The folder in which version 0.1.0 kept everything."""
    return Store(root, os.path.join(root, IN_ROOT))


def is_old(folder: str) -> bool:
    """Whether it is a folder of version 0.1.0, by its outside."""
    try:
        return stat.S_ISDIR(os.lstat(folder).st_mode) and os.path.lexists(os.path.join(folder, "runs"))
    except OSError:
        return False


def place(root: str, state: str) -> str:
    """The folder's path: one for each machine and root. Raises Refusal (kind server) for a home of strange letters."""
    base = state or os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, HOME)
    mark = machine()[:8]
    path = os.path.join(base, root.strip("/").replace("/", ",") + (f"@{mark}" if mark else ""))
    if not _PATH.fullmatch(path):
        raise Refusal(f"the home of {_user(os.geteuid())} is no plain path", elsewhere(), "server")
    return path


def machine() -> str:
    """The id of this machine, empty where it has none."""
    for path in MACHINE_IDS:
        with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
            found = re.fullmatch(r"[0-9a-f]{32}", file.read(64).strip())
            if found:
                return found[0]
    return ""


def unmade(folder: str, error: OSError) -> Refusal:
    return Refusal(f"{folder} cannot be made: {error.strerror}", f"{files.SEE}; or {elsewhere()}")


def elsewhere() -> str:
    """What makes a place that will do."""
    me = f"-o {os.geteuid()} -g {os.getegid()}"
    return f"as root: install -d {me} -m 0700 /var/lib/gpu-runbook; then state: /var/lib/gpu-runbook in hosts.yaml"


def _are_folders(*paths: str) -> None:
    """Where containers can write, one may have put a link. Raises Refusal."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise Refusal(
                    f"{path} is no directory: a container may have changed it", "look at it, and move it away"
                )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
