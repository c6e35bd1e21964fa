"""The folder `.deploy` on the server: where everything of ours lies, and whose it is."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import pwd
from dataclasses import dataclass

from remote import files
from remote.words import Refusal

SPARE, ROOM = "spare", 1 << 20  # bytes


@dataclass(frozen=True)
class Store:
    """Paths below `<root>/.deploy`; nothing is touched until `create`."""

    root: str

    @property
    def folder(self) -> str:
        return os.path.join(self.root, ".deploy")

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

    def check_owner(self) -> None:
        """Refuse by name when another login user deploys to this server."""
        try:
            owner = os.stat(self.folder).st_uid
        except FileNotFoundError:
            return
        if owner != os.geteuid():
            raise Refusal(
                f"{self.folder} belongs to {_user(owner)}, and this login is {_user(os.geteuid())}",
                f"deploy to this server as {_user(owner)} (user: in hosts.yaml), one login user per server",
            )

    def create(self) -> None:
        """Make the folders, mode 0700, and the salt. Raises Refusal when the root is missing or not writable."""
        self.check_owner()
        try:
            for folder in (self.folder, self.runs, self.releases):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, 0o700)
                os.chmod(folder, 0o700)  # also when somebody has opened it, or a backup was put back
        except OSError as error:
            raise Refusal(
                f"{self.folder} cannot be made: {error.strerror}",
                f"create {self.root} and let the login user own it",
                "server",
            ) from error
        if files.read(self._salt) is None:
            files.write(self._salt, os.urandom(32))
        if not os.path.exists(self.spare) and files.room(self.folder) > 2 * ROOM:
            files.reserve(self.spare, ROOM)

    @property
    def _salt(self) -> str:
        return os.path.join(self.folder, "salt")

    def keyed_hash(self, text: str) -> str:
        """Sixteen hex digits that tell equal secrets from different ones, on this server only; empty without a salt."""
        salt = files.read(self._salt)
        return hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()[:16] if salt else ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
