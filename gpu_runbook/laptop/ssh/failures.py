"""What a failure to connect means: in which place, by whose doing, and what helps."""

from __future__ import annotations

import errno
import socket

from paramiko import ChannelException, SSHException
from paramiko.ssh_exception import IncompatiblePeer

from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.laptop.ssh.algorithms import Particular
from gpu_runbook.laptop.ssh.sockets import Piped
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.values import dataclass

SAID = 200  # characters of what the other side says
PROHIBITED = 1  # the code of a channel that a gateway's sshd does not open to anybody
NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)
ONLINE = "is this laptop online, and the VPN that it needs up?"


@dataclass(frozen=True)
class Attempt:
    """What is connected to. `label` begins each sentence, `source` is where its name stands, `gateway` the one before.

    `seconds` is how long each stage may take, `bind` the BindAddress.
    """

    label: str
    host: str
    port: int
    source: str
    seconds: float
    family: str = "any"
    gateway: str = ""
    bind: str = ""

    @property
    def place(self) -> str:
        by_way = f" by way of its gateway {self.gateway}" if self.gateway else ""
        return f"{self.host} port {self.port}{by_way}"


def explained(attempt: Attempt, error: BaseException, negotiated: Particular | None) -> CannotConnect:
    """The error for whatever connecting has raised; `negotiated` is how far the two sides came."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return _unknown_name(attempt, error)
    if isinstance(error, ChannelException):
        return _not_forwarded(attempt, error)
    if isinstance(error, ConnectionRefusedError):
        return CannotConnect(
            f"{attempt.label}: {attempt.place} refuses connections", "is sshd running there, on this port?"
        )
    if isinstance(error, IncompatiblePeer) and negotiated:
        difference, hint = negotiated.difference()
        return CannotConnect(f"{attempt.label}: {attempt.place} and this laptop share no algorithm: {difference}", hint)
    if isinstance(error, TimeoutError) or "No existing session" in str(error) or "Timeout" in str(error):
        return CannotConnect(
            f"{attempt.label}: no answer from {attempt.place} within {attempt.seconds:g} s",
            "is the server up, and does a firewall let SSH through?",
        )
    if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL and attempt.bind:
        return CannotConnect(
            f"{attempt.label}: BindAddress {attempt.bind} of ssh_config is no address of this laptop", ONLINE
        )
    if isinstance(error, OSError) and error.errno in NO_WAY:
        return CannotConnect(
            f"{attempt.label}: there is no way to {attempt.place}: {quoted(error.strerror or '')}", ONLINE
        )
    if isinstance(error, SSHException) and "banner" in str(error):
        return CannotConnect(
            f"{attempt.label}: {attempt.place} does not greet as an SSH server",
            "is the port right? an sshd that is overloaded, or bans this address, hangs up at once too",
        )
    if isinstance(error, EOFError | ConnectionResetError | BrokenPipeError):
        return CannotConnect(
            f"{attempt.label}: {attempt.place} closed the connection before the login", "the log of its sshd says why"
        )
    return CannotConnect(
        f"{attempt.label}: connecting to {attempt.place} failed: {quoted(str(error), SAID)}",
        "ssh -v tells more of what is said",
    )


def of_proxy(attempt: Attempt, proxy: Piped) -> CannotConnect:
    """The error for a ProxyCommand that has led to no SSH server: how it ended, and what it said of it."""
    status, said = proxy.ended()
    if status is None:
        what = f"shows no SSH server within {attempt.seconds:g} s"
    elif status:
        what = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
    else:
        what = "leads to no SSH server"
    words = f": {quoted(said, SAID)}" if said else ""
    return CannotConnect(
        f"{attempt.label}: the ProxyCommand {quoted(proxy.command, SAID)} of ssh_config {what}{words}",
        "run it by itself: it has to show a line that begins with SSH-2.0",
    )


def _unknown_name(attempt: Attempt, error: BaseException) -> CannotConnect:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return CannotConnect(f"{attempt.label}: no name server has answered for {attempt.host}", ONLINE)
    if attempt.family != "any":
        return CannotConnect(
            f"{attempt.label}: {attempt.host} has no address of the family {attempt.family}",
            f"check AddressFamily in ssh_config, and {attempt.source}",
        )
    return CannotConnect(
        f"{attempt.label}: the name {attempt.host} is not known", f"check {attempt.source}; is a VPN needed for it?"
    )


def _not_forwarded(attempt: Attempt, error: ChannelException) -> CannotConnect:
    """A gateway that has let nobody through, or did not get through itself."""
    target = f"{attempt.host} port {attempt.port}"
    if error.code == PROHIBITED:
        return CannotConnect(
            f"{attempt.label}: its gateway {attempt.gateway} lets nobody through to {target}",
            "check the gateway's sshd_config (AllowTcpForwarding, DisableForwarding, PermitOpen), and what stands "
            "before the key in its authorized_keys (restrict, permitopen)",
        )
    return CannotConnect(
        f"{attempt.label}: its gateway {attempt.gateway} cannot reach {target}: {quoted(error.text, SAID)}",
        f"is its sshd running, and is {attempt.source} what the gateway calls it?",
    )
