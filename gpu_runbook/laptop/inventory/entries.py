"""The entries of hosts.yaml as frozen values; each class is also the rule by which its entry is read.

Importing this costs nothing: pydantic reads the annotations only when a file is loaded. Times are in seconds.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from gpu_runbook.common.command_line import is_like
from gpu_runbook.laptop.inventory import fields
from gpu_runbook.laptop.inventory.container_keys import ContainerKeys
from gpu_runbook.laptop.inventory.strict import Strict, about
from gpu_runbook.protocol.plan import NO_CHECK
from gpu_runbook.protocol.values import dataclass, field

CHECKPOINT = "{checkpoint}"  # in the arguments of a run: the path of the file that it goes on from
OF_ROOT = "/var/lib/gpu-runbook"  # where the state is when everything is carried out as root


@dataclass(frozen=True, kw_only=True)
class EnvSource(Strict):
    """Where a server's variables and passwords are: in a file on the laptop, or in one on the server itself."""

    file: fields.LocalPath | None = field(default=None, metadata=about("A file on the laptop, relative to this file."))
    server: fields.AbsolutePath | None = field(
        default=None,
        metadata=about("A file on the server, outside of every mount, for its owner alone: root or the login."),
    )

    def __post_init__(self) -> None:
        if (self.file is None) == (self.server is None):
            raise ValueError("one key is expected, file: (on the laptop) or server: (on the server)")


@dataclass(frozen=True, kw_only=True)
class Host(Strict):
    """A server reached over SSH."""

    name: fields.Name
    address: fields.Address = field(metadata=about("Host name, address, or an alias of ssh_config."))
    port: fields.Port | None = field(default=None, metadata=about("SSH port; without it ssh_config decides, or 22."))
    user: fields.User | None = field(default=None, metadata=about("Login user; without it ssh_config decides."))
    key: fields.LocalPath | None = field(default=None, metadata=about("Private key, relative to this file."))
    known_hosts: fields.LocalPath | None = field(
        default=None, metadata=about("Accepted host keys, relative to this file.")
    )
    gateway: fields.Hops | None = field(
        default=None,
        metadata=about("Jump host: [user@]host[:port], or several; none: directly, whatever ssh_config says."),
    )
    sudo: bool = field(default=False, metadata=about("Carry everything out through sudo -n."))
    python: fields.Program = field(default="python3", metadata=about("Python 3.8 or newer on the server."))
    groups: tuple[fields.Name, ...] = field(default=(), metadata=about("Names that select several servers at once."))
    root: fields.AbsolutePath = field(metadata=about("Root of the data on the server."))
    state: fields.AbsolutePath | None = field(
        default=None,
        metadata=about(
            "Holds what is written down of deploys, outside of every mount; below the login's home without it."
        ),
    )
    gpus: Annotated[int, fields.whole(0, 64)] = field(default=0, metadata=about("GPUs the server must have."))
    env: EnvSource = field(
        default=EnvSource(file=Path(".env")),
        metadata=about("Where variables and passwords are; without it in .env beside this file."),
    )
    docker_host: fields.Socket | None = field(default=None, metadata=about("Another engine's unix:// socket."))
    connect_timeout: Annotated[float, fields.duration(1, 300)] = field(
        default=10, metadata=about("Seconds until connecting is given up.")
    )

    @property
    def place(self) -> tuple[str, str]:
        """Its root, and where its state is, empty for the home of the login user."""
        return self.root, self.state or (OF_ROOT if self.sudo else "")


@dataclass(frozen=True, kw_only=True)
class Registry(Strict):
    """Where images come from. The password is REGISTRY_PASSWORD in .env."""

    server: fields.RegistryServer = field(metadata=about("Put in front of every image's name."))
    username: Annotated[str, fields.text(r"[^\s:\x00-\x1f\x7f]{1,255}", "a user name")] | None = field(
        default=None, metadata=about("Who pulls; without it the registry asks for no login.")
    )


