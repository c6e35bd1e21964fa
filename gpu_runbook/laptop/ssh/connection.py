"""Fabric's connection with what it leaves open closed: host keys, Nagle, deadlines, and the order of gateways."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from fabric import Config, Connection
from paramiko import Channel, ChannelException, SSHConfig, SSHException, Transport
from paramiko.ssh_exception import IncompatiblePeer

from gpu_runbook.laptop.errors import BadInput, CannotConnect
from gpu_runbook.laptop.ssh.algorithms import Particular
from gpu_runbook.laptop.ssh.auth import Login
from gpu_runbook.laptop.ssh.config import Hop, SshConfig, destination
from gpu_runbook.laptop.ssh.host_keys import KnownHosts, Trust
from gpu_runbook.laptop.ssh.identities import Credentials, Identities
from gpu_runbook.laptop.ssh.sockets import Piped, dial
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.values import dataclass

SAID = 200  # characters of what the other side says
MOST_GATEWAYS = 8  # each by what ssh_config says of the one before
KEEPALIVE = 15  # seconds between the packets that keep firewalls open and let the kernel find a dead peer


@dataclass(frozen=True)
class Terms:
    """What holds for a server and every gateway on the way to it. `seconds` bounds each stage of connecting."""

    server: str
    config: SshConfig
    credentials: Credentials
    known_hosts: Path | None
    seconds: float


class StrictConnection(Connection):  # type: ignore[misc]
    """One hop. `gateway` is the connection or the ProxyCommand it goes through, False for none."""

    def __init__(self, terms: Terms, label: str, settings: Hop, gateway: Any):
        # Invoke's contexts take an ordinary assignment for configuration.
        self._set(_terms=terms, _label=label, _settings=settings, _negotiated=None)
        config = Config(ssh_config=SSHConfig(), lazy=True)  # all of it is in the settings
        super().__init__(settings.host, user=settings.user, port=settings.port, gateway=gateway, config=config)
        self._set(_known_hosts=KnownHosts(label, _trust(terms, settings), settings.host, settings.port))
        self.client.set_missing_host_key_policy(self._known_hosts)

    def open(self) -> None:
        """Connect, verify the host key and log in, each within the terms' seconds. Raises CannotConnect."""
        if self.is_connected:
            return
        seconds = self._terms.seconds
        try:
            sock = self._dial()
        except (OSError, SSHException, UnicodeError) as error:
            raise self._explained(error) from error
        try:
            self.client.connect(
                hostname=self.host,
                port=self.port,
                username=self.user,
                sock=sock,
                timeout=seconds,
                banner_timeout=seconds + 1,  # so that `timeout`, which bounds the greeting too, comes first and says so
                channel_timeout=seconds,
                auth_timeout=seconds,
                auth_strategy=self._login(),
                transport_factory=self._made_transport,
            )
        except BaseException as error:
            self.client.close()
            sock.close()
            if isinstance(error, OSError | EOFError | SSHException):
                raise self._explained(error) from error
            raise
        self.transport = self.client.get_transport()
        self.transport.set_keepalive(KEEPALIVE)

    def close(self) -> None:
        super().close()
        self.client.close()
        if isinstance(self.gateway, Connection):
            self.gateway.close()

    def _dial(self) -> socket.socket | Channel:
        if not self.gateway:
            return dial(self.host, self.port, self._terms.seconds, self._settings.family)
        if isinstance(self.gateway, str):
            return Piped(self.gateway)
        self.gateway.open()
        channel: Channel = self.gateway.transport.open_channel("direct-tcpip", (self.host, self.port), ("", 0))
        return channel

    def _made_transport(self, sock: Any, **options: Any) -> Transport:
        transport = Particular(sock, self._settings, self._known_hosts.known, **options)
        transport.handshake_timeout = self._terms.seconds
        transport.clear_to_send_timeout = self._terms.seconds
        self._set(_negotiated=transport)
        return transport

    def _login(self) -> Login:
        identities = Identities(self._label, self._terms.credentials, self._settings)
        return Login(self._label, self.user, identities, self._terms.credentials, self._terms.seconds)

    def _explained(self, error: BaseException) -> CannotConnect:
        """What a failure to connect means, in a sentence."""
        place = f"{self.host} port {self.port}"
        if isinstance(self.gateway, str) and not (self._negotiated and self._negotiated.remote_version):
            return CannotConnect(
                f"{self._label}: the ProxyCommand {quoted(self.gateway, SAID)} of ssh_config leads to no SSH server",
                "run it by itself: it has to show a line that begins with SSH-2.0",
            )
        if isinstance(error, socket.gaierror) and self._settings.family != "any":
            return CannotConnect(
                f"{self._label}: {self.host} has no address of the family {self._settings.family}",
                "check AddressFamily in ssh_config, and address: in hosts.yaml",
            )
        if isinstance(error, socket.gaierror | UnicodeError):
            return CannotConnect(f"{self._label}: the name {self.host} is not known", "check address: in hosts.yaml")
        if isinstance(error, ConnectionRefusedError):
            return CannotConnect(f"{self._label}: {place} refuses connections", "is sshd running there, on this port?")
        if isinstance(error, ChannelException):
            return CannotConnect(f"{self._label}: its gateway {self.gateway.host} cannot reach {place}")
        if isinstance(error, IncompatiblePeer):
            return CannotConnect(
                f"{self._label}: {place} and this laptop share no algorithm: {self._negotiated.difference()}",
                "let its sshd_config take one of the laptop's as well",
            )
        if isinstance(error, TimeoutError) or "No existing session" in str(error) or "Timeout" in str(error):
            return CannotConnect(
                f"{self._label}: no answer from {place} within {self._terms.seconds:g} s",
                "is the server up, and does a firewall let SSH through?",
            )
        if isinstance(error, SSHException) and "banner" in str(error):
            return CannotConnect(
                f"{self._label}: {place} does not greet as an SSH server",
                "is the port right? an sshd that is overloaded, or bans this address, hangs up at once too",
            )
        if isinstance(error, EOFError | ConnectionResetError):
            return CannotConnect(
                f"{self._label}: {place} closed the connection before the login", "the log of its sshd says why"
            )
        return CannotConnect(f"{self._label}: connecting to {place} failed: {quoted(str(error), SAID)}")


