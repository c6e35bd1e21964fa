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
from gpu_runbook.laptop.ssh import host_certificates
from gpu_runbook.laptop.ssh.host_certificates import SUFFIX, Certificate
from gpu_runbook.protocol.values import dataclass

NO_FILE = "name a FILE as known_hosts: in hosts.yaml, as ssh_config has none that keeps it, then"
REVOKED = "ask who has revoked it; the server needs another host key"


@dataclass(frozen=True)
class KnownKey:
    """One line of a known_hosts file that speaks of the server. `blob` is the key as the file has it, in base64.

    `authority` is whether it vouches for the server's key instead of being it, `pattern` whether it is of others, too.
    """

    kind: str
    blob: str
    file: Path
    line: int
    revoked: bool
    authority: bool = False
    pattern: bool = False

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
    kinds = {key.kind for key in known if not key.revoked and not key.authority}
    return tuple(sorted(algorithms, key=lambda algorithm: _kind(algorithm) not in kinds))


def with_certificates(algorithms: Sequence[str], known: Iterable[KnownKey]) -> tuple[str, ...]:
    """The algorithms and those of certificates, which come first where an authority vouches for the server."""
    certified = tuple(algorithm + SUFFIX for algorithm in algorithms)
    vouched = any(key.authority and not key.revoked for key in known)
    return (*certified, *algorithms) if vouched else (*algorithms, *certified)


@dataclass(frozen=True)
class Trust:
    """Where the keys of a server are looked up: the files, that which `keeps` new ones, and what ssh_config says.

    `alias` is its HostKeyAlias, `revoked` its RevokedHostKeys, `unheeded` what would let ssh take an unknown key;
    `authorities` are the algorithms with which an authority may sign, none for all.
    """

    files: tuple[Path, ...]
    keeps: Path | None = None
    alias: str = ""
    revoked: Path | None = None
    unheeded: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()


class KnownHosts(MissingHostKeyPolicy):
    """Paramiko asks this about every host key, as its own store is left empty; raises CannotConnect.

    Its own store knows no patterns, no authorities, and one key per kind only.
    """

    def __init__(self, server: str, trust: Trust, host: str, port: int) -> None:
        self._server = server
        self._trust = trust
        self._host = trust.alias or host
        self._name = trust.alias or known_name(host, port)
        self._own = known_keys(trust.files, self._name)
        # ssh looks for the bare name, too, where it has no key of the kind for the name with its port.
        self._bare = () if self._name == self._host else known_keys(trust.files, self._host)
        self.known = self._own + self._bare
        self._revoked = _revoked(trust.revoked) if trust.revoked else frozenset()

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        shown = f"{key.get_name()} {fingerprint(key.asbytes())}"
        certificate = _certificate(key)
        self._refuse_revoked(shown, key, certificate)
        objection = ""
        for known in (self._own, self._bare):
            plain = [one for one in known if not one.revoked and not one.authority]
            if any(one.blob == key.get_base64() for one in plain):
                return
            if certificate and any(one.authority and one.blob == _base64(certificate.authority) for one in known):
                objection = host_certificates.objection(certificate, self._host, self._trust.authorities)
                if not objection:
                    return
            if any(one.kind == key.get_name() for one in plain):
                break
        trusted = [known for known in self._own if not known.revoked and not known.authority]
        if trusted:
            raise self._changed(shown, next((one for one in trusted if one.kind == key.get_name()), trusted[0]))
        raise self._unknown(shown + self._why_not_vouched(certificate, objection), key)

    def _refuse_revoked(self, shown: str, key: PKey, certificate: Certificate | None) -> None:
        blobs = {key.get_base64(), _base64(certificate.authority) if certificate else ""}
        for known in self.known:
            if known.revoked and known.blob in blobs:
                raise CannotConnect(
                    f"{self._server}: the host key {shown} is revoked in {known.file} line {known.line}", REVOKED
                )
        if self._revoked & blobs:
            raise CannotConnect(f"{self._server}: the host key {shown} is revoked in {self._trust.revoked}", REVOKED)

    def _why_not_vouched(self, certificate: Certificate | None, objection: str) -> str:
        """What is to be said of authorities, or of another place for keys, where a key is not known."""
        vouching = next((known for known in self.known if known.authority and not known.revoked), None)
        if objection:
            return f"; its certificate does not count: {objection}"
        if vouching and certificate:
            other = fingerprint(certificate.authority)
            return f"; {vouching.file} line {vouching.line} trusts an authority other than its certificate's, {other}"
        if vouching:
            return f"; {vouching.file} line {vouching.line} trusts an authority, and the server shows no certificate"
        return "".join(f"; {one}" for one in self._trust.unheeded)

    def _changed(self, shown: str, known: KnownKey) -> CannotConnect:
        remove = f"ssh-keygen -R {shlex.quote(self._name)} -f {shlex.quote(str(known.file))}"
        if known.pattern:  # which -R does not look at
            remove = f"take line {known.line} out of {known.file}"
        return CannotConnect(
            f"{self._server}: the host key has changed: {self._name} shows {shown}, but {known.file} line {known.line} "
            f"has {known.kind} {known.fingerprint}; somebody may be listening in between",
            f"only if the server was reinstalled: {remove}",
        )

    def _unknown(self, shown: str, key: PKey) -> CannotConnect:
        line = shlex.quote(f"{self._name} {key.get_name()} {key.get_base64()}")
        file = self._trust.keeps
        accept = f"then: {_into(file.expanduser(), line)}" if file else f"{NO_FILE}: echo {line} >> FILE"
        kind = next((one for one in ("ed25519", "ecdsa") if one in key.get_name()), "rsa")
        return CannotConnect(
            f"{self._server}: the host key of {self._name} is not known: {shown}",
            f"compare the fingerprint with the server's own (there, ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub), "
            f"{accept}",
        )