@dataclass(frozen=True, kw_only=True)
class Config(Strict):
    """The configuration file that is rendered on the laptop and put on the server."""

    template: fields.LocalPath = field(metadata=about("A jinja2 template, relative to this file and below its folder."))
    path: fields.AbsolutePath = field(metadata=about("Where it goes on the server; below one of the mounts."))
    owner: fields.Owner = field(default="", metadata=about('"uid:gid"; the login user without it.'))
    mode: fields.Mode = field(default=0o600, metadata=about("File mode; nothing for others."))
    model_key: fields.KeyPath | None = field(
        default=None, metadata=about("The key that names the model, keys joined by dots; fab models.use changes it.")
    )


@dataclass(frozen=True, kw_only=True)
class EnvFileEntry(Strict):
    """A file of variables that a service reads on the server; fab env.push writes it from .env."""

    path: fields.AbsolutePath = field(metadata=about("The file on the server; below one of the mounts."))
    variables: tuple[fields.Variable, ...] = field(metadata=about("Names out of .env."))
    owner: fields.Owner = field(default="", metadata=about('"uid:gid"; the login user without it.'))
    mode: fields.Mode = field(default=0o600, metadata=about("File mode; nothing for others."))


@dataclass(frozen=True, kw_only=True)
class Offset(Strict):
    """The file in which a consumer keeps its position."""

    file: fields.AbsolutePath = field(metadata=about("The file on the server; below one of the mounts."))
    key: fields.Key = field(default="offset", metadata=about("The key in it."))
    means: Literal["next", "last"] = field(default="next", metadata=about("Next offset to read, or last one handled."))
    saved_every: Annotated[int, fields.whole(1, 1_000_000)] = field(
        default=1, metadata=about("So many messages may pass before it is saved; they are no backlog.")
    )


@dataclass(frozen=True, kw_only=True)
class Tls(Strict):
    """How the broker proves who it is."""

    ca: fields.AbsolutePath | None = field(
        default=None,
        metadata=about("A file on the server with the CA's certificate; without it, those that the server trusts."),
    )


@dataclass(frozen=True, kw_only=True)
class Stream(Strict):
    """The RabbitMQ stream a consumer reads. Where it is and who may ask it stand in .env, under these names."""

    name: fields.Stream = field(metadata=about("The stream's name at the broker."))
    vhost: fields.VirtualHost = field(default="/", metadata=about("The broker's virtual host."))
    host_variable: fields.Variable = field(default="RABBITMQ_HOST", metadata=about("Where the broker is."))
    port_variable: fields.Variable = field(
        default="RABBITMQ_PORT", metadata=about("The port of its stream plugin, mostly 5552.")
    )
    user_variable: fields.Variable = field(
        default="RABBITMQ_MONITOR_USER", metadata=about("Who may read the stream, and nothing else.")
    )
    password_variable: fields.Variable = field(
        default="RABBITMQ_MONITOR_PASSWORD", metadata=about("That user's password; set with the user, or not at all.")
    )
    tls: Tls | None = field(
        default=None,
        metadata=about("Whether that port speaks TLS: true, or whose certificates are trusted there."),
    )


@dataclass(frozen=True, kw_only=True)
class Log(Strict):
    """Rotation of a container's log."""

    size: fields.LogSize = field(default="10m", metadata=about("Of one file; then the next one begins."))
    files: Annotated[int, fields.whole(1, 100)] = field(default=3, metadata=about("How many are kept."))


@dataclass(frozen=True, kw_only=True)
class LogKeys(Strict):
    """Under which keys its JSON lines say what of themselves."""

    level: fields.LogKey | None = field(
        default=None, metadata=about("Of its level; without it level, levelname, severity, log.level, lvl or @l.")
    )
    message: fields.LogKey | None = field(
        default=None, metadata=about("Of its message; without it message, msg, event, @m or @mt.")
    )
    time: fields.LogKey | None = field(
        default=None, metadata=about("Of its time; without it timestamp, time, ts, @timestamp, asctime or @t.")
    )


