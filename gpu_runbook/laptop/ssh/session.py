"""A session with a server: one strict connection, and one channel of it for each call."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from fabric import Connection
from paramiko import Channel, ChannelException, Message, SSHException, Transport
from paramiko.common import cMSG_CHANNEL_REQUEST

from gpu_runbook.laptop.errors import BadInput, CannotConnect
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.ssh.config import Source, SshConfig
from gpu_runbook.laptop.ssh.connection import StrictConnection, Terms, route
from gpu_runbook.laptop.ssh.identities import Credentials
from gpu_runbook.laptop.ssh.key_ring import KeyRing
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.values import dataclass

BLOCK = 1 << 16  # bytes read at a time
COMPLAINT = 1 << 16  # bytes kept of what a command says on standard error

# Paramiko logs, with tracebacks, what it also raises, and Python prints a log that nobody handles.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Endpoint(Protocol):
    """What a session takes of a server's entry in hosts.yaml. `connect_timeout` bounds each stage in seconds."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int | None: ...
    @property
    def user(self) -> str | None: ...
    @property
    def key(self) -> Path | None: ...
    @property
    def known_hosts(self) -> Path | None: ...
    @property
    def gateway(self) -> str | None: ...
    @property
    def sudo(self) -> bool: ...
    @property
    def python(self) -> str: ...
    @property
    def connect_timeout(self) -> float: ...


@dataclass(frozen=True)
class SessionOptions:
    """What Fabric's own flags say about connecting; they win over hosts.yaml. `ssh_config` reads for all servers.

    `keys_by` is what has named the keys. `hidden` are spellings of secrets, to be covered in what a login shell or a
    failing program says. `complaint` makes a sentence about a key of the server's entry in hosts.yaml begin with its
    line.
    """

    keys: tuple[Path, ...] = ()
    keys_by: str = "fab -i"
    ring: KeyRing | None = None
    password: Secret | None = None
    connect_timeout: float | None = None
    ssh_config: SshConfig | None = None
    hidden: tuple[str, ...] = ()
    complaint: Callable[[str, str], str] = "hosts.yaml: {}: {}".format


@dataclasses.dataclass
class Facts:
    """How much of the network was used, and what came of it."""

    connections: int = 0
    channels: int = 0
    changes: int = 0  # what was changed there, and told


def options_from_context(context: Any) -> SessionOptions:
    """Fabric's flags -i, -t, -S, --prompt-for-passphrase and --prompt-for-login-password, out of a task's context."""
    given = context.config.connect_kwargs
    named = given.get("key_filename", ())
    password, passphrase = given.get("password"), given.get("passphrase")
    file = context.config._runtime_ssh_path or context.config.ssh_config_path
    typed = context.config._overrides.get("connect_kwargs", {}).get("key_filename")
    return SessionOptions(
        keys=tuple(map(Path, (named,) if isinstance(named, str) else named)),
        keys_by="fab -i" if typed else "connect_kwargs.key_filename of Fabric's settings",
        ring=KeyRing(Secret(passphrase) if passphrase else None),
        password=Secret(password) if password else None,
        connect_timeout=given.get("timeout"),
        ssh_config=SshConfig(Source(Path(file).expanduser() if file else None, bool(context.config.load_ssh_configs))),
    )


def host_from_context(context: Any) -> str | None:
    """The server that fab -H picked: Fabric then runs the task once for each, with a Connection for its context."""
    return context.original_host if isinstance(context, Connection) else None


