"""Fabric's connection with what it leaves open closed: host keys, Nagle, deadlines, and the order of gateways."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from fabric import Config, Connection
from paramiko import Channel, ChannelException, SSHConfig, SSHException, Transport

from gpu_runbook.laptop.errors import BadInput, CannotConnect
from gpu_runbook.laptop.ssh import failures
from gpu_runbook.laptop.ssh.algorithms import Particular
from gpu_runbook.laptop.ssh.auth import Login
from gpu_runbook.laptop.ssh.config import Destination, Hop, SshConfig, destination
from gpu_runbook.laptop.ssh.host_keys import KnownHosts, Trust
from gpu_runbook.laptop.ssh.identities import Credentials, Identities
from gpu_runbook.laptop.ssh.sockets import Piped, dial
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.values import dataclass

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

    def __init__(self, terms: Terms, label: str, source: str, settings: Hop, gateway: Any):
        attempt = failures.Attempt(
            label=label,
            host=settings.host,
            port=settings.port,
            source=source,
            seconds=terms.seconds,
            family=settings.family,
            gateway=gateway.host if isinstance(gateway, Connection) else "",
            bind=settings.bind,
        )
        # Invoke's contexts take an ordinary assignment for configuration.
        self._set(_terms=terms, _label=label, _attempt=attempt, _settings=settings, _negotiated=None, _piped=None)
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
            # Before the socket is closed: how a ProxyCommand has ended by itself shows until then.
            told = self._explained(error) if isinstance(error, OSError | EOFError | SSHException) else None
            self.client.close()
            sock.close()
            if told:
                raise told from error
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
            return dial(self.host, self.port, self._terms.seconds, self._settings.family, self._settings.bind)
        if isinstance(self.gateway, str):
            piped = Piped(self.gateway)
            self._set(_piped=piped)
            return piped
        self.gateway.open()
        gate = self.gateway.transport
        try:
            channel: Channel = gate.open_channel("direct-tcpip", (self.host, self.port), ("", 0))
        except ChannelException as error:
            raise ChannelException(error.code, gate.refusal or error.text) from error
        return channel

    def _made_transport(self, sock: Any, **options: Any) -> Transport:
        transport = Particular(sock, self._settings, self._known_hosts.known, **options)
        transport.handshake_timeout = self._terms.seconds
        transport.clear_to_send_timeout = self._terms.seconds
        self._set(_negotiated=transport)
        return transport

    def _login(self) -> Login:
        identities = Identities(self._terms.credentials, self._settings)
        return Login(self._label, self.user, identities, self._terms.credentials, self._terms.seconds)

    def _explained(self, error: BaseException) -> CannotConnect:
        greeted = self._negotiated and self._negotiated.remote_version
        if self._piped and not greeted:
            return failures.of_proxy(self._attempt, self._piped)
        return failures.explained(self._attempt, error, self._negotiated)


def _trust(terms: Terms, settings: Hop) -> Trust:
    """hosts.yaml's file of known hosts, which is then the only one, or those of ssh_config."""
    own = terms.known_hosts
    return Trust(
        files=(own,) if own else settings.known_hosts,
        keeps=own or settings.keeps,
        alias=settings.alias,
        revoked=settings.revoked,
        unheeded=_unheeded(settings),
        authorities=settings.authority_algorithms,
    )


def _unheeded(settings: Hop) -> tuple[str, ...]:
    """What of ssh_config would let ssh take a key that known_hosts does not have, and counts for nothing here."""
    said = []
    if settings.known_hosts_command:
        said.append(f"KnownHostsCommand of ssh_config is not run here: {quoted(settings.known_hosts_command)}")
    if settings.lenient:
        said.append(f"StrictHostKeyChecking {settings.lenient} of ssh_config counts for nothing here")
    if settings.by_dns:
        said.append("VerifyHostKeyDNS of ssh_config is not asked for here")
    return tuple(said)


def route(
    terms: Terms,
    name: str,
    *,
    user: str | None = None,
    port: int | None = None,
    gateway: str | None = None,
    key: str = "address: in hosts.yaml",
    before: tuple[str, ...] = (),
) -> StrictConnection:
    """The connection to a destination by way of its gateways: those given, else those that ssh_config names.

    Several gateways are separated by commas, the first to be connected to first; "none" is none, and no ProxyCommand
    either. `key` is where the destination is named. `before` are the destinations that this one is on the way to: a
    gateway is not reached through what lies behind it. Raises BadInput.
    """
    if len(before) > MOST_GATEWAYS:
        why = f"{terms.server}: more than {MOST_GATEWAYS} gateways lead to {quoted(before[0])} by ssh_config"
        raise BadInput(why, "does ProxyJump stand where it holds for the gateway itself, too?")
    wanted = destination(terms.server, name)
    settings = terms.config.of(terms.server, replace(wanted, user=user or wanted.user, port=port or wanted.port))
    hops = tuple(hop.strip() for hop in gateway.split(",")) if gateway else settings.jumps
    named_by = "gateway: in hosts.yaml" if gateway else "ProxyJump in ssh_config"
    through: Any = False
    if [*map(str.lower, hops)] in ([], ["none"]):
        through = not gateway and settings.proxy
    else:
        behind = (*before, name)
        for hop in hops:
            if hop not in behind:
                through = (
                    _hop(terms, hop, named_by, through) if through else route(terms, hop, key=named_by, before=behind)
                )
    label = terms.server if not before else f"{terms.server}: gateway {name}"
    return StrictConnection(terms, label, _source(key, wanted, settings), settings, through or False)


def _hop(terms: Terms, name: str, key: str, through: StrictConnection) -> StrictConnection:
    """A gateway behind another one."""
    wanted = destination(terms.server, name)
    settings = terms.config.of(terms.server, wanted)
    label = f"{terms.server}: gateway {name}"
    return StrictConnection(terms, label, _source(key, wanted, settings), settings, through)


def _source(key: str, wanted: Destination, settings: Hop) -> str:
    """Where the name stands that is connected to."""
    return key if settings.host == wanted.host.lower() else f"HostName of {wanted.host} in ssh_config"
