"""Questions to the docker engine over its own socket. What changes a container is a `docker` command.

Asking the socket costs a millisecond where the command costs thirty, and answers with status codes instead of English.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import time
import urllib.parse
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.forms import NONE, fits
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.docker import inspected
from gpu_runbook.server.docker.inspected import Container, ListedContainer, LocalImage
from gpu_runbook.server.docker.unix_http import Answer, request

DEFAULT = "unix:///var/run/docker.sock"
SECONDS = 10.0
LIMIT = 32 << 20  # bytes of one answer; logs are the longest
ITS_OWN = 3  # of the streams of a log: what the engine itself has to say
LINE = 1 << 16  # bytes of one line of a pull's progress

# What is relied upon in an answer, as `fits` reads it.
EVENT = {"Action": str, "Actor": {"Attributes": dict}}
ABLE = {"ContainerdCommit": (NONE, {"ID": str})}

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", re.ASCII)

T = TypeVar("T")


class EngineError(Refusal):
    """The engine answered with an error status; `status` is 0 when it did not answer at all."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(one_line(message), "see systemctl status docker on the server", "server")
        self.status = status

    @property
    def refuses(self) -> bool:
        """Whether it is there, and so is what was asked for, and it says no."""
        return self.status not in (0, 404)


class Unreadable(EngineError):
    """The engine answers, and has no log of a container to give: its driver keeps none, or the file is gone."""


@dataclass(frozen=True)
class Engine:
    """One docker engine, named by its socket. All times in seconds; every answer is bounded by `seconds`."""

    address: str
    hidden: Tuple[str, ...] = ()  # what nobody may see, as a container might spell it; longest first

    @property
    def environment(self) -> Dict[str, str]:
        """What a `docker` command needs to reach the same engine."""
        return {"DOCKER_HOST": self.address}

    def get(
        self, path: str, query: Optional[Dict[str, str]] = None, seconds: float = SECONDS, shape: Any = (dict, list)
    ) -> Any:
        """The JSON answer of one GET, which has that shape. Raises EngineError."""
        return self.read(self.ask(path, query, seconds=seconds), shape)

    def container(self, name_or_id: str) -> Optional[Container]:
        """A container, None when there is none. The words of its HEALTHCHECK come where it is known what to cover."""
        found = self._found("containers", name_or_id, inspected.INSPECTED, inspected.container)
        if found and found.health_said:
            return dataclasses.replace(found, health_said=self.covered(found.health_said) if self.hidden else "")
        return found

    def full_spec(self, container: str) -> Optional[Dict[str, Any]]:
        """All that `docker inspect` shows of a container, as docker spells it, None when there is none.

        For `exposed.reach` alone: what gives a container power over the host is a list that grows with docker.
        """
        return self._found("containers", container, {"Name": str, "HostConfig": dict, "Mounts": [dict]}, dict)

    def image(self, name: str) -> Optional[LocalImage]:
        """An image, None when there is none."""
        return self._found("images", name, inspected.IMAGE, inspected.image)

    def containers(self, shape: Any = inspected.LISTED) -> List[ListedContainer]:
        """All containers, in whatever state. `shape` is a narrower one for whom it has to tell more."""
        raw = self.ask("/containers/json", {"all": "1"})
        found: List[ListedContainer] = self.read(raw, shape, inspected.listed)
        return found

    def image_sizes(self) -> Dict[str, int]:
        """By id, the bytes that each image takes, unpacked: of a single one containerd's store tells what is packed."""
        return {one["Id"]: one["Size"] for one in self.get("/images/json", shape=[{"Id": str, "Size": int}])}

    def acts(self) -> bool:
        """Whether it can do anything to a container. While its containerd is away it answers all the same."""
        try:
            told = self.get("/info", shape=ABLE).get("ContainerdCommit")
        except EngineError as error:
            return error.status in (403, 404)  # one that does not tell
        return not told or told["ID"] != "N/A"

    def logs(self, container: str, tail: int = 0, since: float = 0, stamps: bool = False) -> str:
        """The log of a container, both streams in order; all of it when `tail` is 0, bounded to its last MiB.

        Raises Unreadable where there is none to be had, and EngineError.
        """
        text, why = self._log(container, tail, since, stamps)
        if why:
            raise Unreadable(500, why)
        return text

    def _log(self, container: str, tail: int, since: float, stamps: bool) -> Tuple[str, str]:
        """What can be read of a log, and why the rest cannot."""
        query = {"stdout": "1", "stderr": "1", "tail": str(tail) if tail else "all", "timestamps": str(int(stamps))}
        if since:
            query["since"] = f"{since:.9f}"
        try:
            text, why = _demultiplexed(self.ask(f"/containers/{container}/logs", query))
        except EngineError as error:
            if not error.refuses:
                raise
            return "", error.message
        return self.covered(text)[-(1 << 20) :], why

    def covered(self, text: str) -> str:
        """The text with dots for what nobody may see."""
        for secret in self.hidden:
            text = text.replace(secret, "•••")
        return text

    def stamped_logs(self, container: str, since: float) -> Tuple[List[Tuple[str, str]], str]:
        """The lines since a time, each with the engine's own stamp: RFC 3339 of fixed width, so that stamps sort.

        And why the others cannot be read.
        """
        text, why = self._log(container, 0, since, True)
        pairs = [line.partition(" ") for line in text.split("\n")]  # a text may hold what else ends lines
        return [(stamp, said) for stamp, _, said in pairs if _STAMP.fullmatch(stamp)], why

    def last_end(self, container: str) -> Tuple[Optional[int], bool]:
        """How it has ended last: its exit status, None where that is not known, and whether memory was lacking.

        The engine remembers it for a while, also of a container that it has started again. Raises EngineError.
        """
        wanted = json.dumps({"container": [container], "event": ["die", "oom"]})
        query = {"since": "0", "until": f"{time.time():.9f}", "filters": wanted}
        code, lacking, lacked = "", False, False
        for event in (self.read(line, EVENT) for line in self.ask("/events", query).splitlines()):
            if event["Action"] == "oom":
                lacking = True
            else:
                code, lacked, lacking = str(event["Actor"]["Attributes"].get("exitCode")), lacking, False
        return int(code) if code.isdecimal() else None, lacked or lacking  # it may be told a moment after the end

    def read(self, raw: bytes, shape: Any, make: Optional[Callable[[Any], Any]] = None) -> Any:
        """An answer as JSON that has the shape, or what is made of it. Raises EngineError."""
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(raw)
            if fits(shape, data):
                return make(data) if make else data
        raise EngineError(0, f"the docker engine at {self.address} gave an answer that cannot be read")

    def _found(self, kind: str, name: str, shape: Any, make: Callable[[Any], T]) -> Optional[T]:
        """What is made of one thing that is inspected, None when there is none."""
        try:
            raw = self.ask(f"/{kind}/{urllib.parse.quote(name, safe='')}/json")
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        found: T = self.read(raw, shape, make)
        return found

    def ask(
        self,
        path: str,
        query: Optional[Dict[str, str]] = None,
        headers: Optional[Dict[str, str]] = None,
        seconds: float = SECONDS,
    ) -> bytes:
        """The answer of one GET. Raises EngineError."""
        with contextlib.closing(self.send("GET", path, query, headers or {}, seconds)) as answer:
            try:
                return answer.read(LIMIT)
            except OSError as error:
                raise EngineError(0, f"the docker engine at {self.address} broke off: {error}") from error

    def send(
        self,
        method: str,
        path: str,
        query: Optional[Dict[str, str]],
        headers: Dict[str, str],
        seconds: float,
        endless: bool = False,
    ) -> Answer:
        """Ask, and give the answer to be read as it comes; `seconds` as the Answer takes them. Raises EngineError."""
        # No version in the path: the engine then speaks its own, and neither an old nor a new one refuses.
        target = path + ("?" + urllib.parse.urlencode(query) if query else "")
        socket = self.address[len("unix://") :]
        try:
            answer = Answer(socket, request(method, target, headers), seconds, endless)
        except OSError as error:
            raise EngineError(0, f"the docker engine at {self.address} does not answer: {error}") from error
        if answer.status < 400:
            return answer
        with contextlib.closing(answer):
            raise EngineError(answer.status, _refused(answer))


