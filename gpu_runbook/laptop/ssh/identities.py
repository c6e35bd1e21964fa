"""Which keys and certificates are offered to a server, in which order: those that are named, the agent's, the usual."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from paramiko import PKey
from paramiko.pkey import PublicBlob

from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.ssh import key_files
from gpu_runbook.laptop.ssh.agent import Agent, AgentFailure, AgentKey
from gpu_runbook.laptop.ssh.config import Hop
from gpu_runbook.laptop.ssh.host_certificates import SUFFIX, parsed
from gpu_runbook.laptop.ssh.key_files import KeyFile
from gpu_runbook.laptop.ssh.key_ring import KeyRing
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Credentials:
    """What hosts.yaml and Fabric's flags give: when they name keys, neither the agent's others nor the usual count."""

    ring: KeyRing
    keys: tuple[Path, ...] = ()
    password: Secret | None = None


class Offer(PKey):
    """A key as it is offered to a server: by itself, or in a certificate. `label` is what a person calls it."""

    def __init__(self, label: str, signer: PKey, certificate: PublicBlob | None = None) -> None:
        super().__init__()
        self.label = label
        self._signer = signer
        self.public_blob = certificate

    def get_name(self) -> str:
        return self._signer.get_name()

    def asbytes(self) -> bytes:
        return self._signer.asbytes()

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> object:  # type: ignore[override]
        return self._signer.sign_ssh_data(data, algorithm)

    @property
    def is_of_agent(self) -> bool:
        """Whether its signature may cost a person something: to unlock, to confirm, to touch."""
        return isinstance(self._signer, AgentKey)

    @property
    def blob(self) -> bytes:
        return self.public_blob.key_blob if self.public_blob else self.asbytes()

    @property
    def kind(self) -> str:
        return self.public_blob.key_type if self.public_blob else self.get_name()


class Identities:
    """`skipped` says, once all was offered, why what was named was not, and what to do; `locked` are keys without their
    passphrase.

    `empty` is an agent that holds no keys.
    """

    def __init__(self, given: Credentials, settings: Hop) -> None:
        self.skipped: dict[str, str] = {}
        self.locked: list[Path] = []
        self.empty: Path | None = None
        self._given = given
        self._settings = settings
        self._agent: Agent | None = None
        self._held: Sequence[AgentKey] | None = None
        self._offered: set[bytes] = set()

    def close(self) -> None:
        if self._agent:
            self._agent.close()

    def offers(self) -> Iterator[Offer]:
        """One after the other, as they are asked for: an agent is asked only when it is needed."""
        for offer in self._all():
            if offer.blob not in self._offered and self._is_allowed(offer):
                self._offered.add(offer.blob)
                yield offer

    def take_back(self, offer: Offer) -> None:
        """It was not signed with: the same key may follow from a file."""
        self._offered.discard(offer.blob)

    def _all(self) -> Iterator[Offer]:
        settings = self._settings
        for path in self._given.keys:
            yield from self._of_file(path.expanduser(), named_by="key: in hosts.yaml")
        if settings.named:
            for path in settings.identities:
                yield from self._of_file(path, named_by="IdentityFile in ssh_config")
        if settings.pkcs11:
            remedy = f"ssh-add -s {shlex.quote(settings.pkcs11)} gives them to the agent"
            self._skip(f"the keys of PKCS11Provider {settings.pkcs11} are not read here", remedy)
        if self._given.keys:
            return
        if not settings.identities_only:
            for key in self._agent_keys():
                yield from self._of_agent(key)
        if not settings.named:
            for path in settings.identities:
                yield from self._of_file(path)

    def _is_allowed(self, offer: Offer) -> bool:
        """By PubkeyAcceptedAlgorithms; how an RSA key signs is settled with the server."""
        allowed = self._settings.login_algorithms
        kinds = (offer.kind, *(offer.kind.replace("ssh-rsa", f"rsa-sha2-{size}") for size in (256, 512)))
        if not allowed or set(kinds) & set(allowed):
            return True
        why = f"PubkeyAcceptedAlgorithms of ssh_config leaves out {offer.label} ({offer.kind})"
        self._skip(why, "correct it there, or name a key of another kind")
        return False

    def _of_file(self, path: Path, named_by: str = "") -> Iterator[Offer]:
        """What a file gives; why it is of no use is noted, unless nobody has named it and it is not there."""
        try:
            file = self._given.ring.read(path)
        except OSError as error:
            if named_by or not isinstance(error, FileNotFoundError):
                self._skip(f"{path} cannot be read: {error.strerror}", f"correct {named_by}" if named_by else "")
            return
        public = self._public(file.public)
        signer = file.private or next((key for key in self._agent_keys() if key.blob == public), None)
        if signer is None:
            self._unusable(path, file)
            return
        yield from self._certified(path, file, signer)
        yield Offer(str(path) if file.private else f"{path} by the agent", signer)

    def _unusable(self, path: Path, file: KeyFile) -> None:
        if file.locked:
            self.locked.append(path)
            return
        no_agent = ", and no agent has its private half" if file.public else ""
        self._skip(f"{path} {file.problem}{no_agent}", file.remedy)

    def _skip(self, why: str, remedy: str = "") -> None:
        self.skipped.setdefault(why, remedy)

    def _public(self, blob: bytes | None) -> bytes | None:
        """The plain key of a public key or a certificate."""
        try:
            return parsed(blob).key if blob else None
        except ValueError:
            return blob

    def _certified(self, path: Path, file: KeyFile, signer: PKey) -> Iterator[Offer]:
        """The key in each certificate there is for it: beside its file, of CertificateFile, of the agent."""
        stem = path.name.removesuffix(".pub")
        beside = dict.fromkeys(path.with_name(f"{name}-cert.pub") for name in (path.name, stem))
        for place in (path, *beside, *self._settings.certificates):
            blob = self._certificate(place, signer.asbytes(), named=place in self._settings.certificates)
            if blob:
                yield Offer(str(place), signer, blob)
        for key in self._agent_keys() if self._agent else ():
            if key.get_name().endswith(SUFFIX) and self._public(key.blob) == signer.asbytes():
                yield from self._of_agent(key)

    def _certificate(self, path: Path, key: bytes, named: bool) -> PublicBlob | None:
        """The certificate of a key in a file; None where there is none, and why is noted where a file is there."""
        try:
            blob = key_files.public_in(path)
            if parsed(blob).key == key:
                return PublicBlob(key_files.kind_of(blob), blob)
            problem = "" if named else f"{path} is a certificate of another key"
        except FileNotFoundError:
            problem = f"{path} is not there" if named else ""
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror}"
        except ValueError:
            problem = f"{path} is no certificate" if path.name.endswith("-cert.pub") or named else ""
        if problem:
            self._skip(problem)
        return None

    def _agent_keys(self) -> Sequence[AgentKey]:
        """Asked once, and only when they are needed."""
        if self._held is None:
            self._held = ()
            try:
                if self._settings.agent:
                    self._agent = Agent(self._settings.agent)
                    self._held = self._agent.keys()
                    self.empty = None if self._held else self._settings.agent
            except AgentFailure as error:
                self._skip(str(error))
        return self._held

    def _of_agent(self, key: AgentKey) -> Iterator[Offer]:
        """A key of the agent, in the certificates of CertificateFile first; a certificate of the agent as it is."""
        label = f"{named(key.comment or key.get_name())} of the agent"
        if key.get_name().endswith(SUFFIX):
            yield Offer(label, key, PublicBlob(key.get_name(), key.blob))
            return
        for place in self._settings.certificates:
            blob = self._certificate(place, key.blob, named=True)
            if blob:
                yield Offer(str(place), key, blob)
        yield Offer(label, key)
