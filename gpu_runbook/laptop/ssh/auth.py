"""Logging in: which keys are offered to a server, in which order, and what is said when none is accepted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from paramiko import (
    Agent,
    AuthenticationException,
    BadAuthenticationType,
    ECDSAKey,
    Ed25519Key,
    Message,
    PasswordRequiredException,
    PKey,
    RSAKey,
    SSHException,
    Transport,
)
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_SERVICE_ACCEPT

from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.protocol.values import dataclass

_AuthHandler: Any = AuthHandler  # its type stubs leave out what a subclass has to know
DEFAULT_KEYS = (Path("~/.ssh/id_ed25519"), Path("~/.ssh/id_ecdsa"), Path("~/.ssh/id_rsa"))


@dataclass(frozen=True)
class Credentials:
    """What may be offered to a server. `search` allows the agent and the usual keys in ~/.ssh as well."""

    keys: tuple[Path, ...] = ()
    search: bool = True
    passphrase: Secret | None = None
    password: Secret | None = None


class Forthright(_AuthHandler):  # type: ignore[misc]
    """Asks for the login service and logs in at once, without waiting a round trip for the yes to the first.

    A server reads one after the other; whether it grants the service shows in what it says to the login.
    """

    def _request_auth(self) -> None:
        super()._request_auth()
        granted = Message()
        granted.add_string("ssh-userauth")
        granted.rewind()
        self._parse_service_accept(granted)  # paramiko sends the login itself from here

    @property
    def _client_handler_table(self) -> dict[int, Callable[[Message], None]]:
        return {**super()._client_handler_table, MSG_SERVICE_ACCEPT: lambda message: None}


class Login:
    """Logs one user in at one server: the keys named, then the agent's and the usual ones, then the password."""

    def __init__(self, server: str, user: str, credentials: Credentials, deadline: float) -> None:
        self._server = server
        self._user = user
        self._credentials = credentials
        self._deadline = deadline
        self._tried: list[str] = []
        self._locked: list[Path] = []

    def authenticate(self, transport: Transport) -> None:
        """Called by paramiko when the host key is verified. Raises CannotConnect."""
        until = time.monotonic() + self._deadline
        if self._by_key(transport, until) or self._by_password(transport):
            return
        if time.monotonic() >= until:
            raise CannotConnect(f"{self._server}: the login was not answered within {self._deadline:g} s")
        raise self._not_accepted()

    def _by_key(self, transport: Transport, until: float) -> bool:
        for label, key in self._offers():
            self._tried.append(label)
            try:
                return not _offer(transport, self._user, key)  # what is left to do: nothing, or a password too
            except BadAuthenticationType:
                return False  # the server takes no keys at all
            except SSHException:
                if time.monotonic() >= until or not transport.is_active():
                    return False
        return False

    def _by_password(self, transport: Transport) -> bool:
        password = self._credentials.password
        if password is None or not transport.is_active():
            return False
        self._tried.append("the password")
        try:
            return not transport.auth_password(self._user, password.reveal())
        except AuthenticationException:
            return False

    def _offers(self) -> Iterator[tuple[str, PKey]]:
        yield from self._from_files(self._credentials.keys)
        if not self._credentials.search:
            return
        agent = Agent()
        try:
            for key in agent.get_keys():
                yield f"{key.comment or key.get_name()} of the agent", key
        finally:
            agent.close()
        usual = [path for path in DEFAULT_KEYS if path.expanduser().is_file()]
        yield from self._from_files(usual)

    def _from_files(self, paths: Sequence[Path]) -> Iterator[tuple[str, PKey]]:
        for path in paths:
            key = self._read(path.expanduser())
            if key is not None:
                yield str(path), key

    def _read(self, path: Path) -> PKey | None:
        """The key in a file, None for one whose passphrase is not known. Raises CannotConnect for no key at all."""
        passphrase = self._credentials.passphrase
        try:
            key = _load(path, passphrase.reveal() if passphrase else None)
        except PasswordRequiredException:
            self._locked.append(path)
            return None
        except OSError as error:
            raise CannotConnect(f"{self._server}: the key {path} cannot be read: {error.strerror}") from error
        except SSHException as error:
            wrong = "is no private key, or the passphrase is wrong" if passphrase else "is no private key"
            raise CannotConnect(f"{self._server}: {path} {wrong}") from error
        certificate = path.with_name(path.name + "-cert.pub")
        if certificate.is_file():
            key.load_certificate(str(certificate))
        return key

    def _not_accepted(self) -> CannotConnect:
        locked = ", ".join(map(str, self._locked))
        if locked and not self._tried:
            return CannotConnect(
                f"{self._server}: the key {locked} is encrypted and no passphrase was given",
                "fab --prompt-for-passphrase, or ssh-add it",
            )
        if not self._tried:
            return CannotConnect(
                f"{self._server}: there is no key to log in with as {self._user}",
                "name one as key: in hosts.yaml or with fab -i, or start an agent",
            )
        skipped = f"; {locked} is encrypted (fab --prompt-for-passphrase)" if locked else ""
        return CannotConnect(
            f"{self._server} did not accept {self._user}: tried {', '.join(self._tried)}{skipped}",
            f"put the public key into ~{self._user}/.ssh/authorized_keys on the server, or name another with fab -i",
        )


def _offer(transport: Transport, user: str, key: PKey) -> list[str]:
    """Log in with a key; what else the server wants. Raises SSHException when it is not accepted."""
    if isinstance(key, RSAKey):  # how an RSA key has to sign is known once the server's extensions have been read
        return list(transport.auth_publickey(user, key))
    event = threading.Event()
    transport.auth_handler = handler = Forthright(transport)
    handler.auth_publickey(user, key, event)
    return list(handler.wait_for_response(event))


def _load(path: Path, passphrase: str | None) -> PKey:
    """Raises PasswordRequiredException for an encrypted key without passphrase, SSHException for anything else."""
    failure: SSHException | None = None
    for kind in (Ed25519Key, ECDSAKey, RSAKey):
        try:
            return kind.from_private_key_file(str(path), passphrase)
        except SSHException as error:
            # Each kind complains about the keys of the others; "encrypted" is the one complaint that says something.
            failure = failure if isinstance(failure, PasswordRequiredException) else error
    raise failure or SSHException("no kind of key is known")