@dataclass(frozen=True, kw_only=True)
class WatchEntry(Strict):
    """How a new release proves itself."""

    settle: Annotated[float, fields.duration(0, 3600)] = field(
        default=15, metadata=about("How long it must run without a restart.")
    )
    window: Annotated[float, fields.duration(1, 86400)] = field(
        default=90, metadata=about("How long it may take to prove itself.")
    )
    failure_text: tuple[str, ...] = field(
        default=("Error while handling", "Traceback", "Connection Closed Error"),
        metadata=about("Texts in its log that mean it failed; with failure_level, in lines that say no level."),
    )
    failure_level: Literal["warning", "error", "critical"] | None = field(
        default=None, metadata=about("From which level on a line of its log means that it failed.")
    )

    def __post_init__(self) -> None:
        if self.settle > self.window:
            raise ValueError(f"settle ({self.settle:g} s) is longer than window ({self.window:g} s)")


@dataclass(frozen=True, kw_only=True)
class HealthCheckEntry(Strict):
    """How docker asks a container whether it is well."""

    command: fields.Line = field(metadata=about("A line for the container's shell, which ends with 0 when it is well."))
    interval: Annotated[int, fields.duration(1, 3600)] = field(default=30, metadata=about("From one to the next."))
    timeout: Annotated[int, fields.duration(1, 3600)] = field(default=30, metadata=about("How long one may take."))
    retries: Annotated[int, fields.whole(1, 100)] = field(default=3, metadata=about("So many in a row have to fail."))
    start_period: Annotated[int, fields.duration(0, 3600)] = field(
        default=0, metadata=about("At the beginning, in which a failure does not count.")
    )

    def __post_init__(self) -> None:
        others = (one for one in dataclasses.fields(self) if one.name != "command")
        more = [one.name for one in others if getattr(self, one.name) != one.default]
        if self.command == NO_CHECK and more:
            raise ValueError(f"command: none is no check at all, and {' and '.join(more)} say how it is made")


