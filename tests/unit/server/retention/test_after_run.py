"""What goes with the releases that are no longer kept, and what keeps the images of those that are."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_runbook.common.command import Ended
from gpu_runbook.common.container import kept_as
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.server.docker import inspected
from gpu_runbook.server.docker.commands import StepFailed
from gpu_runbook.server.docker.inspected import LocalImage
from gpu_runbook.server.retention import after_run
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store
from tests.unit.docker_answers import image as answered

AT = "2026-04-20T09:00:00Z"
OLD, MIDDLE, NEW = "20260418-090000-abcd", "20260419-090000-abcd", "20260420-090000-abcd"
IDS = {name: f"sha256:{digit * 64}" for name, digit in (("a", "1"), ("b", "2"), ("c", "3"))}


class Docker:
    """The images that are there, by id with their names; and the commands that were given."""

    def __init__(self, **there: tuple[str, ...]) -> None:
        self.there = {IDS[name]: names for name, names in there.items()}
        self.commands: list[list[str]] = []
        self.objection = ""

    def image(self, name: str) -> LocalImage | None:
        if name not in self.there:
            return None
        return inspected.image({**answered(*self.there[name]), "Id": name})

    def change(self, argv: list[str], deadline: float) -> Ended:
        self.commands.append(argv)
        return Ended(tuple(argv), 1 if self.objection else 0, "", self.objection, 0.0)


def release(name: str, **images: str) -> Release:
    """`images`: by service, the letter of its image."""
    services = {
        service: Placed("batch", "1.0", f"r/{service}@{IDS[letter]}", IDS[letter]) for service, letter in images.items()
    }
    return Release(name, AT, "ann", "proven", services)


def tidied(store: Store, docker: Any, *releases: Release, keep: int = 2) -> list[str]:
    record.save(store, Record(releases[0].id, releases))
    return after_run.tidy(store, docker, keep)


def test_an_image_of_a_kept_release_gets_a_name_of_ours_once(store: Store) -> None:
    docker = Docker(a=(), b=(kept_as(IDS["b"]),))
    assert tidied(store, docker, release(NEW, q="a", t="b"), release(MIDDLE, q="a", t="c")) == []
    assert docker.commands == [["docker", "tag", IDS["a"], f"gpu-runbook/kept:{'1' * 64}"]]  # and c is not there


def test_an_image_that_no_kept_release_needs_loses_that_name_first(store: Store) -> None:
    docker = Docker(**{letter: (kept_as(IDS[letter]),) for letter in "abc"})
    tidied(store, docker, release(NEW, q="a", t="b"), release(MIDDLE, q="b", t="b"), release(OLD, q="c", t="b"))
    assert docker.commands == [["docker", "rmi", kept_as(IDS["c"]), f"r/q@{IDS['c']}"]]


def test_what_stands_in_the_way_is_said(store: Store) -> None:
    docker = Docker(a=())
    docker.objection = "no space left on device"
    (note,) = tidied(store, docker, release(NEW, q="a"))
    assert note == "sha256:111111111111 has no name that keeps it: no space left on device"


def test_an_engine_that_stays_away_is_said_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker(a=(), b=())

    def away(name: str) -> None:
        raise StepFailed("the docker engine does not answer")

    monkeypatch.setattr(docker, "image", away)
    assert tidied(store, docker, release(NEW, q="a", t="b")) == ["the docker engine does not answer"]
