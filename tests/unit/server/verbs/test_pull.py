"""Images by digest: what is there is not pulled again, unless it is made for another kind of machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.common import command
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.record import Record
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker import inspected, pull, registry
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.docker.inspected import LocalImage
from gpu_runbook.server.facts import snapshot
from gpu_runbook.server.verbs import pull as verb
from tests.hostile.forms import ONE
from tests.unit.docker_answers import IMAGE as ID
from tests.unit.docker_answers import image

NAME = f"registry.lan:5000/azaion/queue@sha256:{ONE}"
OURS = inspected.image({**image(), "Os": "linux", "Architecture": "amd64"})
OTHER = inspected.image({**image(), "Os": "linux", "Architecture": "arm64"})


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="x86_64"))


@pytest.mark.parametrize(
    ("machine", "system", "made_for", "runs"),
    [
        ("x86_64", "linux", "amd64", True),
        ("x86_64", "linux", "386", True),
        ("x86_64", "linux", "arm64", False),
        ("x86_64", "windows", "amd64", False),
        ("aarch64", "linux", "arm64", True),
        ("aarch64", "linux", "amd64", False),
        ("riscv64", "linux", "amd64", True),
        ("x86_64", "", "", True),
    ],
)
def test_an_image_runs_on_the_kind_of_machine_that_it_is_made_for(
    monkeypatch: pytest.MonkeyPatch, machine: str, system: str, made_for: str, runs: bool
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    assert registry.runs_here(replace(OURS, system=system, machine=made_for)) is runs


class Images:
    """An engine that has one image, and gets another when it pulls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, has: LocalImage | None, gets: LocalImage | None) -> None:
        self.has, self.gets, self.pulled, self.environment = has, gets, 0, {"DOCKER_HOST": "unix:///x"}
        self.ran: list[list[str]] = []
        monkeypatch.setattr(command, "run", lambda argv, *given, **more: self.ran.append(argv))
        monkeypatch.setattr(engines, "find", lambda address: self)
        monkeypatch.setattr(pull, "pull", self._pull)

    def image(self, name: str) -> LocalImage | None:
        return self.has

    def _pull(self, *given: Any) -> Iterator[dict[str, Any]]:
        self.pulled += 1
        self.has = self.gets
        yield from ()


def fetched() -> Any:
    request = {"docker_host": "", "images": [NAME], "login": None}
    return verb.answer(request, lambda event: None)["images"]


@pytest.mark.parametrize(
    ("has", "ran", "pulled"), [(OURS, [], 0), (None, [], 1), (OTHER, [["docker", "rmi", NAME]], 1)]
)
def test_what_is_not_there_or_of_another_platform_is_pulled(
    monkeypatch: pytest.MonkeyPatch, has: LocalImage | None, ran: list[list[str]], pulled: int
) -> None:
    images = Images(monkeypatch, has, OURS)
    assert ({name: one["id"] for name, one in fetched().items()}, images.ran, images.pulled) == (
        {NAME: ID},
        ran,
        pulled,
    )


def test_what_the_registry_has_for_another_platform_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Images(monkeypatch, None, OTHER)
    with pytest.raises(Refusal, match='is made for "linux/arm64", and this server is x86_64; nothing was changed'):
        fetched()


@pytest.mark.parametrize(("found", "known"), [(OURS, ID), (OTHER, ""), (None, "")])
def test_an_image_of_another_platform_counts_as_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, found: LocalImage | None, known: str
) -> None:
    engine: Any = Images(monkeypatch, found, None)
    assert snapshot._images(engine, Record(), {"queue": NAME})[0] == {NAME: known}


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('error storing credentials - err: exec: "docker-credential-pass": executable file not found', "credsStore"),
        ("Get https://r:5000/v2/: http: server gave HTTP response to HTTPS client", "insecure-registries"),
        ("x509: certificate signed by unknown authority", "/etc/docker/certs.d/r:5000/ca.crt"),
        ("proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused", "systemctl show docker"),
        ("dial tcp: lookup r on 10.0.0.2:53: no such host", "/etc/resolv.conf"),
        ("toomanyrequests: You have reached your pull rate limit", "wait, or log in"),
        ("write /var/lib/docker/tmp/x: no space left on device", "fab prune"),
        ("unauthorized: authentication required", "REGISTRY_PASSWORD"),
        ("manifest for r:5000/q@sha256:1 not found: manifest unknown", "push it again"),
        ("dial tcp 10.0.0.3:5000: connect: connection refused", "the registry runs"),
    ],
)
def test_what_docker_says_of_a_registry_tells_who_is_at_fault(said: str, hint: str) -> None:
    assert hint in registry.remedy(said, "r:5000")


def test_podman_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As podman 4.9 answers on the socket that it has for docker's commands."""
    said = b'{"Platform":{"Name":"linux/amd64/debian-12"},"Components":[{"Name":"Podman Engine","Version":"4.9.3"}]}'
    monkeypatch.setattr(Engine, "ask", lambda *given, **more: said)
    with pytest.raises(Refusal, match=r"^podman answers at unix:") as caught:
        engines.find("unix:///run/podman/podman.sock")
    assert not isinstance(caught.value, EngineError)


def test_what_is_no_answer_of_an_engine_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "ask", lambda *given, **more: b"<html>hello</html>")
    with pytest.raises(Refusal, match="gave an answer that cannot be read"):
        engines.find("unix:///run/docker.sock")