def find(wanted: str = "", seconds: float = SECONDS) -> Engine:
    """The engine a `docker` command of this user would talk to, or the one hosts.yaml names; it has to answer in time.

    Raises Refusal (kind server) when it is not there or may not be used.
    """
    address = wanted or os.environ.get("DOCKER_HOST", "") or _context() or DEFAULT
    if not address.startswith("unix://"):
        raise Refusal(
            f"the docker engine at {address} is not on this server",
            "set docker_host in hosts.yaml to the engine's unix:// socket",
            "server",
        )
    engine = Engine(address)
    try:
        said = engine.get("/version", seconds=seconds)
    except EngineError as error:
        raise _unreachable(engine, error) from error
    if "Podman Engine" in str(said):
        raise Refusal(
            f"podman answers at {address}, and its containers are not docker's",
            "install docker; or set docker_host in hosts.yaml to the unix:// socket of the docker engine",
            "server",
        )
    return engine


def _unreachable(engine: Engine, error: EngineError) -> Refusal:
    cause = error.__cause__
    if isinstance(cause, PermissionError):
        return Refusal(
            f"the login user may not use the docker engine at {engine.address}",
            "add the user to the group docker (usermod -aG docker USER), or set sudo: true for this server",
            "server",
        )
    if isinstance(cause, FileNotFoundError):
        return Refusal(
            f"no docker engine at {engine.address}",
            "install docker and start it (systemctl enable --now docker), or set docker_host in hosts.yaml",
            "server",
        )
    return Refusal(error.message, error.hint, error.kind)


def _context() -> str:
    """The address of the docker context this user has chosen, as the `docker` command would find it."""
    home = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    try:
        name = os.environ.get("DOCKER_CONTEXT", "")
        if not name:
            with open(os.path.join(home, "config.json"), encoding="utf-8") as file:
                name = json.load(file).get("currentContext", "default")
        if name == "default":
            return ""
        import hashlib  # for this alone, which is rare

        folder = hashlib.sha256(name.encode()).hexdigest()
        with open(os.path.join(home, "contexts", "meta", folder, "meta.json"), encoding="utf-8") as file:
            return str(json.load(file)["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return ""  # no readable choice: the default it is, as for the docker command


def _refused(answer: Answer) -> str:
    """What an answer with an error status says."""
    try:
        body = answer.read(LINE)
    except OSError:
        return f"status {answer.status}"
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return body.decode("utf-8", "replace")


def _demultiplexed(raw: bytes) -> Tuple[str, str]:
    """The engine frames logs of containers without a terminal: stream, 3 zero bytes, length, text.

    The text, and what it says in a frame of its own of why it cannot go on.
    """
    parts, at, why = [], 0, b""
    while at + 8 <= len(raw) and raw[at] <= ITS_OWN and raw[at + 1 : at + 4] == b"\0\0\0":
        length = int.from_bytes(raw[at + 4 : at + 8], "big")
        piece = raw[at + 8 : at + 8 + length]
        if raw[at] == ITS_OWN:
            why = piece
        else:
            parts.append(piece)
        at += 8 + length
    text = b"".join(parts) if parts or why else raw
    return text.decode("utf-8", "replace"), one_line(why.decode("utf-8", "replace"))
