"""A docker engine that knows a few containers, and does what it is told to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import field
from typing import Any

import pytest

from gpu_runbook.common.command import Ended
from gpu_runbook.common.container import LABEL
from gpu_runbook.protocol.check import OK, Check
from gpu_runbook.protocol.plan import Spec
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.checks import docker_command
from gpu_runbook.server.docker import commands
from gpu_runbook.server.docker import engine as engines
from tests.unit.docker_answers import IMAGE, Answering, image, inspected, listed

QUEUE = "annotation-queue"
RELEASE, BEFORE = "20260420-090000-abcd", "20260419-090000-abcd"
ID, PARKED = "c" * 64, "d" * 64  # of the consumer in its place, and of the one of the release before


def release(name: str, container: str) -> Release:
    placed = Placed("consumer", "1.0", IMAGE, IMAGE, container, Spec(IMAGE), restart="unless-stopped")
    return Release(name, "2026-04-20T09:00:00Z", "ann", "proven", {QUEUE: placed})


RECORD = Record(RELEASE, (release(RELEASE, ID), release(BEFORE, PARKED)))


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@dataclass(frozen=True)
class Asked(Answering):
    """What the docker engine answers."""

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)

    def listing(self) -> list[dict[str, Any]]:
        return [
            listed(
                one["Id"],
                one["Name"].lstrip("/"),
                labels=one["Config"]["Labels"],
                State=one["State"]["Status"],
                Created=0,
            )
            for one in self.known.values()
        ]

    def inspection(self, name_or_id: str) -> dict[str, Any] | None:
        named = (one for one in self.known.values() if one["Name"] == f"/{name_or_id}")
        return self.known.get(name_or_id) or next(named, None)

    def made_from(self, name: str) -> dict[str, Any] | None:
        return image() if name == IMAGE else self.images.get(name)

    def answer(self, kind: str, name: str) -> dict[str, Any] | None:
        return super().answer(kind, name) or ({"DockerRootDir": "/"} if kind == "info" else None)

    def logs(self, container: str, tail: int = 0, since: float = 0, stamps: bool = False) -> str:
        return ""


class Docker:
    """The consumer in its place, the one before it, and the commands that were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[str]] = []
        self.engine = Asked("unix:///nowhere/docker.sock")
        self.begin_anew()
        monkeypatch.setattr(engines, "find", lambda docker_host: self.engine)
        monkeypatch.setattr(commands, "run", self.run)
        monkeypatch.setattr(docker_command, "check", lambda name, engine: Check(name, OK, "docker obeys"))

    @property
    def known(self) -> dict[str, dict[str, Any]]:
        return self.engine.known

    def begin_anew(self) -> None:
        self.commands.clear()
        self.known.clear()
        self.engine.images.clear()
        self._make(ID, QUEUE, RELEASE)
        self._make(PARKED, f"{QUEUE}.{BEFORE}", BEFORE)
        self.be("running", 0.0)

    def _make(self, container: str, name: str, made_by: str) -> None:
        labels = {f"{LABEL}.service": QUEUE, f"{LABEL}.release": made_by}
        self.known[container] = inspected(container, name, labels, IMAGE, "unless-stopped")
        self.be("exited", 0.0, container=container)

    def be(self, status: str, started: float, code: int = 0, container: str = ID) -> None:
        """A container is so from now on; `started` in seconds since 1970."""
        runs = {"Running": status == "running", "Restarting": False, "Paused": False, "Status": status}
        times = {"StartedAt": stamp(started), "FinishedAt": stamp(started + 1)}
        self.known[container]["State"] = {**runs, "ExitCode": code, "Error": "", "OOMKilled": False, "Pid": 0, **times}

    @property
    def state(self) -> dict[str, Any]:
        """Of the consumer."""
        found: dict[str, Any] = self.known[ID]["State"]
        return found

    @property
    def runs(self) -> bool:
        return bool(self.state["Running"])

    @property
    def running(self) -> list[str]:
        return [container for container, found in self.known.items() if found["State"]["Running"]]

    def run(self, argv: Sequence[str], *_: Any, **__: Any) -> Ended:
        """What the `docker` command does."""
        self.commands.append(list(argv))
        found = self.known.get(argv[2] if argv[1] == "rename" else argv[-1])
        match argv[1], found:
            case "start", dict():
                self.be("running", time.time(), container=found["Id"])
            case "stop", dict() if found["State"]["Running"]:
                self.be("exited", time.time(), container=found["Id"])
            case "rename", dict():
                found["Name"] = f"/{argv[3]}"
            case "update", dict():
                found["HostConfig"]["RestartPolicy"]["Name"] = argv[3]
            case "rm", dict():
                del self.known[found["Id"]]
            case "rmi", _:
                self.engine.images.pop(argv[2], None)
        return Ended(tuple(argv), 0, "", "", 0.0)
