"""The keys of a service that are docker's own options: how each is read, and what docker is given for all of them.

What would make a container as good as root on the server is refused, unless hosts.yaml says that it is meant.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from gpu_runbook.laptop.inventory import docker_flags, fields
from gpu_runbook.laptop.inventory.fields import Reads, text
from gpu_runbook.laptop.inventory.strict import Strict, about
from gpu_runbook.protocol.values import dataclass, field

# As `server.exposed.reach` knows them: each is enough to become root on the server.
CAPABILITIES = {"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "SYS_BOOT"}
_DEVICES = r"/dev/(mem|kmem|port|disk/.+|mapper/.+|(sd|hd|vd|xvd|nvme|dm-|loop|md|mmcblk|nbd)[\w/-]*)"
_ROTATED = ("json-file", "local")  # the log drivers whose files have a size
_ROTATION = ("max-size", "max-file")
_PORT = r"(\d{1,5})(?:-(\d{1,5}))?"
_PORTS = rf"(?:(\d[\d.]+|\[[\da-fA-F:.]+\]):)?{_PORT}:{_PORT}(?:/(tcp|udp|sctp))?"


def _port(value: Any) -> str:
    """`[address:]port:port[/udp]`, or ranges that are as long."""
    found = re.fullmatch(_PORTS, value, re.ASCII) if isinstance(value, str) else None
    if not found or (found[1] and not _is_address(found[1].strip("[]"))):
        raise ValueError(
            "[address:]port of the server:port of the container is expected, such as 8080:80, 127.0.0.1:8080:80/tcp or "
            "6000-6005:6000-6005"
        )
    first, last, inner, end = (int(part or 0) for part in found.groups()[1:5])
    if not all(0 < port < 1 << 16 for port in (first, last or first, inner, end or inner)):
        raise ValueError("a port from 1 to 65535 is expected")
    if (last or first) - first != (end or inner) - inner or (last and last < first):
        raise ValueError("the ports of the server are not as many as those of the container")
    return str(value)


def share_a_port(one: str, other: str) -> bool:
    """Whether two of `ports:` take the same port of the server; without an address it is that of every one."""
    (mine, first, last, kind), (theirs, begin, end, protocol) = (_taken(port) for port in (one, other))
    return kind == protocol and (mine == theirs or not mine or not theirs) and first <= end and begin <= last


def _taken(port: str) -> tuple[str, int, int, str]:
    address, first, last, _, _, kind = re.fullmatch(_PORTS, port, re.ASCII).groups()  # type: ignore[union-attr]
    return address or "", int(first), int(last or first), kind or "tcp"


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _host_address(value: Any) -> str:
    if isinstance(value, str) and (value == "host-gateway" or _is_address(value)):
        return value
    raise ValueError("an IP address is expected, or host-gateway for the server itself")


def _limit(value: Any) -> str:
    """`soft[:hard]`, as docker has it; -1 is no limit."""
    given = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    found = re.fullmatch(r"(-1|\d{1,19})(?::(-1|\d{1,19}))?", given, re.ASCII)
    if not found:
        raise ValueError("a limit is expected, such as 65536, 1024:65536 (soft:hard), or -1 for none")
    if found[2] and found[2] != "-1" and (found[1] == "-1" or int(found[1]) > int(found[2])):
        raise ValueError(f"the soft limit ({found[1]}) is above the hard one ({found[2]})")
    return given


def _words(value: Any) -> tuple[str, ...]:
    words = value if isinstance(value, list) else [value]
    if not words or not all(isinstance(one, str) and re.fullmatch(r"[^\x00]{1,1000}", one) for one in words):
        raise ValueError("a program is expected, or a list of it and its first arguments")
    if re.search(r"[\x00-\x1f\x7f]", words[0]):
        raise ValueError("the name of a program is one line")
    return tuple(words)


def _group(value: Any) -> str:
    if type(value) is int and 0 <= value < (1 << 32) - 1:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.-]{0,31}|\d{1,10}", value, re.ASCII):
        return value
    raise ValueError("a group is expected, by name or number")


def _log_driver(value: Any) -> str:
    if value == "none":
        raise ValueError("none is not to be had: a watch reads the log, and so does whoever asks why it failed")
    return str(_DRIVER.parse(value))


_DRIVER = text(r"[a-z0-9][\w./:-]{0,200}", "the name of a log driver, such as local or journald,")
_ULIMITS = "core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack"
_DEVICE = r"/dev(/[\w.@+-]+)+(:/dev(/[\w.@+-]+)+)?(:(?=[rwm])r?w?m?)?"

Port = Annotated[str, Reads(_port, {"type": "string"}, "[address:]port:port[/udp]")]
HostName = Annotated[str, text(r"[A-Za-z0-9_][\w.-]{0,252}", "a host name")]
HostAddress = Annotated[str, Reads(_host_address, {"type": "string"}, "an IP address or `host-gateway`")]
Ulimit = Annotated[str, text(_ULIMITS, f"one of {_ULIMITS.replace('|', ', ')}")]
Limit = Annotated[str, Reads(_limit, {"type": ["integer", "string"]}, "soft[:hard], -1 for none")]
Words = Annotated[
    tuple[str, ...],
    Reads(
        _words,
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
        "a program, or a list of it and its first arguments",
    ),
]
Device = Annotated[str, text(_DEVICE, "a device of the server such as /dev/fuse, or /dev/video0:/dev/video1:rw,")]
Tmpfs = Annotated[str, text(r"(/[\w.@+-]+)+(:[\w=,.%-]+)?", "a path in the container, or path:size=1g,mode=1777,")]
Capability = Annotated[str, text(r"(CAP_)?[A-Z][A-Z_]{1,40}", "a capability such as NET_ADMIN")]
SecurityOption = Annotated[
    str, text(r"no-new-privileges|[a-z-]{2,40}[=:][\w.@/:,+-]{1,200}", "an option such as no-new-privileges")
]
Group = Annotated[str, Reads(_group, {"type": ["integer", "string"]}, "a group, by name or number")]
LogDriver = Annotated[str, Reads(_log_driver, _DRIVER.schema, "the name of a log driver, not `none`")]


@dataclass(frozen=True, kw_only=True)
class ContainerKeys(Strict):
    """Docker's own options of a service's container."""

    entrypoint: Words = field(
        default=(), metadata=about("Instead of the image's own; the image's command is not used then.")
    )
    working_dir: fields.AbsolutePath | None = field(default=None, metadata=about("Where it works inside."))
    init: bool = field(default=False, metadata=about("A process above it that ends what it has left behind."))
    shm_size: fields.Memory = field(
        default="", metadata=about("Shared memory, such as 8g; docker has 64m, which is too little for loader workers.")
    )
    ipc: Literal["host", "private", "shareable", "none"] | None = field(
        default=None, metadata=about("host has the server's shared memory; what shares it can read that.")
    )
    ulimits: dict[Ulimit, Limit] = field(
        default_factory=dict, metadata=about("Limits of its processes, each soft[:hard].")
    )
    cpus: Annotated[float, fields.number(0.01, 4096)] | None = field(
        default=None, metadata=about("How many CPUs it may use, such as 1.5.")
    )
    ports: tuple[Port, ...] = field(default=(), metadata=about("Ports of the server that lead to it."))
    extra_hosts: dict[HostName, HostAddress] = field(
        default_factory=dict, metadata=about("Names that it knows beside those of DNS.")
    )
    devices: tuple[Device, ...] = field(default=(), metadata=about("Devices of the server, source[:target[:rwm]]."))
    tmpfs: tuple[Tmpfs, ...] = field(default=(), metadata=about("Folders in memory, path[:size=1g,mode=1777]."))
    group_add: tuple[Group, ...] = field(default=(), metadata=about("Groups that it is in besides."))
    cap_add: tuple[Capability, ...] = field(default=(), metadata=about("Capabilities that docker does not give."))
    security_opt: tuple[SecurityOption, ...] = field(default=(), metadata=about("As docker's --security-opt."))
    log_driver: LogDriver = field(default="", metadata=about("Instead of json-file; what is logged stays readable."))
    log_options: dict[fields.Key, docker_flags.Text] = field(
        default_factory=dict, metadata=about("Of the log driver, as docker's --log-opt.")
    )
    options: dict[docker_flags.Flag, docker_flags.Values] = field(
        default_factory=dict, metadata=about("Any other of docker's options, by its long name without the dashes.")
    )
    allow_privileged: bool = field(
        default=False, metadata=about("It may be as good as root on the server: privileged, SYS_ADMIN, a disk.")
    )

    def words(self, rotation: tuple[str, int] = ("10m", 3)) -> tuple[str, ...]:
        """Docker's own arguments, one `--option=value` each, in an order that the file's does not change.

        `rotation`: size and number of the files of a log, for a driver that has some.
        """
        one = {
            "entrypoint": self.entrypoint[0] if self.entrypoint else "",
            "workdir": self.working_dir or "",
            "init": "true" if self.init else "",
            "shm-size": self.shm_size,
            "ipc": self.ipc or "",
            "cpus": f"{self.cpus:.15g}" if self.cpus else "",
        }
        several = {
            "ulimit": [f"{name}={limit}" for name, limit in sorted(self.ulimits.items())],
            "publish": self.ports,
            "add-host": [f"{name}:{address}" for name, address in sorted(self.extra_hosts.items())],
            "device": self.devices,
            "tmpfs": self.tmpfs,
            "group-add": self.group_add,
            "cap-add": self.cap_add,
            "security-opt": self.security_opt,
            "log-driver": [self._driver] if self.log_driver or self.log_options else [],
            "log-opt": self._log_options(rotation),
            **dict(sorted(self.options.items())),
        }
        pairs = [(name, value) for name, value in one.items() if value]
        pairs += [(name, value) for name, values in several.items() for value in values]
        return tuple(f"--{name}={value}" for name, value in pairs)

    @property
    def _driver(self) -> str:
        return self.log_driver or _ROTATED[0]

    def _log_options(self, rotation: tuple[str, int]) -> list[str]:
        if not self.log_driver and not self.log_options:
            return []
        rotated = dict(zip(_ROTATION, map(str, rotation), strict=True)) if self._driver in _ROTATED else {}
        return [f"{name}={value}" for name, value in sorted((rotated | self.log_options).items())]

    def flaws(self, network: str, consumer: bool) -> Iterator[tuple[tuple[str, ...], str]]:
        """Where below the service something does not go together, and a sentence about it."""
        if self.ports and network.partition(":")[0] in ("host", "none", "container"):
            yield ("ports",), f"lead nowhere with network: {network}"
        if self.shm_size and self.ipc == "host":
            yield ("shm_size",), "is without effect with ipc: host, which has the server's shared memory"
        for name in self.log_options:
            if consumer and name in _ROTATION:
                yield ("log_options", name), "is said with log:"
            if name == "cache-disabled":
                yield ("log_options", name), "is not to be had: a watch could not read the log"
        for flag, values in self.options.items():
            is_said = len(values) == 1 and values[0] in ("true", "false")
            if flag in docker_flags.YES_OR_NO and not is_said:
                yield ("options", flag), "true or false is expected"
            if flag not in docker_flags.YES_OR_NO and any(value in ("true", "false") for value in values):
                yield ("options", flag), "a value is expected"
        if consumer and any(value.startswith("-") for value in self.options.get("oom-score-adj", ())):
            yield ("options", "oom-score-adj"), "below 0 a training would be killed before it where memory ends"
        if not self.allow_privileged:
            for place, power in self._powers():
                yield place, f"{power} makes it as good as root on the server; allow_privileged: true says it is meant"

    def _powers(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for index, name in enumerate(self.cap_add):
            if name.removeprefix("CAP_") in CAPABILITIES:
                yield ("cap_add", str(index)), name
        for index, device in enumerate(self.devices):
            if re.fullmatch(_DEVICES, device.partition(":")[0]):
                yield ("devices", str(index)), device.partition(":")[0]
        for index, option in enumerate(self.security_opt):
            if re.fullmatch("systempaths[=:]unconfined", option):
                yield ("security_opt", str(index)), option
        for flag in ("privileged", "pid", "userns", "device-cgroup-rule"):
            values = self.options.get(flag, ())
            if values and values != ("false",):
                yield ("options", flag), f"{flag}: {values[0]}"
