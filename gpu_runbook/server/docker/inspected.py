"""Containers and images as values, made here and nowhere else of what the engine says of them.

What it leaves out or gives as null, since not every engine tells as much, is as a field's default says.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, Type, TypeVar

from gpu_runbook.common.clock import moment
from gpu_runbook.common.container import KILLED, UNHEALTHY
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.forms import NONE, ContainerId, Count, Digest, ImageId, Time, fits
from gpu_runbook.protocol.values import dataclass, field

T = TypeVar("T")

# What has to be there, as `fits` reads it, before a value is made; the value's own fields say the rest.
IMAGE = {"RepoTags": [str], "RepoDigests": [str], "Config": (dict, NONE), "RootFS": (dict, NONE)}
LISTED = [{"Names": [str], "Mounts": [dict]}]
INSPECTED = {
    "Name": str,
    "Config": dict,
    "State": dict,
    "HostConfig": {"RestartPolicy": {"Name": str, "MaximumRetryCount": (int, NONE)}},
}

HEALTH = {"Status": str, "FailingStreak": int, "Log": (NONE, [{"Output": str}])}


@dataclass(frozen=True)
class LocalImage:
    """An image that is on the server."""

    id: ImageId
    names: Tuple[str, ...]  # all that it goes by, repository:tag and repository@digest
    labels: Dict[str, str] = field(default_factory=dict)
    command: Tuple[str, ...] = ()
    size: int = 0  # bytes
    system: str = ""  # that it is made for, such as linux; empty where the engine does not tell
    machine: str = ""  # the same, such as amd64
    layers: Tuple[Digest, ...] = ()  # of their contents, the lowest first
    created: str = ""  # when, in the words of whatever built it

    @property
    def platform(self) -> str:
        return f"{self.system}/{self.machine}"


@dataclass(frozen=True)
class Mount:
    """What a container has of the host; one that does not say so may write to it."""

    source: str  # a directory there, or nothing
    writable: bool


@dataclass(frozen=True)
class ListedContainer:
    """A container as the engine lists it."""

    id: ContainerId
    names: Tuple[str, ...]  # its own, without the engine's slash; what linked containers call it has one in it
    state: str  # created, running, paused, restarting, removing, exited, dead, or a later engine's
    labels: Dict[str, str] = field(default_factory=dict)
    image: str = ""  # what it was created from; an id where that names another image by now
    image_id: str = ""
    created: float = 0.0  # seconds since 1970
    mounts: Tuple[Mount, ...] = ()

    @property
    def name(self) -> str:
        """The first of its names, or the beginning of its id where it has none."""
        return (*self.names, self.id[:12])[0]


@dataclass(frozen=True)
class Container:
    """A container as the engine inspects it. What a listed one has as well means the same.

    `running`: by the engine's own flag, which is set while it is paused and while it waits to be restarted, too.
    """

    id: ContainerId
    name: str
    image_id: ImageId
    state: str
    running: bool
    restarting: bool  # it has ended by itself, and the engine waits before it starts it again
    exit_code: int
    started_at: Time  # as the engine writes it, to the nanosecond: so it is told and kept
    finished_at: Time
    restarts: int  # how often the engine has restarted it
    restart: str  # its restart policy, as `docker update --restart` takes it
    labels: Dict[str, str] = field(default_factory=dict)
    image: str = ""
    paused: bool = False
    error: str = ""  # why it could not be started
    out_of_memory: bool = False
    memory: Count = 0  # bytes that it may take; 0 where it has no limit
    terminal: bool = False
    health: str = ""  # what its HEALTHCHECK says of it while it is at work: starting, healthy or unhealthy
    health_said: str = ""  # the last words of that check

    @property
    def names(self) -> Tuple[str, ...]:
        return (self.name,)

    @property
    def sick(self) -> str:
        """What its HEALTHCHECK says, where that is that it is unhealthy."""
        said = f": {quoted(self.health_said, 200)}" if self.health_said.strip() else ""
        return f"its HEALTHCHECK says unhealthy{said}" if self.health == UNHEALTHY else ""

    @property
    def lack(self) -> str:
        """Whose memory it was that it lacked, if it was killed for that."""
        return f"its limit is {self.memory >> 20} MiB" if self.memory else "the server's own ran out"

    @property
    def killed(self) -> str:
        """That it ended so, as far as docker still tells. One of whose children that happened to ends as it likes."""
        return f"was killed for lack of memory ({self.lack})" if self.out_of_memory and self.exit_code == KILLED else ""

    @property
    def started(self) -> float:
        """Its last start in seconds since 1970, 0 for one that never was: docker says `0001-01-01T00:00:00Z` then."""
        return max(moment(self.started_at), 0.0)

    @property
    def finished(self) -> float:
        """Its last end, as `started`."""
        return max(moment(self.finished_at), 0.0)


def image(said: Dict[str, Any]) -> LocalImage:
    """`said` has the shape IMAGE. Raises Malformed."""
    config = said.get("Config") or {}
    return _made(
        LocalImage,
        id=said.get("Id"),
        names=[*(said.get("RepoTags") or ()), *(said.get("RepoDigests") or ())],
        labels=config.get("Labels"),
        command=config.get("Cmd"),
        size=said.get("Size"),
        system=said.get("Os"),
        machine=said.get("Architecture"),
        layers=(said.get("RootFS") or {}).get("Layers"),
        created=said.get("Created"),
    )


def listed(said: Optional[List[Dict[str, Any]]]) -> List[ListedContainer]:
    """`said` has the shape LISTED. Raises Malformed."""
    return [
        _made(
            ListedContainer,
            id=one.get("Id"),
            names=[name.lstrip("/") for name in one.get("Names") or ()],
            state=one.get("State"),
            labels=one.get("Labels"),
            image=one.get("Image"),
            image_id=one.get("ImageID"),
            created=one.get("Created"),
            mounts=[
                {"source": mount.get("Source") or "", "writable": mount.get("RW") is not False}
                for mount in one.get("Mounts") or ()
            ],
        )
        for one in said or ()
    ]


def container(said: Dict[str, Any]) -> Container:
    """`said` has the shape INSPECTED. Raises Malformed."""
    state, config, policy = said["State"], said["Config"], said["HostConfig"]["RestartPolicy"]
    health = _health(state)
    said_last = [one["Output"] for one in health.get("Log") or ()][-1:]
    restart, most = policy["Name"] or "no", policy.get("MaximumRetryCount")
    return _made(
        Container,
        id=said.get("Id"),
        name=said["Name"].lstrip("/"),
        image_id=said.get("Image"),
        state=state.get("Status"),
        running=state.get("Running"),
        restarting=state.get("Restarting"),
        exit_code=state.get("ExitCode"),
        started_at=state.get("StartedAt"),
        finished_at=state.get("FinishedAt"),
        restarts=said.get("RestartCount"),
        restart=f"{restart}:{most}" if most else restart,
        labels=config.get("Labels"),
        image=config.get("Image"),
        paused=state.get("Paused"),
        error=state.get("Error"),
        out_of_memory=state.get("OOMKilled"),
        memory=said["HostConfig"].get("Memory"),
        terminal=config.get("Tty"),
        health=health.get("Status"),
        health_said="".join(said_last),
    )


def _health(state: Dict[str, Any]) -> Dict[str, Any]:
    """What docker knows of its HEALTHCHECK. It says unhealthy, too, of what is paused or has ended, and for a while
    after: then no check has failed.
    """
    found: Any = state.get("Health")
    at_work = state.get("Running") and not (state.get("Paused") or state.get("Restarting"))
    if not at_work or not fits(HEALTH, found) or (found["Status"] == UNHEALTHY and not found["FailingStreak"]):
        return {}
    said: Dict[str, Any] = found
    return said


def _made(kind: Type[T], **said: Any) -> T:
    """The value with these fields; null is as good as left out."""
    return decode(kind, {name: value for name, value in said.items() if value is not None}, "it")
