"""What ssh_config says of a server: `ssh -G` is asked, so that a line means here what it means to ssh.

Where there is no ssh, the files are read by `config_file`.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from gpu_runbook.common import command
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.ssh import config_file
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.values import dataclass

SECONDS = 15.0  # for `ssh -G`, which runs what Match exec says and asks for names with CanonicalizeHostname
HINT = "correct the file; ssh reads it the same way: ssh -G"
USUAL = ("~/.ssh/config", "/etc/ssh/ssh_config")
KINDS = ("rsa", "dsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss")
USUAL_KEYS = frozenset(f"~/.ssh/id_{kind}" for kind in KINDS)

NOTHING = Path("/dev/null")  # as a file of known hosts it keeps none
LENIENT = {"no": "no", "off": "no", "false": "no", "accept-new": "accept-new"}  # ssh -G says false for no

Said = Mapping[str, Sequence[str]]  # what was said of a host: all values of each keyword, which is in lower case


@dataclass(frozen=True)
class Source:
    """Which files are read: `file` alone (fab -S), or the usual ones, or none at all."""

    file: Path | None = None
    usual: bool = True


@dataclass(frozen=True)
class Destination:
    """[user@]host[:port], or the same as ssh://; what is not said is None."""

    host: str
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class Hop:
    """What holds for one hop. `alias` is its HostKeyAlias; `named` is whether ssh_config names the identities.

    `agent` is a socket, None for no agent. `jumps` are the ProxyJump's destinations, the first to be connected to
    first, `proxy` is a ProxyCommand as a line for the shell; at most one of them is given. `keeps` is the file of
    known hosts that takes new ones; `lenient` is a StrictHostKeyChecking that would take unknown keys, `by_dns` whether
    VerifyHostKeyDNS would. Of the algorithms nothing means all, `family` is inet, inet6 or any, `bind` is BindAddress,
    `pkcs11` PKCS11Provider.
    """

    host: str
    port: int
    user: str
    alias: str = ""
    identities: tuple[Path, ...] = ()
    named: bool = False
    identities_only: bool = False
    certificates: tuple[Path, ...] = ()
    agent: Path | None = None
    jumps: tuple[str, ...] = ()
    proxy: str = ""
    known_hosts: tuple[Path, ...] = ()
    keeps: Path | None = None
    known_hosts_command: str = ""
    lenient: str = ""
    by_dns: bool = False
    revoked: Path | None = None
    host_algorithms: tuple[str, ...] = ()
    authority_algorithms: tuple[str, ...] = ()
    login_algorithms: tuple[str, ...] = ()
    key_exchanges: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    family: str = "any"
    bind: str = ""
    pkcs11: str = ""


def destination(server: str, text: str) -> Destination:
    """What a gateway's or a server's name says. Raises BadInput."""
    uri = text.startswith("ssh://")
    user, _, place = text.removeprefix("ssh://").rstrip("/").rpartition("@")
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", place)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
    elif place.count(":") == 1:
        host, port = place.split(":")
    else:
        host, port = place, None  # a name, or an IPv6 address
    if port is not None and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 1 << 16):
        raise BadInput(f"{server}: {quoted(text)} names no port from 1 to 65535", "[user@]host[:port] is expected")
    if not host or host.startswith("-"):
        raise BadInput(f"{server}: {quoted(text)} names no host", "[user@]host[:port] is expected")
    return Destination(host, (unquote(user) if uri else user) or None, int(port) if port else None)


class SshConfig:
    """The reader of one command: asks once for each host, user and port, from whichever thread."""

    def __init__(self, source: Source | None = None) -> None:
        self._source = source or Source()
        self._asked: dict[Destination, Hop] = {}
        self._locks: dict[Destination, threading.Lock] = {}

    def of(self, server: str, asked: Destination) -> Hop:
        """What holds for a host; the user and port given win, and a Match sees them. Raises BadInput."""
        with self._locks.setdefault(asked, threading.Lock()):
            if asked not in self._asked:
                self._asked[asked] = self._read(server, asked)
            return self._asked[asked]

    def _read(self, server: str, asked: Destination) -> Hop:
        source = self._source
        files = [source.file] if source.file else [Path(name).expanduser() for name in USUAL if source.usual]
        for file in files:
            _readable(file, needed=file == source.file)
        reading = _Reading(server, asked, tuple(files))
        ssh = shutil.which("ssh")
        if ssh and _entry():
            return _settings(reading, _ask(ssh, server, asked, source))
        return _settings(reading, config_file.lookup(files, asked.host, asked.user, asked.port))


