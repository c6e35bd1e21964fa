"""What docker answers about containers and images, whole, changed as a test wants it; and engines that answer so."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from gpu_runbook.server.docker import inspected as values
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.docker.inspected import Container, ListedContainer, LocalImage

ONE, IMAGE = "c" * 64, f"sha256:{'1' * 64}"
NEVER = "0001-01-01T00:00:00Z"
# As docker 27 inspects a container that runs; what it says of its network and of its file system is left out.
STATE: dict[str, Any] = {
    "Status": "running",
    "Running": True,
    "Paused": False,
    "Restarting": False,
    "OOMKilled": False,
    "Dead": False,
    "Pid": 4711,
    "ExitCode": 0,
    "Error": "",
    "StartedAt": "2026-04-20T10:11:12.5Z",
    "FinishedAt": NEVER,
}


def inspected(
    container: str = ONE,
    name: str = "queue",
    labels: Mapping[str, Any] | None = None,
    image: str = "team/queue",
    restart: str = "no",
    restarts: int = 0,
    **state: Any,
) -> dict[str, Any]:
    """The answer about one container. `image`: what it was created from. `state`: what is changed of its State."""
    return {
        "Id": container,
        "Created": "2026-04-20T10:11:11.123456789Z",
        "Path": "python",
        "Args": ["-m", "queue"],
        "State": {**STATE, **state},
        "Image": IMAGE,
        "Name": f"/{name}",
        "RestartCount": restarts,
        "HostConfig": {"RestartPolicy": {"Name": restart, "MaximumRetryCount": 0}, "Privileged": False},
        "Mounts": [],
        "Config": {"Hostname": container[:12], "Tty": False, "Image": image, "Labels": labels},
    }


def listed(container: str = ONE, *names: str, labels: Mapping[str, Any] | None = None, **change: Any) -> dict[str, Any]:
    """An entry of the list of all containers. `change`: of its keys, as docker spells them."""
    return {
        "Id": container,
        "Names": [f"/{name}" for name in names or ("queue",)],
        "Image": "team/queue",
        "ImageID": IMAGE,
        "Command": "python -m queue",
        "Created": 1776679871,
        "Ports": [],
        "Labels": labels,
        "State": "running",
        "Status": "Up 2 hours",
        "Mounts": [],
        **change,
    }


def image(*tags: str, digests: tuple[str, ...] = (), labels: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The answer about one image."""
    config = {"Cmd": ["python", "-m", "queue"], "Labels": labels}
    return {"Id": IMAGE, "RepoTags": list(tags), "RepoDigests": list(digests), "Size": 1 << 20, "Config": config}


class Answering(Engine):
    """An engine that answers what a test says; Engine itself reads that and makes its values of it."""

    def ask(
        self,
        path: str,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        seconds: float = 0.0,
    ) -> bytes:
        if path == "/images/json":
            return b"[]"
        kind, _, name = path.strip("/").removesuffix("/json").partition("/")
        found = self.listing() if path == "/containers/json" else self.answer(kind, urllib.parse.unquote(name))
        if found is None:
            raise EngineError(404, f"no such thing: {name}")
        return json.dumps(found).encode()

    def listing(self) -> list[dict[str, Any]]:
        """What is listed of all containers."""
        return []

    def answer(self, kind: str, name: str) -> dict[str, Any] | None:
        """What is said of one of the `containers` or `images`, or of the engine itself; None of what is not there."""
        return self.inspection(name) if kind == "containers" else self.made_from(name) if kind == "images" else {}

    def inspection(self, name_or_id: str) -> dict[str, Any] | None:
        return None

    def made_from(self, name: str) -> dict[str, Any] | None:
        return None


def container(answer: dict[str, Any]) -> Container:
    """What Engine makes of an answer about a container."""
    found: Container = _read(answer, values.INSPECTED, values.container)
    return found


def entry(answer: dict[str, Any]) -> ListedContainer:
    """What it makes of one entry of a list."""
    found: list[ListedContainer] = _read([answer], values.LISTED, values.listed)
    return found[0]


def local(answer: dict[str, Any]) -> LocalImage:
    """What it makes of an answer about an image."""
    found: LocalImage = _read(answer, values.IMAGE, values.image)
    return found


def _read(answer: Any, shape: Any, make: Any) -> Any:
    return Engine("unix:///nowhere").read(json.dumps(answer).encode(), shape, make)
