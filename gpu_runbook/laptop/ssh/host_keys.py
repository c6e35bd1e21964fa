"""Strict host keys: which ones are known for a server, and what is said when it shows another one."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import hmac
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from paramiko import MissingHostKeyPolicy, PKey, SSHClient

from gpu_runbook.laptop.errors import BadInput, CannotConnect
from gpu_runbook.protocol.values import dataclass

DEFAULT_FILES = (Path("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))


@dataclass(frozen=True)
class KnownKey:
    """One line of a known_hosts file that speaks of the server. `blob` is the key as the file has it, in base64."""

    kind: str
    blob: str
    file: Path
    line: int
    revoked: bool

    @property
    def fingerprint(self) -> str:
        return fingerprint(base64.b64decode(self.blob))


def known_name(host: str, port: int) -> str:
    """The name of a server in known_hosts files."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def known_keys(files: Iterable[Path], name: str) -> tuple[KnownKey, ...]:
    """Every key that the files hold for `name`; a file that is not there holds none. Raises BadInput."""
    return tuple(key for file in files for key in _keys_in(file.expanduser(), name))


def preferred(algorithms: Sequence[str], known: Iterable[KnownKey]) -> tuple[str, ...]:
    """The algorithms with those of known keys first: a server with several keys then shows one that is known."""
    kinds = {key.kind for key in known if not key.revoked}
    return tuple(sorted(algorithms, key=lambda algorithm: _kind(algorithm) not in kinds))


class KnownHosts(MissingHostKeyPolicy):
    """Paramiko asks this about every host key, as its own store is left empty; raises CannotConnect.

    Its own store knows no patterns and one key per kind only. The first of `files` is where a key is to be accepted.
    """

    def __init__(self, server: str, files: Sequence[Path], name: str) -> None:
        self._server = server
        self._files = files
        self._name = name
        self.known = known_keys(files, name)

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        shown = f"{key.get_name()} {fingerprint(key.asbytes())}"
        same = [known for known in self.known if known.blob == key.get_base64()]
        for known in same:
            if known.revoked:
                raise CannotConnect(
                    f"{self._server}: the host key {shown} is revoked in {known.file} line {known.line}"
                )
        if same:
            return
        trusted = [known for known in self.known if not known.revoked]
        if trusted:
            raise self._changed(shown, trusted[0])
        raise self._unknown(shown, f"{self._name} {key.get_name()} {key.get_base64()}")

    def _changed(self, shown: str, known: KnownKey) -> CannotConnect:
        remove = f"ssh-keygen -R {shlex.quote(self._name)} -f {shlex.quote(str(known.file))}"
        return CannotConnect(
            f"{self._server}: the host key has changed: {self._name} shows {shown}, but {known.file} line {known.line} "
            f"has {known.kind} {known.fingerprint}; somebody may be listening in between",
            f"only if the server was reinstalled: {remove}",
        )

    def _unknown(self, shown: str, line: str) -> CannotConnect:
        accept = f"echo {shlex.quote(line)} >> {shlex.quote(str(self._files[0].expanduser()))}"
        return CannotConnect(
            f"{self._server}: the host key of {self._name} is not known: {shown}",
            f"compare the fingerprint with the server's own, then: {accept}",
        )


def _kind(algorithm: str) -> str:
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm


def _keys_in(file: Path, name: str) -> Iterator[KnownKey]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#") or marker == "@cert-authority":
            continue
        hosts, kind, blob = fields[:3]
        if _is_base64(blob) and _matches(hosts, name):
            yield KnownKey(kind, blob, file, number, marker == "@revoked")


def _is_base64(text: str) -> bool:
    return re.fullmatch(r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", text) is not None


def _matches(hosts: str, name: str) -> bool:
    """Whether a line's first field speaks of `name`: hashed, or a list of patterns of which `!` ones forbid."""
    if hosts.startswith("|1|"):
        salt, digest = hosts[3:].partition("|")[::2]
        if not (_is_base64(salt) and _is_base64(digest)):
            return False
        made = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
        return hmac.compare_digest(made, base64.b64decode(digest))
    found = False
    for pattern in hosts.lower().split(","):
        # In these patterns brackets stand for themselves, as in [host]:2222.
        if fnmatch.fnmatchcase(name, pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            found = True
    return found