@dataclass(frozen=True)
class _Reading:
    """What is asked of which files, for which server."""

    server: str
    asked: Destination
    files: tuple[Path, ...]

    def refused(self, value: str, why: str, hint: str = "") -> BadInput:
        """The error for a value, with the line where it stands."""
        place = config_file.place_of(self.files, value)
        return BadInput(f"{self.server}: {place} says {quoted(value)}, {why}", hint or f"{HINT} {self.asked.host}")


def _readable(file: Path, needed: bool) -> None:
    """Raises BadInput: ssh itself passes silently over its usual files where it cannot read them."""
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        if needed or not isinstance(error, FileNotFoundError):
            hint = "name another with fab -S" if needed else "make it readable for you"
            raise BadInput(f"the ssh_config {file} cannot be read: {error.strerror}", hint) from error


def _ask(ssh: str, server: str, asked: Destination, source: Source, options: tuple[str, ...] = ()) -> Said:
    """What `ssh -G` says. Raises BadInput with what it complains of."""
    user = ("-l", asked.user) if asked.user else ()
    port = ("-p", str(asked.port)) if asked.port else ()
    with _files_for(source) as (flags, descriptor):
        argv = (ssh, "-G", "-T", *flags, *options, *user, *port, "--", asked.host)
        ended = command.run(argv, SECONDS, stdin=descriptor, errors="surrogateescape")
    if ended.status is None:
        raise BadInput(
            f"{server}: ssh -G {asked.host} gave no answer within {SECONDS:g} s",
            "does a Match exec or a CanonicalizeHostname of ssh_config wait for something?",
        )
    if "jumphost loop" in ended.err and not options:  # a gateway is not reached through itself
        return _ask(ssh, server, asked, source, ("-o", "ProxyJump=none"))
    if not ended.ok:
        lines = [line for line in ended.err.splitlines() if ": terminating, " not in line]
        complaint = quoted("; ".join(lines) or f"ssh -G ended with status {ended.status}")
        own = f" -F {shlex.quote(str(source.file))}" if source.file else ""
        hint = f"{HINT}{own} {shlex.quote(asked.host)}"
        raise BadInput(f"{server}: ssh does not take what ssh_config says: {complaint}", hint)
    said: dict[str, list[str]] = {}
    for line in ended.out.splitlines():
        keyword, _, value = line.partition(" ")
        said.setdefault(keyword.lower(), []).append(value.strip())
    return said


@contextmanager
def _files_for(source: Source) -> Iterator[tuple[tuple[str, ...], int]]:
    """The flags that make ssh read these files, and the descriptor of its standard input."""
    if source.file or not source.usual:
        yield ("-F", str(source.file.absolute()) if source.file else "none"), subprocess.DEVNULL
    elif Path.home() == _home():
        yield (), subprocess.DEVNULL
    else:  # ssh takes the home of /etc/passwd for ~, everything else on a laptop takes $HOME
        reading, writing = os.pipe()
        try:
            with os.fdopen(writing, "w") as file:
                file.writelines(f'Include "{Path(name).expanduser()}"\n' for name in USUAL)
            yield ("-F", "/dev/stdin"), reading
        finally:
            os.close(reading)


def _home() -> Path:
    entry = _entry()
    return Path(entry.pw_dir) if entry else Path.home()


def _entry() -> pwd.struct_passwd | None:
    """That of /etc/passwd; for a user without one, as in a container, ssh does nothing."""
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError:
        return None


