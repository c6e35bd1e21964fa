"""What goes with the releases that are no longer kept, and what keeps the images of those that are."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_runbook.common.command import Ended
from gpu_runbook.protocol.forms import fits
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


MARK = "0123456789abcdef"


def kept(letter: str, mark: str = MARK) -> str:
    """The name of ours for an image."""
    return f"gpu-runbook/kept:{IDS[letter][7:]}-{mark}"


class Docker:
    """The images that are there, by id with their names; and the commands that were given."""

    def __init__(self, **there: tuple[str, ...]) -> None:
        self.there = {IDS[name]: names for name, names in there.items()}
        self.commands: list[list[str]] = []
        self.objection = ""
        self.engine = self

    def get(self, path: str, shape: Any) -> Any:
        """All images; an engine says None of one without a name."""
        assert path == "/images/json"
        listed = [{"Id": image, "RepoTags": list(names) or None} for image, names in self.there.items()]
        assert fits(shape, listed)
        return listed

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


@pytest.fixture
def store(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(Store, "keyed_hash", lambda store, text: "" if text else MARK)
    return store


def tidied(store: Store, docker: Any, *releases: Release, keep: int = 2) -> list[str]:
    record.save(store, Record(releases[0].id, releases))
    return after_run.tidy(store, docker, keep)


def test_an_image_of_a_kept_release_gets_a_name_of_ours_once(store: Store) -> None:
    docker = Docker(a=(), b=(kept("b"),))
    assert tidied(store, docker, release(NEW, q="a", t="b"), release(MIDDLE, q="a", t="c")) == []
    assert docker.commands == [["docker", "tag", IDS["a"], kept("a")]]  # and c is not there


def test_an_image_that_no_kept_release_needs_loses_that_name_first(store: Store) -> None:
    docker = Docker(**{letter: (kept(letter),) for letter in "abc"})
    tidied(store, docker, release(NEW, q="a", t="b"), release(MIDDLE, q="b", t="b"), release(OLD, q="c", t="b"))
    assert docker.commands == [["docker", "rmi", kept("c"), f"r/q@{IDS['c']}"]]


def test_a_name_that_a_run_which_died_has_left_goes_with_the_next_run_and_no_other_does(store: Store) -> None:
    others = ("team/queue:1.0", kept("c", "f" * 16), f"team/kept:1-{MARK}", "gpu-runbook/kept:mine")
    docker = Docker(a=(kept("a"),), b=(), c=(*others, kept("c")))
    assert tidied(store, docker, release(NEW, q="a")) == []
    assert docker.commands == [["docker", "rmi", kept("c")]]


def test_nothing_goes_while_an_entry_of_the_record_is_damaged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What that release needs is not known."""
    docker = Docker(a=(kept("a"),), b=(kept("b"),), c=(kept("c"),))
    real = record.load
    monkeypatch.setattr(record, "load", lambda store: (real(store)[0], ["an entry is damaged"]))
    tidied(store, docker, release(NEW, q="a"), release(MIDDLE, q="a"), release(OLD, q="c"))
    assert docker.commands == []


@pytest.mark.parametrize("dies_at", ["tag", "save", "rmi"])
def test_whatever_a_run_died_at_the_next_one_brings_to_its_end(
    store: Store, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    """What the engine has of names, as its commands leave it."""
    docker = Docker(a=(f"r/q@{IDS['a']}",), c=(f"r/q@{IDS['c']}", kept("c")))

    class Killed(BaseException):
        pass

    def change(argv: list[str], deadline: float) -> Ended:
        if argv[1] == dies_at:
            raise Killed
        if argv[1] == "tag":
            docker.there[argv[2]] += (argv[3],)
        else:
            docker.there = {
                image: left
                for image, names in docker.there.items()
                if (left := tuple(name for name in names if name not in argv[2:]))
            }
        return Ended(tuple(argv), 0, "", "", 0.0)

    def killed(*any: object) -> None:
        raise Killed

    monkeypatch.setattr(docker, "change", change)
    record.save(store, Record(NEW, (release(NEW, q="a"), release(MIDDLE, q="a"), release(OLD, q="c"))))
    with monkeypatch.context() as patched:
        if dies_at == "save":
            patched.setattr(record, "save", killed)
        with pytest.raises(Killed):
            after_run.tidy(store, docker, 2)  # type: ignore[arg-type]
    dies_at = ""
    assert after_run.tidy(store, docker, 2) == []  # type: ignore[arg-type]
    assert [one.id for one in record.load(store)[0].releases] == [NEW, MIDDLE]
    assert kept("a") in docker.there[IDS["a"]]
    assert kept("c") not in [name for names in docker.there.values() for name in names]


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