def _into(file: Path, line: str) -> str:
    """What puts a line at the end of a file that may not be there, or may not end with a line's end."""
    name, folder = shlex.quote(str(file)), file.parent
    make = "" if folder.is_dir() else f"mkdir -p -m 700 {shlex.quote(str(folder))} && "
    try:
        ended = file.read_bytes()[-1:] in (b"", b"\n")
    except OSError:
        ended = True
    return f"{make}echo {line} >> {name}" if ended else f"(echo; echo {line}) >> {name}"


def _certificate(key: PKey) -> Certificate | None:
    """The certificate in which a server has shown its key, as far as it is one for that key."""
    blob = getattr(key, "public_blob", None)
    if blob is None:
        return None
    try:
        certificate = host_certificates.parsed(blob.key_blob)
    except ValueError:
        return None
    return certificate if certificate.key == key.asbytes() else None


def _base64(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


def _revoked(file: Path) -> frozenset[str]:
    """The keys that RevokedHostKeys names, in base64. Raises BadInput where it cannot be read: ssh refuses then."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"RevokedHostKeys {file} cannot be read: {error.strerror}", "correct ssh_config") from error
    if content.startswith(b"SSHKRL"):
        raise BadInput(
            f"RevokedHostKeys {file} is a key revocation list, which only ssh reads",
            "write the revoked keys there as lines, kind and key, or put @revoked lines into known_hosts",
        )
    return frozenset(word for word in content.decode("utf-8", "replace").split() if _is_base64(word))


def _kind(algorithm: str) -> str:
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm


def _keys_in(file: Path, name: str) -> Iterator[KnownKey]:
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        hint = "make it readable for you, or name another: known_hosts: in hosts.yaml, UserKnownHostsFile in ssh_config"
        raise BadInput(f"the known hosts in {file} cannot be read: {error.strerror}", hint) from error
    for number, line in enumerate(lines, 1):
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#") or marker not in ("", "@revoked", "@cert-authority"):
            continue
        hosts, kind, blob = fields[:3]
        if _is_base64(blob) and _matches(hosts, name):
            pattern = any(sign in hosts for sign in "*?!")
            yield KnownKey(kind, blob, file, number, marker == "@revoked", marker == "@cert-authority", pattern)


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