def _trust(terms: Terms, settings: Hop) -> Trust:
    """hosts.yaml's file of known hosts, which is then the only one, or those of ssh_config."""
    files = (terms.known_hosts,) if terms.known_hosts else settings.known_hosts
    return Trust(
        files=files,
        alias=settings.alias,
        revoked=settings.revoked,
        command=settings.known_hosts_command,
        authorities=settings.authority_algorithms,
    )


def route(
    terms: Terms,
    name: str,
    *,
    user: str | None = None,
    port: int | None = None,
    gateway: str | None = None,
    before: tuple[str, ...] = (),
) -> StrictConnection:
    """The connection to a destination by way of its gateways: those given, else those that ssh_config names.

    Several gateways are separated by commas, the first to be connected to first; "none" is none. `before` are the
    destinations that this one is on the way to: a gateway is not reached through what lies behind it. Raises BadInput.
    """
    if len(before) > MOST_GATEWAYS:
        why = f"{terms.server}: more than {MOST_GATEWAYS} gateways lead to {quoted(before[0])} by ssh_config"
        raise BadInput(why, "does ProxyJump stand where it holds for the gateway itself, too?")
    wanted = destination(terms.server, name)
    settings = terms.config.of(terms.server, replace(wanted, user=user or wanted.user, port=port or wanted.port))
    hops = tuple(hop.strip() for hop in gateway.split(",")) if gateway else settings.jumps
    through: Any = False
    if [*map(str.lower, hops)] in ([], ["none"]):
        through = settings.proxy or False
    else:
        behind = (*before, name)
        for hop in hops:
            if hop not in behind:
                through = _hop(terms, hop, through) if through else route(terms, hop, before=behind)
    label = terms.server if not before else f"{terms.server}: gateway {name}"
    return StrictConnection(terms, label, settings, through)


def _hop(terms: Terms, name: str, through: StrictConnection) -> StrictConnection:
    settings = terms.config.of(terms.server, destination(terms.server, name))
    return StrictConnection(terms, f"{terms.server}: gateway {name}", settings, through)
