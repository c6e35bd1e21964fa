"""The files of keys that one command reads, each once for all servers and gateways, from whichever thread."""

from __future__ import annotations

import os
import shlex
import stat
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.ssh import key_files
from gpu_runbook.laptop.ssh.key_files import KeyFile
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Objection:
    """Why a key that somebody has named is of no use: the rest of a sentence about its file, and what to do."""

    path: Path
    problem: str
    remedy: str


class KeyRing:
    """Opens keys with the passphrase that was typed. `exposed` says which of them others may read."""

    def __init__(self, passphrase: Secret | None = None) -> None:
        self.exposed: dict[str, None] = {}
        self._passphrase = passphrase
        self._read: dict[Path, KeyFile] = {}
        self._locks: dict[Path, threading.Lock] = {}

    def read(self, path: Path) -> KeyFile:
        """The file, with the public key beside it where it tells none. Raises OSError where neither can be read."""
        path = path.expanduser()
        with self._locks.setdefault(path, threading.Lock()):
            if path not in self._read:
                self._read[path] = self._with_public_half(path)
            return self._read[path]

    def objection(self, named: Sequence[Path]) -> Objection | None:
        """What is wrong with one of the keys that were named, None where each may serve, by an agent too."""
        files: list[KeyFile] = []
        for path in named:
            try:
                files.append(self.read(path))
            except OSError as error:
                return _unreadable(path, error)
            if not files[-1].may_serve:
                return Objection(path, files[-1].problem, files[-1].remedy)
        mistyped = [(path, file) for path, file in zip(named, files, strict=True) if file.mistyped]
        if mistyped and not any(file.private for file in files):
            return Objection(mistyped[0][0], mistyped[0][1].problem, mistyped[0][1].remedy)
        return None

    def _with_public_half(self, path: Path) -> KeyFile:
        beside = path.with_name(f"{path.name}.pub")
        try:
            file = key_files.read(path, self._passphrase)
        except FileNotFoundError:
            if beside.is_file():
                return key_files.read(beside, None)
            raise
        if file.private:
            self._look_who_reads(path)
        if file.public or not beside.is_file():
            return file
        return replace(file, public=key_files.read(beside, None).public)

    def _look_who_reads(self, path: Path) -> None:
        """ssh does not use a key of the user's own that others may read."""
        state = path.stat()
        mode = stat.S_IMODE(state.st_mode)
        if state.st_uid == os.getuid() and mode & 0o077:
            told = f"the key {path} is open to others (mode {mode:04o}), and ssh would not use it"
            self.exposed[f"{told}: chmod 600 {shlex.quote(str(path))}"] = None


def _unreadable(path: Path, error: OSError) -> Objection:
    if isinstance(error, FileNotFoundError):
        return Objection(
            path, "does not exist", "correct the path, or leave it out: then ssh_config and the agent count"
        )
    if isinstance(error, IsADirectoryError):
        return Objection(path, "is a directory", "name the file in it")
    problem = f"cannot be read: {error.strerror or type(error).__name__}"
    return Objection(path, problem, f"make it yours, and chmod 600 {shlex.quote(str(path))}")