class Session:
    """Opened by the first call and kept for the next ones; a connection that broke meanwhile is made anew.

    A session that was told to `begin` is opened in the background, while whoever wants to call makes ready.
    """

    def __init__(self, host: Endpoint, options: SessionOptions | None = None) -> None:
        self.host = host
        self.facts = Facts()
        self.notices: dict[str, None] = {}  # what the server said for a person to know, each once
        options = options or SessionOptions()
        ssh_config = options.ssh_config or SshConfig()
        ring = options.ring or KeyRing()
        self._options = replace(options, ssh_config=ssh_config, ring=ring)
        self.hidden = options.hidden
        keys = options.keys + ((host.key,) if host.key else ())
        self._terms = Terms(
            server=host.name,
            config=ssh_config,
            credentials=Credentials(ring, keys, options.password),
            known_hosts=host.known_hosts,
            seconds=options.connect_timeout or host.connect_timeout,
        )
        self._seconds = self._terms.seconds
        self._opening: _Opening | None = None
        self._made: StrictConnection | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def user(self) -> str:
        """Whom it logs in as."""
        return str(self._connection.user)

    def prepare(self) -> None:
        """Read the keys, ssh_config and known_hosts for server and gateways, unless that is done. Raises BadInput."""
        if self._made is None:
            host = self.host
            self._check_keys()
            self._made = route(self._terms, host.address, user=host.user, port=host.port, gateway=host.gateway)

    def _check_keys(self) -> None:
        """Those of the command line; where it names none, that of hosts.yaml. Raises BadInput."""
        options, host = self._options, self.host
        assert options.ring is not None  # noqa: S101  made with the session
        objection = options.ring.objection(options.keys or ((host.key,) if host.key else ()))
        if objection:
            sentence = f"{objection.path} {objection.problem}"
            named = f"{options.keys_by}: {sentence}" if options.keys else options.complaint("key", sentence)
            raise BadInput(named, objection.remedy)

    @property
    def _connection(self) -> StrictConnection:
        self.prepare()
        assert self._made is not None  # noqa: S101  made by the line above
        return self._made

    def anew(self, seconds: float) -> Session:
        """A session of its own with the same server, with at most so many seconds for each stage of connecting."""
        return Session(self.host, replace(self._options, connect_timeout=min(seconds, self._seconds)))

    def close(self) -> None:
        if self._opening:
            self._opening.wanted = False
        if self._made:
            self._made.close()

    def begin(self) -> None:
        """Start to connect. What becomes of it is said by `open`, or by the first call."""
        self._opening = _Opening(self)
        self._opening.start()

    def open(self) -> None:
        """Connect, unless that is done. Raises CannotConnect, and BadInput for what is read before."""
        if self._opening:
            opening, self._opening = self._opening, None
            opening.finish()
        elif not self._connection.is_connected:
            self.connect()
        else:
            return
        self.facts.connections += 1

    def connect(self) -> None:
        """The work of `open`, on whichever thread."""
        self._connection.open()
        self.notices |= self._terms.credentials.ring.exposed

    def call(self, command: str, data: bytes) -> Call:
        """Start a command on a channel of its own and write its standard input. Raises CannotConnect."""
        self.open()
        transport: Transport = self._connection.transport
        try:
            channel = transport.open_session()
        except ChannelException as error:
            raise CannotConnect(
                f"{self.host.name} opens no further channel ({quoted(error.text)})",
                "its sshd's MaxSessions may be reached",
            ) from error
        except (SSHException, EOFError, OSError) as error:
            self._connection.close()  # a connection that takes no channel is of no use to the next call either
            raise CannotConnect(f"{self.host.name} does not answer any more", "try again") from error
        self.facts.channels += 1
        channel.settimeout(self._seconds)
        return Call(transport, channel, command, data)


class _Opening(threading.Thread):
    """Connects in the background. A daemon: an interrupt does not have to wait for the server's answer."""

    def __init__(self, session: Session) -> None:
        super().__init__(daemon=True)
        self.wanted = True
        self._session = session
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._session.connect()
        except BaseException as error:  # raised where somebody waits for the connection
            self._failure = error
        if not self.wanted:
            self._session.close()

    def finish(self) -> None:
        """Wait for the connection. Raises CannotConnect."""
        self.join()
        if self._failure:
            raise self._failure


class Call:
    """One command on the server: what it is told is written at once, what it answers is read as it comes."""

    def __init__(self, transport: Transport, channel: Channel, command: str, data: bytes) -> None:
        self._channel = channel
        _execute(transport, channel, command)
        try:
            channel.sendall(data)
            channel.shutdown_write()
        except OSError:
            pass  # the command did not wait for the end of it; what it says instead is there to be read

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, seconds: float) -> bytes:
        """The next bytes of its standard output, empty at the end. Raises TimeoutError after `seconds` of silence."""
        self._channel.settimeout(seconds)
        return self._channel.recv(BLOCK)

    @property
    def broken(self) -> bool:
        """At the end of the output: whether the connection ended, and not the command."""
        return not self._channel.eof_received

    def status(self, seconds: float) -> int | None:
        """At the end of the output: the exit status; None for a command that was killed or does not end."""
        self._channel.status_event.wait(seconds)
        return self._channel.exit_status if self._channel.exit_status >= 0 else None

    def complaint(self, seconds: float) -> str:
        """At the end of the output: what the command has said on standard error, after so many seconds at most."""
        until = time.monotonic() + seconds
        said = b""
        try:
            while len(said) < COMPLAINT and (left := until - time.monotonic()) > 0:
                self._channel.settimeout(left)
                block = self._channel.recv_stderr(BLOCK)
                if not block:
                    break
                said += block
        except TimeoutError:
            pass  # it goes on: what it has said until now is what there is
        return said.decode("utf-8", "replace")

    def close(self) -> None:
        """End the call, whatever its state; the server's end notices, the session stays open for the next."""
        self._channel.close()


def _execute(transport: Transport, channel: Channel, command: str) -> None:
    """Ask for a command without waiting for a yes.

    Paramiko's own way waits a round trip, and sshd's small reply would hold the first output back for another one.
    A server that runs no commands at all is found out by its silence.
    """
    request = Message()
    request.add_byte(cMSG_CHANNEL_REQUEST)
    request.add_int(channel.remote_chanid)
    request.add_string("exec")
    request.add_boolean(False)
    request.add_string(command)
    transport._send_user_message(request)  # type: ignore[attr-defined]