@dataclass(frozen=True, kw_only=True)
class ContainerEntry(ContainerKeys):
    """What both kinds of service have in common: the image, and how a container is made of it."""

    name: fields.Name
    image: fields.Image = field(metadata=about("The image without registry and tag; registry.server is put in front."))
    tag: fields.ImageTag = field(
        default="latest",
        metadata=about("The tag to deploy; or its digest, sha256:…, which never moves; or fab deploy --tag."),
    )
    command: tuple[str, ...] = field(default=(), metadata=about("Instead of the image's own command."))
    user: fields.ContainerUser = field(default="", metadata=about('"uid:gid" inside the container.'))
    environment: dict[fields.Variable, str] = field(
        default_factory=dict, metadata=about("No secrets: docker inspect shows it to everybody.")
    )
    mounts: tuple[fields.Mount, ...] = field(
        default=(), metadata=about("Directories or volumes, source:target[:ro,z,Z].")
    )
    network: fields.Network = field(default="", metadata=about("A docker network, such as host."))
    gpus: fields.Gpus = field(default="", metadata=about('all, a count, "device=0,1", or CDI devices.'))
    memory: fields.Memory = field(default="", metadata=about("Limit, such as 8g."))
    env_file: EnvFileEntry | None = field(default=None, metadata=about("Variables that it reads from a mounted file."))
    log_files: fields.LogFiles = field(
        default=(), metadata=about("Files that it logs to, beside docker's log; below one of the mounts.")
    )
    log_keys: LogKeys = field(default_factory=LogKeys, metadata=about("The keys of the lines that it logs as JSON."))

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the program is given: docker takes one word as entrypoint, and the rest goes before the command."""
        return (*self.entrypoint[1:], *self.command)


@dataclass(frozen=True, kw_only=True)
class Consumer(ContainerEntry):
    """A service that reads a queue; a deploy stops it and puts its successor there."""

    kind: Literal["consumer"] = field(metadata=about("A deploy stops it and puts its successor there."))
    restart: fields.Restart = field(default="unless-stopped", metadata=about("Docker's restart policy."))
    stop_signal: fields.Signal = field(default="", metadata=about("Instead of the image's own, SIGTERM."))
    stop_grace: Annotated[int, fields.duration(0, 3600)] = field(
        default=30, metadata=about("Time between the stop signal and SIGKILL.")
    )
    log: Log = field(default_factory=Log, metadata=about("Rotation of its log."))
    config: Config | None = field(default=None, metadata=about("The file it is configured by."))
    offset: Offset | None = field(default=None, metadata=about("Where it keeps its position."))
    stream: Stream | None = field(default=None, metadata=about("What it reads."))
    healthcheck: HealthCheckEntry | None = field(
        default=None, metadata=about("Instead of the image's own HEALTHCHECK; none for no check at all.")
    )
    watch: WatchEntry = field(default_factory=WatchEntry, metadata=about("How a new release proves itself."))

    def __post_init__(self) -> None:
        asked = self.healthcheck and self.healthcheck.command != NO_CHECK
        if self.healthcheck and asked and self.healthcheck.interval >= self.watch.window:
            every, window = self.healthcheck.interval, self.watch.window
            raise ValueError(f"healthcheck.interval ({every} s) is as long as watch.window ({window:g} s) or longer")
        for key, path in self._files().items():
            if not any(path.startswith(mount.split(":")[0] + "/") for mount in self.mounts):
                raise ValueError(f"{key} ({path}) lies below none of the mounts; the container would not see it")

    def _files(self) -> dict[str, str]:
        config = {"config.path": self.config.path} if self.config else {}
        config |= {"env_file.path": self.env_file.path} if self.env_file else {}
        return config | ({"offset.file": self.offset.file} if self.offset else {})


@dataclass(frozen=True, kw_only=True)
class ProcessEntry(Strict):
    """What a run looks like that is a process of the server itself, in no container."""

    command: fields.ProcessPattern = field(
        metadata=about("A shell pattern that its whole command line fits, with the program's path or without.")
    )
    user: fields.ServerUser = field(default="", metadata=about("Whose it is; anybody's without it."))
    folder: fields.AbsolutePath | None = field(
        default=None, metadata=about("It works there or below; anywhere without it.")
    )


@dataclass(frozen=True, kw_only=True)
class Batch(ContainerEntry):
    """A service that runs for days; a deploy fetches the image of its next run and stops nothing."""

    kind: Literal["batch"] = field(metadata=about("Nothing ever stops it."))
    image: fields.Image = field(default="", metadata=about("As above; a service with process: may have none."))
    container: fields.Name = field(
        metadata=about("The container's name, by which a run is recognised; with process: it may be left out.")
    )
    label: fields.ImageLabel | None = field(
        default=None, metadata=about("A label, key=value, by which a run of any name is recognised as well.")
    )
    process: ProcessEntry | None = field(
        default=None, metadata=about("What a run looks like that is in no container; its command alone is enough.")
    )
    resume: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Arguments that continue from the last checkpoint; {checkpoint} in one is the path of the newest last.pt "
            "in checkpoints that is whole."
        ),
    )
    local_tag: fields.Tag = field(default="current", metadata=about("What the next run is started from."))
    checkpoints: fields.AbsolutePath | None = field(default=None, metadata=about("Where it saves its state."))

    def __post_init__(self) -> None:
        if not self.image and self.process is None:
            raise ValueError("image is missing; without one, process: says what a run looks like")
        of_image = ("tag", "local_tag", "user", "mounts", "network", "gpus", "memory")
        defaults = {one.name: one.default for one in dataclasses.fields(self)}
        given = [name for name in of_image if getattr(self, name) != defaults[name]]
        given += [one.name for one in dataclasses.fields(ContainerKeys) if getattr(self, one.name)]
        if not self.image and given:
            raise ValueError(f"{' and '.join(given)}: of a container, and there is no image to make one of")
        if self.resumes_from_a_file and not self.checkpoints:
            raise ValueError(f"resume has {CHECKPOINT} in it, and there are no checkpoints to look for one in")
        if self.resumes_from_a_file and self.image and not self.inside(self.checkpoints or ""):
            raise ValueError(
                f"checkpoints ({self.checkpoints}) lies below none of the mounts: no container sees {CHECKPOINT}"
            )
        pattern = self.process.command if self.process and not self.image else ""
        if pattern and self.command and not is_like(pattern, self.command):
            raise ValueError(
                f"process ({pattern}) does not fit command ({' '.join(self.command)}): no run would be seen"
            )

    @property
    def resumes_from_a_file(self) -> bool:
        """Whether the path of a checkpoint stands in the arguments that continue a run."""
        return any(CHECKPOINT in word for word in self.resume)

    def inside(self, path: str) -> str:
        """What a path of the server is where a run is: in a container below its mount, empty for below none."""
        sources = {mount.split(":")[0]: mount.split(":")[1] for mount in self.mounts} if self.image else {"": ""}
        above = [source for source in sources if f"{path}/".startswith(f"{source}/")]
        source = max(above, key=len, default=None)
        return "" if source is None else sources[source] + path[len(source) :]


@dataclass(frozen=True, kw_only=True)
class FolderEntry(Strict):
    """A directory that has to be on every server."""

    owner: fields.Owner = field(default="", metadata=about('"uid:gid"; whoever it is without it.'))
    mode: fields.FolderMode | None = field(default=None, metadata=about('Such as "0755"; any without it.'))


@dataclass(frozen=True, kw_only=True)
class ModelsEntry(Strict):
    """Dated directories of trained models, and how one of them is in force."""

    folder: fields.AbsolutePath = field(metadata=about("Holds the dated directories."))
    name: fields.DatedName = field(
        default="DATE", metadata=about("What they are called; DATE stands for YYYY-MM-DD, as in azaion-DATE.")
    )
    file: fields.ModelFiles = field(
        default=("best.pt",), metadata=about("The model's file in each of them; of several the first that is there.")
    )
    in_force: Literal["config", "copy", "link"] = field(
        default="config",
        metadata=about("How one is in force: a key of the config names it, a copy of it or a link to it is current."),
    )
    current: fields.ModelPlace | None = field(
        default=None, metadata=about("The file that is a copy or a link; below the folder, or absolute.")
    )

    def __post_init__(self) -> None:
        if self.in_force == "config" and self.current is not None:
            raise ValueError("current is of use with in_force: copy or in_force: link alone")
        if self.in_force != "config" and self.current is None:
            raise ValueError(f"in_force: {self.in_force} needs current, the file that is replaced, such as azaion.pt")

    @property
    def place(self) -> str:
        """The path of the copy or link on a server; empty where configs name the model."""
        current = self.current or ""
        return current if not current or current.startswith("/") else f"{self.folder}/{current}"


@dataclass(frozen=True, kw_only=True)
class Limits(Strict):
    """Two thresholds, the first below the second."""

    def _ordered(self, warning: float | None, critical: float | None) -> None:
        if warning is not None and critical is not None and warning >= critical:
            raise ValueError(f"warning ({warning:g}) must be below critical ({critical:g})")


@dataclass(frozen=True, kw_only=True)
class DiskHealth(Limits):
    """Fill levels in percent, of space and of inodes."""

    paths: tuple[fields.AbsolutePath, ...] = field(default=(), metadata=about("Without it, each server's root."))
    warning: fields.Percent = field(default=80.0, metadata=about("Fuller than this is a warning."))
    critical: fields.Percent = field(default=95.0, metadata=about("Fuller than this stops a deploy."))

    def __post_init__(self) -> None:
        self._ordered(self.warning, self.critical)


@dataclass(frozen=True, kw_only=True)
class GpuHealth(Limits):
    """Temperatures in degrees Celsius; without them temperature is shown and not judged."""

    warning: fields.Celsius | None = field(default=None, metadata=about("From this temperature on a warning."))
    critical: fields.Celsius | None = field(default=None, metadata=about("From this temperature on critical."))

    def __post_init__(self) -> None:
        self._ordered(self.warning, self.critical)


@dataclass(frozen=True, kw_only=True)
class OffsetHealth(Strict):
    """When an offset that does not move is a fault."""

    stale_after: Annotated[int, fields.duration(60, 86400)] = field(
        default=1800, metadata=about("How long it may stand still while messages wait.")
    )


@dataclass(frozen=True, kw_only=True)
class Health(Strict):
    """The thresholds of the checks."""

    disk: DiskHealth = field(default_factory=DiskHealth, metadata=about("How full file systems may be."))
    gpu: GpuHealth = field(default_factory=GpuHealth, metadata=about("How hot GPUs may be."))
    offset: OffsetHealth = field(default_factory=OffsetHealth, metadata=about("How long an offset may stand still."))
