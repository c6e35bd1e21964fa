"""Fabric's connection with what it leaves open closed: host keys, Nagle, deadlines, and the order of gateways."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from fabric import Config, Connection
from fabric.connection import derive_shorthand
from paramiko import Channel, ChannelException, SSHConfig, SSHException, Transport
from paramiko.ssh_exception import IncompatiblePeer

from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.laptop.ssh.auth import Credentials, Login
from gpu_runbook.laptop.ssh.host_keys import DEFAULT_FILES, KnownHosts, known_name, preferred
from gpu_runbook.laptop.ssh.sockets import Piped, dial
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.values import dataclass

SAID = 200  # characters of what the other side says
KEEPALIVE = 15  # seconds between the packets that keep firewalls open and let the kernel find a dead peer
HEEDED = {"hostname", "user", "port", "proxyjump", "proxycommand", "identityfile"}  # of what ssh_config can say


@dataclass(frozen=True)
class Terms:
    """What holds for a server and every gateway on the way to it. `seconds` bounds each stage of connecting."""

    server: str
    ssh_config: SSHConfig
    credentials: Credentials
    known_hosts: Path | None
    seconds: float


class StrictConnection(Connection):  # type: ignore[misc]
    """One hop. `gateway` is the connection or the ProxyCommand it goes through, False for none."""

    def __init__(self, terms: Terms, label: str, destination: str, user: str | None, port: int | None, gateway: Any):
        # Invoke's contexts take an ordinary assignment for configuration.
        self._set(_terms=terms, _label=label)
        config = Config(ssh_config=terms.ssh_config, lazy=True)
        super().__init__(destination, user=user, port=port, gateway=gateway, config=config)
        files = DEFAULT_FILES if terms.known_hosts is None else (terms.known_hosts,)
        name = known_name(self.host, self.port)
        self._set(_known_hosts=KnownHosts(label, files, name))
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
                auth_strategy=Login(self._label, self.user, self._credentials(), seconds),
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
            return dial(self.host, self.port, self._terms.seconds)
        if isinstance(self.gateway, str):
            return Piped(self.gateway)
        self.gateway.open()
        channel: Channel = self.gateway.transport.open_channel("direct-tcpip", (self.host, self.port), ("", 0))
        return channel

    def _made_transport(self, sock: Any, **options: Any) -> Transport:
        transport = Transport(sock, **options)
        transport.handshake_timeout = self._terms.seconds
        transport.clear_to_send_timeout = self._terms.seconds
        security = transport.get_security_options()
        security.key_types = preferred(security.key_types, self._known_hosts.known)
        return transport

    def _credentials(self) -> Credentials:
        """The keys of the terms, and those that ssh_config names for this hop and that exist."""
        given: Credentials = self._terms.credentials
        files = [Path(name).expanduser() for name in self.ssh_config.get("identityfile", ())]
        named = tuple(file for file in files if file.is_file())
        search = given.search and self.ssh_config.get("identitiesonly", "no") != "yes"
        return replace(given, keys=given.keys + named, search=search)

    def _explained(self, error: BaseException) -> CannotConnect:
        """What a failure to connect means, in a sentence."""
        place = f"{self.host} port {self.port}"
        if isinstance(error, socket.gaierror | UnicodeError):
            return CannotConnect(f"{self._label}: the name {self.host} is not known", "check address: in hosts.yaml")
        if isinstance(error, ConnectionRefusedError):
            return CannotConnect(f"{self._label}: {place} refuses connections", "is sshd running there, on this port?")
        if isinstance(error, ChannelException):
            return CannotConnect(f"{self._label}: its gateway {self.gateway.host} cannot reach {place}")
        if isinstance(error, IncompatiblePeer):
            return CannotConnect(
                f"{self._label}: {place} and this paramiko share no algorithm ({quoted(str(error), SAID)})"
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


def route(
    terms: Terms,
    destination: str,
    *,
    user: str | None = None,
    port: int | None = None,
    gateway: str | None = None,
    before: tuple[str, ...] = (),
) -> StrictConnection:
    """The connection to a destination by way of its gateways: those given, else those that ssh_config names.

    Several gateways are separated by commas, the first to be connected to first; "none" is none. `before` are the
    destinations that this one is on the way to: a gateway is not reached through what lies behind it.
    """
    settings = _settings(terms.ssh_config, derive_shorthand(destination)["host"], user, port)
    hops = gateway or settings.get("proxyjump", "none")
    command = settings.get("proxycommand", "none")
    through: Any = False
    if hops.lower() != "none":
        behind = (*before, destination)
        names = [name.strip() for name in hops.split(",") if name.strip() not in behind]
        for name in names:
            through = _hop(terms, name, through) if through else route(terms, name, before=behind)
    elif command.lower() != "none":
        through = command
    label = terms.server if not before else f"{terms.server}: gateway {destination}"
    return StrictConnection(terms, label, destination, user, port, through)


def _settings(ssh_config: SSHConfig, host: str, user: str | None, port: int | None) -> Mapping[str, str]:
    """What ssh_config says of a host, when user and port are given as by `ssh -l -p`: a ProxyCommand may name them."""
    given = {"User": user, "Port": port}
    lines = [f"Host {host}", *(f"{key} {value}" for key, value in given.items() if value is not None)]
    whole: Any = SSHConfig.from_text("\n".join(lines))
    whole._config += cast(Any, ssh_config)._config  # the first to say something is heeded
    settings: Mapping[str, str] = whole.lookup(host)
    return settings


def _hop(terms: Terms, name: str, through: StrictConnection) -> StrictConnection:
    return StrictConnection(terms, f"{terms.server}: gateway {name}", name, None, None, through)


def unread_includes(ssh_config: SSHConfig, alias: str) -> tuple[Path, ...]:
    """Files that ssh_config includes, that paramiko does not read, and that say something about this server."""
    pattern = ssh_config.lookup(alias).get("include")
    if not pattern:
        return ()
    folders = (Path("~/.ssh").expanduser(), Path("/etc/ssh"))
    words = [Path(word).expanduser() for word in pattern.split()]
    files = {file for word in words for folder in folders for file in _matching(folder / word)}
    return tuple(file for file in sorted(files) if _speaks_of(file, alias))


def _matching(pattern: Path) -> Iterator[Path]:
    return Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))


def _speaks_of(file: Path, alias: str) -> bool:
    said = SSHConfig.from_path(str(file)).lookup(alias)
    return bool(HEEDED & set(said) - {"hostname"}) or said.get("hostname", alias) != alias
