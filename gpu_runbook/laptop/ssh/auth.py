"""Logging in: a server is offered one key after the other, and asked for more of them until it accepts one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from paramiko import BadAuthenticationType, Message, SSHException, Transport
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_SERVICE_ACCEPT, MSG_USERAUTH_PK_OK, cMSG_USERAUTH_REQUEST

from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.laptop.ssh import refused_login
from gpu_runbook.laptop.ssh.agent import AgentFailure
from gpu_runbook.laptop.ssh.identities import Credentials, Identities, Offer
from gpu_runbook.laptop.ssh.refused_login import Attempted

SILENT = "Authentication timeout."  # what paramiko says of a server that does not answer

_AuthHandler: Any = AuthHandler  # its type stubs leave out what a subclass has to know


class KeyLogin(_AuthHandler):  # type: ignore[misc]
    """Logs in with one key, on the caller's thread: a signature that fails ends no connection.

    It asks for the login service and logs in at once, without waiting a round trip for the yes to the first: a server
    reads one after the other, and whether it grants the service shows in what it says to the login. How an RSA key has
    to sign is known once the server's extensions have been read, which come before that yes. An agent is asked to sign
    once the server has said that it takes the key, as a signature may cost somebody a touch.
    """

    def __init__(self, transport: Transport, user: str, key: Offer) -> None:
        super().__init__(transport)
        self.username, self.private_key, self.auth_method = user, key, "publickey"
        self.auth_event = threading.Event()
        self._granted = threading.Event()
        self._is_wanted = False
        transport.auth_handler = self

    def log_in(self) -> list[str]:
        """What else the server wants. Raises AgentFailure for an agent, SSHException when the key is not accepted."""
        self._request_auth()
        if "rsa" in self.private_key.kind:
            self._await(self._granted)
        if self.private_key.is_of_agent:
            self._ask_whether_wanted()
            self._await(self.auth_event)
            if not self._is_wanted:
                return list(self.wait_for_response(self.auth_event))
            self.auth_event.clear()
        granted = Message()
        granted.add_string("ssh-userauth")
        granted.rewind()
        self._parse_service_accept(granted)  # paramiko signs and sends the login itself from here
        return list(self.wait_for_response(self.auth_event))

    def _ask_whether_wanted(self) -> None:
        kind, blob = self._get_key_type_and_bits(self.private_key)
        asked = Message()
        asked.add_byte(cMSG_USERAUTH_REQUEST)
        for text in (self.username, "ssh-connection", "publickey"):
            asked.add_string(text)
        asked.add_boolean(False)
        asked.add_string(self._finalize_pubkey_algorithm(kind))
        asked.add_string(blob)
        self.transport._send_message(asked)

    def _await(self, event: threading.Event) -> None:
        """Raises SSHException for a connection that has ended, or is silent for too long."""
        until = time.monotonic() + self.transport.auth_timeout
        while not event.wait(0.1):
            if not self.transport.is_active():
                raise self.transport.get_exception() or SSHException("the connection has ended")
            if time.monotonic() >= until:
                raise SSHException(SILENT)

    def _take(self, message: Message) -> None:
        self._is_wanted = True
        self.auth_event.set()

    @property
    def _client_handler_table(self) -> dict[int, Callable[[Message], None]]:
        granted = {MSG_SERVICE_ACCEPT: lambda message: self._granted.set()}
        return {**super()._client_handler_table, **granted, MSG_USERAUTH_PK_OK: self._take}


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
        self._unsigned: list[str] = []  # keys that the server takes, and why they have not signed
        self._accepted = ""  # what the server has accepted, and wants something more
        self._takes: tuple[str, ...] = ()  # the ways to log in that the server said it takes

    def authenticate(self, transport: Transport) -> None:
        """Called by paramiko when the host key is verified. Raises CannotConnect."""
        try:
            if self._by_key(transport) or self._by_password(transport):
                return
        finally:
            self._identities.close()
        raise self._refused(transport.is_active())

    def _by_key(self, transport: Transport) -> bool:
        for offer in self._identities.offers():
            try:
                wanted = KeyLogin(transport, self._user, offer).log_in()
            except AgentFailure as error:
                self._unsigned.append(f"{offer.label}, and {error}")
                self._identities.take_back(offer)
                continue
            except BadAuthenticationType as error:
                self._tried.append(offer.label)
                self._takes = tuple(error.allowed_types)
                return False  # the server takes no keys at all, or no more of them
            except SSHException as error:
                self._tried.append(offer.label)
                self._complain_of_silence(error)
                if not transport.is_active():
                    return False
                continue
            if not wanted:
                return True
            self._accepted, self._takes = offer.label, tuple(wanted)
            if "publickey" not in wanted:
                return False
        return False

    def _complain_of_silence(self, error: SSHException) -> None:
        if str(error) == SILENT:
            raise CannotConnect(
                f"{self._server}: the login was not answered within {self._deadline:g} s",
                "the log of its sshd says what it waits for; is the server overloaded?",
            ) from error

    def _by_password(self, transport: Transport) -> bool:
        if self._password is None or not transport.is_active():
            return False
        self._tried.append("the password")
        try:
            wanted = transport.auth_password(self._user, self._password.reveal())
        except BadAuthenticationType as error:
            self._takes = tuple(error.allowed_types)
            return False
        except SSHException as error:
            self._complain_of_silence(error)
            return False
        if wanted:
            self._accepted, self._takes = "the password", tuple(wanted)
        return not wanted

    def _refused(self, connected: bool) -> CannotConnect:
        return refused_login.explained(
            Attempted(
                server=self._server,
                user=self._user,
                tried=tuple(self._tried),
                unsigned=tuple(self._unsigned),
                accepted=self._accepted,
                takes=self._takes,
                locked=tuple(self._identities.locked),
                skipped=tuple(self._identities.skipped.items()),
                empty=self._identities.empty,
                password=self._password is not None,
                connected=connected,
            )
        )
