"""Logging in: a server is offered one key after the other, and what is said when none is accepted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from paramiko import BadAuthenticationType, Message, SSHException, Transport
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_SERVICE_ACCEPT

from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.laptop.ssh.identities import Credentials, Identities, Offer
from gpu_runbook.protocol.foreign_text import quoted

_AuthHandler: Any = AuthHandler  # its type stubs leave out what a subclass has to know


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
    """Logs one user in at one server: with a key or a certificate, then with the password; or with both."""

    def __init__(
        self, server: str, user: str, identities: Identities, credentials: Credentials, deadline: float
    ) -> None:
        self._server = server
        self._user = user
        self._identities = identities
        self._password = credentials.password
        self._deadline = deadline
        self._tried: list[str] = []
        self._accepted = ""  # what the server has accepted, and wants something more
        self._wanted: tuple[str, ...] = ()  # the ways to log in that the server said it takes

    def authenticate(self, transport: Transport) -> None:
        """Called by paramiko when the host key is verified. Raises CannotConnect."""
        until = time.monotonic() + self._deadline
        try:
            if self._by_key(transport, until) or self._by_password(transport):
                return
        finally:
            self._identities.close()
        if time.monotonic() >= until and not self._accepted:
            raise CannotConnect(f"{self._server}: the login was not answered within {self._deadline:g} s")
        raise self._not_accepted(transport.is_active())

    def _by_key(self, transport: Transport, until: float) -> bool:
        for offer in self._identities.offers():
            self._tried.append(offer.label)
            try:
                wanted = _offer(transport, self._user, offer)
            except BadAuthenticationType as error:
                self._wanted = tuple(error.allowed_types)
                return False  # the server takes no keys at all, or no more of them
            except SSHException:
                if time.monotonic() >= until or not transport.is_active():
                    return False
                continue
            if not wanted:
                return True
            self._accepted, self._wanted = offer.label, tuple(wanted)
            if "publickey" not in wanted:
                return False
        return False

    def _by_password(self, transport: Transport) -> bool:
        if self._password is None or not transport.is_active():
            return False
        self._tried.append("the password")
        try:
            wanted = transport.auth_password(self._user, self._password.reveal())
        except BadAuthenticationType as error:
            self._wanted = tuple(error.allowed_types)
            return False
        except SSHException:
            return False
        if wanted:
            self._accepted, self._wanted = "the password", tuple(wanted)
        return not wanted

    def _not_accepted(self, connected: bool) -> CannotConnect:
        locked = ", ".join(map(str, self._identities.locked))
        unlock = f"ssh-add {locked}, or fab --prompt-for-passphrase"
        skipped = "".join(f"; {one}" for one in self._identities.skipped)
        if self._accepted:
            return self._second_factor()
        if locked and not self._tried:
            return CannotConnect(
                f"{self._server}: the key {locked} is encrypted and no passphrase was given{skipped}", unlock
            )
        if self._wanted and "publickey" not in self._wanted:
            return self._takes_no_keys()
        if not self._tried:
            return CannotConnect(
                f"{self._server}: there is no key to log in with as {self._user}{skipped}",
                "name one as key: in hosts.yaml or with fab -i, or start an agent",
            )
        encrypted = f"; {locked} is encrypted ({unlock})" if locked else ""
        tried = f"tried {', '.join(self._tried)}{encrypted}{skipped}"
        if not connected and len(self._tried) > 1:
            return CannotConnect(
                f"{self._server} hung up on {self._user} after {len(self._tried)} keys: {tried}",
                "its sshd's MaxAuthTries: name the right one as key: in hosts.yaml, or with IdentityFile and "
                "IdentitiesOnly in ssh_config",
            )
        return CannotConnect(
            f"{self._server} did not accept {self._user}: {tried}",
            f"put the public key into ~{self._user}/.ssh/authorized_keys on the server, or name another with fab -i",
        )

    def _second_factor(self) -> CannotConnect:
        """The key, or the password, was right, and the server asks for something more."""
        wanted = quoted(" or ".join(self._wanted))
        if "password" in self._wanted and self._password is None:
            hint = "fab --prompt-for-login-password"
        else:
            hint = (
                f"a code cannot be typed here: let {self._user} in with a key alone, by AuthenticationMethods in a "
                "Match User of the server's sshd_config"
            )
        return CannotConnect(
            f"{self._server} accepted {self._accepted} of {self._user} and wants a second factor: {wanted}", hint
        )

    def _takes_no_keys(self) -> CannotConnect:
        takes = quoted(", ".join(self._wanted))
        tried = f"; tried {', '.join(self._tried)}" if self._tried else ""
        if "password" in self._wanted and self._password is None:
            hint = "fab --prompt-for-login-password; or PubkeyAuthentication yes in its sshd_config"
        else:
            hint = f"let {self._user} in with a key: PubkeyAuthentication yes in its sshd_config"
        return CannotConnect(f"{self._server} takes no keys of {self._user}, it takes {takes}{tried}", hint)


def _offer(transport: Transport, user: str, key: Offer) -> list[str]:
    """Log in with a key; what else the server wants. Raises SSHException when it is not accepted."""
    if "rsa" in key.kind:  # how an RSA key has to sign is known once the server's extensions have been read
        return list(transport.auth_publickey(user, key))
    event = threading.Event()
    transport.auth_handler = handler = Forthright(transport)
    handler.auth_publickey(user, key, event)
    return list(handler.wait_for_response(event))
