"""A docker engine that knows one consumer, and does what it is told to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from remote import docker
from remote import engine as engines
from remote.command import Ended
from remote.engine import Engine
from remote.plans import Placed, Record, Release, Spec
from remote.words import LABEL

QUEUE, RELEASE, ID, IMAGE = "annotation-queue", "20260420-090000-abcd", "c" * 64, "sha256:" + "1" * 64
RECORD = Record(
    RELEASE,
    (
        Release(
            *(RELEASE, "2026-04-20T09:00:00Z", "ann", "proven"),
            {QUEUE: Placed("consumer", "1.0", IMAGE, IMAGE, ID, Spec(IMAGE), restart="unless-stopped")},
        ),
    ),
)


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Docker(Engine):
    """The consumer and the commands that were given for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("unix:///nowhere/docker.sock")
        object.__setattr__(self, "commands", [])
        object.__setattr__(self, "state", {})
        object.__setattr__(self, "images", {})
        self.be("running", 0.0)
        monkeypatch.setattr(engines, "find", lambda docker_host: self)
        monkeypatch.setattr(docker, "run", self.run)

    commands: list[list[str]]
    state: dict[str, Any]
    images: dict[str, Any]

    def be(self, status: str, started: float, code: int = 0) -> None:
        """The consumer is so from now on; `started` in seconds since 1970."""
        runs = {"Running": status == "running", "Restarting": False, "Paused": False, "Status": status}
        times = {"StartedAt": stamp(started), "FinishedAt": stamp(started + 1)}
        self.state.update(runs, ExitCode=code, Error="", OOMKilled=False, Pid=0, **times)

    @property
    def runs(self) -> bool:
        return bool(self.state["Running"])

    def containers(self) -> Any:
        labels = {f"{LABEL}.service": QUEUE, f"{LABEL}.release": RELEASE}
        state = self.state["Status"]
        return [{"Id": ID, "Names": [f"/{QUEUE}"], "Labels": labels, "State": state, "ImageID": IMAGE, "Created": 0}]

    def container(self, name_or_id: str, seconds: float = 0.0) -> dict[str, Any] | None:
        if name_or_id not in (ID, QUEUE):
            return None
        policy = {"RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0}}
        labels = {f"{LABEL}.service": QUEUE, f"{LABEL}.release": RELEASE}
        config = {"Labels": labels, "Image": IMAGE}
        known = {"Id": ID, "Name": f"/{QUEUE}", "Image": IMAGE, "RestartCount": 0, "HostConfig": policy}
        return {**known, "Config": config, "State": dict(self.state)}

    def image(self, name: str) -> dict[str, Any] | None:
        return {"Id": IMAGE, "Config": {}, "Size": 1 << 20} if name == IMAGE else self.images.get(name)

    def get(self, path: str, *_: Any, **__: Any) -> Any:
        return self.containers() if path == "/containers/json" else {"DockerRootDir": "/"}

    def run(self, argv: Sequence[str], *_: Any, **__: Any) -> Ended:
        self.commands.append(list(argv))
        if argv[1] == "start":
            self.be("running", time.time())
        if argv[1] == "stop" and self.runs:
            self.be("exited", time.time(), 0)
        if argv[1] == "rmi":
            self.images.pop(argv[2], None)
        return Ended(tuple(argv), 0, "", "", 0.0)