def _settings(reading: _Reading, said: Said) -> Hop:
    """Raises BadInput where a value is none, or names what nobody knows."""
    asked = reading.asked

    def first(keyword: str, otherwise: str = "") -> str:
        value = next(iter(said.get(keyword, ())), otherwise)
        return "" if value.lower() == "none" else value

    host, alias = first("hostname", asked.host), first("hostkeyalias")
    tokens = _tokens(host, alias, asked, first("proxyjump"))
    user = _expanded(reading, first("user"), tokens)
    port = first("port", "22")
    if not port.isdecimal():
        raise reading.refused(port, "which is no port")
    if first("proxyusefdpass") == "yes":
        raise reading.refused("ProxyUseFdpass", "which only ssh itself can do", "leave it out for this server")
    tokens |= {"p": port, "r": user}
    tokens["C"] = hashlib.sha1("".join(tokens[one] for one in "lhprj").encode(), usedforsecurity=False).hexdigest()

    def paths(values: Sequence[str]) -> tuple[Path, ...]:
        return tuple(_path(reading, value, tokens) for value in values if value.lower() != "none")

    def names(keyword: str) -> tuple[str, ...]:
        return tuple(filter(None, first(keyword).split(",")))

    identities = said.get("identityfile", ())
    own = tuple(map(_own_home, paths(_words(first("userknownhostsfile")))))
    return Hop(
        host=host.lower(),
        port=int(port),
        user=user,
        alias=alias.lower(),
        identities=paths(identities),
        named=not set(identities) <= USUAL_KEYS,
        identities_only=first("identitiesonly") == "yes",
        certificates=paths(said.get("certificatefile", ())),
        agent=_agent(reading, next(iter(said.get("identityagent", ())), "SSH_AUTH_SOCK"), tokens),
        jumps=tuple(_expanded(reading, hop.strip(), tokens) for hop in first("proxyjump").split(",") if hop.strip()),
        proxy=_expanded(reading, first("proxycommand"), tokens, variables=False),
        known_hosts=(*own, *paths(_words(first("globalknownhostsfile")))),
        keeps=next((file for file in own if file != NOTHING), None),
        known_hosts_command=first("knownhostscommand"),
        lenient=LENIENT.get(first("stricthostkeychecking"), ""),
        by_dns=first("verifyhostkeydns") in ("yes", "true"),
        revoked=next(iter(paths(said.get("revokedhostkeys", ()))), None),
        host_algorithms=names("hostkeyalgorithms"),
        authority_algorithms=names("casignaturealgorithms"),
        login_algorithms=names("pubkeyacceptedalgorithms") or names("pubkeyacceptedkeytypes"),  # before OpenSSH 8.5
        key_exchanges=names("kexalgorithms"),
        ciphers=names("ciphers"),
        macs=names("macs"),
        family=first("addressfamily", "any"),
        bind=first("bindaddress"),
        pkcs11=first("pkcs11provider"),
    )


def _tokens(host: str, alias: str, asked: Destination, jump: str) -> dict[str, str]:
    """What stands for %x in ssh_config, but for those that are known last."""
    here = socket.gethostname()
    entry = _entry()
    local = entry.pw_name if entry else str(os.getuid())
    return {
        "%": "%",
        "d": str(Path.home()),
        "h": host,
        "i": str(os.getuid()),
        "j": jump,
        "k": alias or host,
        "l": here,
        "L": here.partition(".")[0],
        "n": asked.host,
        "u": local,
    }


def _expanded(reading: _Reading, text: str, tokens: Mapping[str, str], variables: bool = True) -> str:
    """The text with %x and ${VARIABLE} replaced. Raises BadInput for one that is not known."""

    def value(found: re.Match[str]) -> str:
        known = os.environ.get(found[2]) if found[2] else tokens.get(found[1])
        if known is None:
            what = "the environment does not have" if found[2] else "ssh does not know there"
            raise reading.refused(text, f"with {quoted(found[0])}, which {what}")
        return known

    return re.sub(r"%(.?)|\$\{([^}]*)\}" if variables else "%(.?)()", value, text)


def _path(reading: _Reading, text: str, tokens: Mapping[str, str]) -> Path:
    path = Path(_expanded(reading, text, tokens))
    try:
        return path.expanduser()
    except RuntimeError:
        raise reading.refused(text, "a home that nobody has") from None


def _agent(reading: _Reading, said: str, tokens: Mapping[str, str]) -> Path | None:
    """The socket that IdentityAgent names: a path, a variable, the usual variable, or none."""
    if said.lower() == "none":
        return None
    variable = said if said == "SSH_AUTH_SOCK" else said[1:] if re.fullmatch(r"\$\w+", said) else ""
    value = os.environ.get(variable) if variable else said
    return _path(reading, value, {} if variable else tokens) if value else None


def _words(said: str) -> list[str]:
    """The paths of a line that `ssh -G` prints without its quotes: a path with blanks goes on where none begins."""
    paths: list[str] = []
    for word in said.split(" "):
        if paths and not word.startswith(("/", "~", "%", "$")):
            paths[-1] += f" {word}"
        else:
            paths.append(word)
    return [path for path in paths if path]


def _own_home(path: Path) -> Path:
    """`ssh -G` expands ~ in these by /etc/passwd."""
    usual = _home() / ".ssh"
    own = path.parent == usual and path.name in ("known_hosts", "known_hosts2")
    return Path.home() / ".ssh" / path.name if own else path
